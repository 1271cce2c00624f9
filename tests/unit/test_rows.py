"""Rows of binary COPY: what is decoded is what was sent, whatever the values look like and wherever a buffer ends."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segjob.errors import InternalError
from segjob.postgres.reading.rows import Column, RowDecoder, singly

FORMATS = {pa.int16(): "!h", pa.int32(): "!i", pa.int64(): "!q", pa.float32(): "!f", pa.float64(): "!d"}
NUMBER = pa.field("n:x", pa.float64(), nullable=False)
KEY = pa.field("k:id", pa.int64(), nullable=False)
TEXT = pa.field("c:t", pa.string())
UUID = pa.field("k:u", pa.binary(16), nullable=False)

# Numbers that look like the head of a row where they lie.
HEADLIKE = [struct.unpack("!d", b"d\0\0\0" + bytes([length, 0, n, 0]))[0] for length in range(80) for n in range(1, 5)]


def encoded(value: Any, field: pa.Field) -> bytes:
    if value is None:
        return struct.pack("!i", -1)
    sent: bytes = value.encode() if field.type == pa.string() else value
    if field.type in FORMATS:
        sent = struct.pack(FORMATS[field.type], value)
    return struct.pack("!i", len(sent)) + sent


def row(values: Sequence[Any], schema: pa.Schema) -> bytes:
    return framed([encoded(value, field) for value, field in zip(values, schema, strict=True)])


def framed(columns: Sequence[bytes]) -> bytes:
    body = struct.pack("!h", len(columns)) + b"".join(columns)
    return struct.pack("!cI", b"d", len(body) + 4) + body


def packed(numbers: Sequence[float]) -> bytes:
    """Several numbers as one value."""
    return struct.pack(f"!i{len(numbers)}d", 8 * len(numbers), *numbers)


def message(rows: Iterable[Sequence[Any]], schema: pa.Schema) -> np.ndarray:
    return np.frombuffer(b"".join(row(values, schema) for values in rows), np.uint8)


def decoded(data: np.ndarray, schema: pa.Schema, ends: Iterable[int] = ()) -> list[list[Any]]:
    return decoded_columns(data, singly(schema), ends)


def decoded_columns(data: np.ndarray, held: Sequence[Column], ends: Iterable[int] = ()) -> list[list[Any]]:
    """Decode the data as they come in pieces that end there; a list for each field."""
    decoder = RowDecoder(held)
    columns: list[list[Any]] = [[] for column in held for _ in column]
    begin = 0
    for end in (*sorted(ends), len(data)):
        found, used = decoder.decode(data[begin:end])
        begin += used
        for column, array in zip(columns, found or [[]] * len(columns), strict=True):
            column += array.to_pylist() if found else []
    assert begin == len(data)
    return columns


def exact(values: Iterable[Any]) -> list[Any]:
    """Values whose equality is equality of bits."""
    return [struct.pack("!d", value) if isinstance(value, float) else value for value in values]


floats = st.floats() | st.sampled_from(HEADLIKE)
VALUES = {
    KEY: st.integers(-(2**63), 2**63 - 1),
    UUID: st.binary(min_size=16, max_size=16),
    NUMBER: st.none() | floats,
    TEXT: st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    pa.field("small", pa.int16()): st.none() | st.integers(-(2**15), 2**15 - 1),
    pa.field("loose", pa.float64()): st.none() | st.floats(allow_nan=False),
    pa.field("single", pa.float32()): st.none() | st.floats(width=32, allow_nan=False),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Schema, list[tuple[Any, ...]], list[int]]:
    fields = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=6))
    rows = draw(st.lists(st.tuples(*(VALUES[field] for field in fields)), max_size=12))
    return pa.schema(fields), rows, draw(st.lists(st.integers(0, 600), max_size=3))


@given(tables())
def test_what_is_decoded_is_what_was_sent(table):
    schema, rows, ends = table
    data = message(rows, schema)
    columns = decoded(data, schema, [end for end in ends if end < len(data)])
    for place, field in enumerate(schema):
        sent = [values[place] for values in rows]
        if field == NUMBER:
            sent = [value if value is not None and np.isfinite(value) else np.nan for value in sent]
        assert exact(columns[place]) == exact(sent)


@given(
    n_numbers=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    before=st.sampled_from([None, KEY, TEXT]),
    after=st.sampled_from([None, UUID, TEXT]),
    ends=st.lists(st.integers(0, 600), max_size=3),
    data=st.data(),
)
def test_several_numbers_in_one_column_are_those_that_were_sent(n_numbers, before, after, ends, data):
    held = [(before,)] * bool(before) + [(NUMBER,) * n for n in n_numbers] + [(after,)] * bool(after)
    fields = [field for column in held for field in column]
    drawn = {**VALUES, NUMBER: floats}
    rows = data.draw(st.lists(st.tuples(*(drawn[field] for field in fields)), max_size=12))
    sent = np.frombuffer(b"".join(framed(columns_of(values, held)) for values in rows), np.uint8)
    columns = decoded_columns(sent, held, [end for end in ends if end < len(sent)])
    for place, field in enumerate(fields):
        expected = [values[place] for values in rows]
        if field == NUMBER:
            expected = [value if np.isfinite(value) else np.nan for value in expected]
        assert exact(columns[place]) == exact(expected)


def columns_of(values: Sequence[Any], held: Sequence[Column]) -> list[bytes]:
    remaining = iter(values)
    return [
        packed([next(remaining) for _ in column]) if column[0] == NUMBER else encoded(next(remaining), column[0])
        for column in held
    ]


@pytest.mark.parametrize("before", [KEY, TEXT])
@pytest.mark.parametrize("value", [encoded(None, NUMBER), packed([1.0]), packed([1.0, 2.0, 3.0])])
def test_other_than_so_many_numbers_is_an_error(before, value):
    sent = framed([encoded({KEY: 1, TEXT: "abc"}[before], before), value])
    with pytest.raises(InternalError, match="not what was asked for"):
        RowDecoder([(before,), (NUMBER, NUMBER)]).decode(np.frombuffer(sent, np.uint8))


@pytest.mark.parametrize("fields", [[KEY, NUMBER, NUMBER], [KEY, NUMBER, TEXT], [KEY, UUID, NUMBER]])
@pytest.mark.parametrize("missing", [False, True])
def test_rows_are_found_among_numbers_that_look_like_rows(fields, missing):
    schema = pa.schema([pa.field(f"{one.name}{i}", one.type, one.nullable) for i, one in enumerate(fields)])
    ordinary = {pa.int64(): 7, pa.float64(): 1.5, pa.string(): "dd", pa.binary(16): b"d\0\0\0" * 4}
    rows = []
    for number in HEADLIKE:
        values = [number if field.type == pa.float64() else ordinary[field.type] for field in schema]
        rows.append([*values[:1], None, *values[2:]] if missing else values)
    columns = decoded(message(rows, schema), schema)
    assert len(columns[0]) == len(rows)
    for place, field in enumerate(schema):
        if field.type != pa.float64():
            assert columns[place] == [values[place] for values in rows]


def test_every_kind_of_nan_becomes_the_same():
    schema = pa.schema([KEY, NUMBER])
    numbers = [struct.unpack("!d", bits)[0] for bits in (b"\x7f\xf8" + bytes(6), b"\xff\xf8" + bytes(5) + b"\1")]
    data = message([(1, numbers[0]), (2, numbers[1]), (3, float("-inf")), (4, None)], schema)
    found, _ = RowDecoder(singly(schema)).decode(data)
    assert found[1].to_numpy().view(np.uint64).tolist() == [np.array(np.nan).view(np.uint64)] * 4


def test_what_follows_the_rows_is_left_where_it_is():
    schema = pa.schema([KEY, NUMBER])
    rows = message([(1, 1.0), (2, 2.0)], schema)
    for following in (
        b"",
        b"d",
        b"d\0\0\0\6\xff\xff",
        b"c\0\0\0\4",
        row((3, 3.0), schema)[:-1],
        row((3, None), schema)[:9],
    ):
        found, used = RowDecoder(singly(schema)).decode(np.concatenate([rows, np.frombuffer(following, np.uint8)]))
        assert used == len(rows)
        assert found[0].to_pylist() == [1, 2]


@pytest.mark.parametrize("fields", [[KEY, NUMBER], [KEY, TEXT, NUMBER]])
def test_values_of_another_width_are_no_rows_of_ours(fields):
    wanted = pa.schema(fields)
    sent = pa.schema([pa.field("k:id", pa.int32()), *fields[1:]])
    with pytest.raises(InternalError):
        decoded(message([(1, *[None] * (len(fields) - 1))], sent), wanted)


@pytest.mark.parametrize("length", [0, 2, 4, 2**30])
@pytest.mark.parametrize("fields", [[KEY, TEXT], [TEXT, KEY]])
def test_lengths_that_do_not_add_up_are_an_error(fields, length):
    schema = pa.schema(fields)
    broken = row([{KEY: 1, TEXT: "abc"}[field] for field in fields], schema)
    broken = broken.replace(encoded("abc", TEXT), struct.pack("!i", length) + b"abc")
    with pytest.raises(InternalError, match="not what was asked for"):
        RowDecoder(singly(schema)).decode(np.frombuffer(broken, np.uint8))


def test_the_arrays_are_not_views_of_the_buffer():
    schema = pa.schema([KEY, UUID, NUMBER, TEXT])
    data = message([(1, bytes(range(16)), 1.5, "text")] * 3, schema).copy()
    found, _ = RowDecoder(singly(schema)).decode(data)
    before = [column.to_pylist() for column in found]
    data[:] = 255
    assert [column.to_pylist() for column in found] == before
