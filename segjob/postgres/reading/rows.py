"""Rows of binary COPY, many at a time and without a Python object for each, as Arrow arrays.

A row is a message of the protocol: "d", the length (4 bytes, without the "d"), the number of columns (2 bytes), and for
each column the length of its value (4 bytes, -1 for NULL) and the value. Everything is big-endian. Rows whose columns
all have a fixed width, and hold no NULL, all look alike and are decoded as one strided array. Others are found by their
heads, and gathered.

One column may hold several numbers: Postgres sends the two points of an `lseg`, which are four float8, as 32 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segjob.errors import InternalError

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

Column: TypeAlias = tuple[pa.Field, ...]
"""What one column of a statement holds: a field of any type, or several numbers, one behind the other."""

HEAD = struct.Struct("!cIh")  # of a row: tag, length, number of columns
TAG = ord("d")
LENGTH = 4  # bytes in front of a value
EVERY_SECOND = pa.field("place", pa.int64())
UNEXPECTED = "the server's rows are not what was asked for"

STORED = {
    pa.int16(): ">i2",
    pa.int32(): ">i4",
    pa.int64(): ">i8",
    pa.float32(): ">f4",
    pa.float64(): ">f8",
    pa.binary(16): "V16",
}
"""How the values of a type with a fixed width lie in a row; what is not here is text."""


def singly(schema: pa.Schema) -> list[Column]:
    """A column of its own for each field."""
    return [(field,) for field in schema]


def stored_bytes(column: Column) -> int:
    """How long each value of a column of fixed width is."""
    return len(column) * np.dtype(STORED[column[0].type]).itemsize


@dataclass(frozen=True)
class Run:
    """Neighbouring columns that hold as many values of one fixed width; `offset` is that of the first length."""

    columns: tuple[Column, ...]
    offset: int

    @property
    def fields(self) -> list[pa.Field]:
        return [field for column in self.columns for field in column]

    @property
    def stored(self) -> np.dtype[np.generic]:
        return np.dtype(STORED[self.fields[0].type])

    @property
    def step(self) -> int:
        return LENGTH + stored_bytes(self.columns[0])


class RowDecoder:
    """Decodes the rows of one statement.

    A number that may not be null ("n:" fields) is the same NaN for NULL, NaN and the infinities. Everything else is as
    it was sent: a null is an Arrow null, whatever the field says, and nobody has looked at the text. A column of
    several numbers is never NULL.

    Parameters
    ----------
    columns : of the statement, in its order; the fewer texts come before others, the faster
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        n_fixed = next((i for i, column in enumerate(columns) if column[0].type not in STORED), len(columns))
        self._runs = runs_of(columns[:n_fixed])
        self._rest = columns[n_fixed:]
        self._fixed_bytes = HEAD.size + sum(run.step * len(run.columns) for run in self._runs)
        self._stride = None if self._rest else self._fixed_bytes
        self._head = np.frombuffer(HEAD.pack(b"d", self._fixed_bytes - 1, len(columns)) + b"\0", np.uint64)[0]
        self._least_length = HEAD.size - 1 + LENGTH * len(columns)

    def decode(self, data: Bytes) -> tuple[list[pa.Array], int]:
        """The fields of the whole rows that the data begin with, column by column, and how many bytes these take."""
        if self._stride is not None:
            n_rows = self._count_alike(data, self._stride)
            n_bytes = n_rows * self._stride
            if not self._is_row(data[n_bytes:]):
                columns = self._alike(data, n_rows, self._stride) if n_rows else None
                if columns is not None or not n_rows:
                    return columns or [], n_bytes
        starts, ends = self._find(data)
        return (self._gathered(data, starts, ends), int(ends[-1])) if len(starts) else ([], 0)

    def _count_alike(self, data: Bytes, stride: int) -> int:
        """How many rows of the usual length the data begin with: eight bytes of each tell."""
        n_whole = len(data) // stride
        alike = np.ndarray((n_whole,), np.uint64, data, strides=(stride,)) == self._head
        return n_whole if alike.all() else int(alike.argmin())

    def _is_row(self, data: Bytes) -> bool:
        """Whether the data begin with a whole row, of any length."""
        if len(data) < HEAD.size:
            return False
        tag, length, n_columns = HEAD.unpack(data[: HEAD.size].tobytes())
        return bool(tag == b"d" and n_columns == len(self._columns) and length < len(data))

    def _find(self, data: Bytes) -> tuple[Offsets, Offsets]:
        """Where the whole rows that the data begin with begin and end.

        Whatever looks like the head of a row is a candidate; the rows are those that the first one leads to.
        """
        candidates = np.flatnonzero(data[: max(0, len(data) - HEAD.size + 1)] == TAG)
        high, low = divmod(len(self._columns), 256)
        candidates = candidates[(data[candidates + 5] == high) & (data[candidates + 6] == low)]
        lengths = integers(data, candidates + 1)
        ends = candidates + 1 + lengths
        whole = (lengths >= self._least_length) & (ends <= len(data))
        candidates, ends = candidates[whole], ends[whole]
        if not len(candidates) or candidates[0] != 0:
            return candidates[:0], ends[:0]
        if len(candidates) > 1 and not np.array_equal(ends[:-1], candidates[1:]):
            places = chain(candidates, ends)
            candidates, ends = candidates[places], ends[places]
        return candidates, ends

    def _alike(self, data: Bytes, n_rows: int, stride: int) -> list[pa.Array] | None:
        """The columns of fixed width of rows that lie `stride` bytes apart; None if a value is missing or odd."""
        columns: list[pa.Array] = []
        for run in self._runs:
            lengths = np.ndarray((n_rows, len(run.columns)), ">i4", data, run.offset, (stride, run.step))
            if not (lengths == run.step - LENGTH).all():
                return None
            shape = (len(run.columns), len(run.columns[0]), n_rows)
            strides = (run.step, run.stored.itemsize, stride)
            values = np.ndarray(shape, run.stored, data, run.offset + LENGTH, strides)
            native = values.astype(run.stored.newbyteorder("="), order="C")
            columns += arrays(native.reshape(-1, n_rows), run.fields)
        return columns

    def _gathered(self, data: Bytes, starts: Offsets, ends: Offsets) -> list[pa.Array]:
        """The columns of rows that begin and end at these places."""
        fixed = windows(data, np.dtype(f"V{self._fixed_bytes}"))
        columns = None
        if len(fixed) > starts[-1]:
            columns = self._alike(fixed[starts].view(np.uint8), len(starts), self._fixed_bytes)
        if columns is not None:
            rest, places = self._rest, starts + self._fixed_bytes
        else:
            columns, rest, places = [], self._columns, starts + HEAD.size
        for column in rest:
            begins = within(places + LENGTH, ends)
            lengths = integers(data, places)
            places = within(begins + np.maximum(lengths, 0), ends)
            columns += column_arrays(data, begins, lengths, column)
        if not np.array_equal(places, ends):
            raise InternalError(UNEXPECTED)
        return columns


def runs_of(columns: Sequence[Column]) -> list[Run]:
    """Neighbours of one type, nullability and number of values together."""
    runs: list[Run] = []
    offset = HEAD.size
    for column in columns:
        last = runs[-1] if runs else None
        if last is not None and alike(last.columns[0], column):
            runs[-1] = Run((*last.columns, column), last.offset)
        else:
            runs.append(Run((column,), offset))
        offset += runs[-1].step
    return runs


def alike(one: Column, other: Column) -> bool:
    return [(field.type, field.nullable) for field in one] == [(field.type, field.nullable) for field in other]


def chain(candidates: Offsets, ends: Offsets) -> list[int]:
    """The places of the candidates that the first one leads to, from end to beginning."""
    following = np.searchsorted(candidates, ends)
    within = np.minimum(following, len(candidates) - 1)
    links = np.where(candidates[within] == ends, following, -1).tolist()
    places = [0]
    while (link := links[places[-1]]) != -1:
        places.append(link)
    return places


# Bytes at any place


def windows(data: Bytes, dtype: np.dtype[np.generic]) -> npt.NDArray[np.generic]:
    """What the data hold at every single offset, read as this type; nothing is copied."""
    return np.ndarray((max(0, len(data) - dtype.itemsize + 1),), dtype, data, strides=(1,))


def within(places: Offsets, ends: Offsets) -> Offsets:
    """The places, once it is sure that none lies beyond the end of its row."""
    if (places > ends).any():
        raise InternalError(UNEXPECTED)
    return places


def integers(data: Bytes, places: Offsets) -> Offsets:
    """The 4-byte integers at these places."""
    return windows(data, np.dtype(">i4"))[places].astype(np.int64)


# Arrays


def arrays(values: npt.NDArray[np.generic], fields: Sequence[pa.Field]) -> list[pa.Array]:
    """One array for each row of the values, of shape (fields, rows), which may be changed."""
    if fields[0].type == pa.float64() and not fields[0].nullable:
        finite = np.isfinite(values)
        if not finite.all():
            np.copyto(values, np.nan, where=~finite)
    return [as_array(one, field) for one, field in zip(values, fields, strict=True)]


def as_array(values: npt.NDArray[np.generic], field: pa.Field, valid: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(field.type, len(values), [bitmap, pa.py_buffer(values)])


def column_arrays(data: Bytes, places: Offsets, lengths: Offsets, column: Column) -> list[pa.Array]:
    """The fields of a column whose values are at these places."""
    if len(column) > 1:
        return packed_arrays(data, places, lengths, column)
    values = fixed_array if column[0].type in STORED else text_array
    return [values(data, places, lengths, column[0])]


def packed_arrays(data: Bytes, places: Offsets, lengths: Offsets, column: Column) -> list[pa.Array]:
    """Several numbers in each value."""
    if not (lengths == stored_bytes(column)).all():
        raise InternalError(UNEXPECTED)
    stored = np.dtype(STORED[column[0].type])
    values = windows(data, np.dtype((stored, (len(column),))))[places]
    return arrays(values.T.astype(stored.newbyteorder("="), order="C"), column)


def fixed_array(data: Bytes, places: Offsets, lengths: Offsets, field: pa.Field) -> pa.Array:
    """Values of a fixed width of which some are NULL."""
    stored = np.dtype(STORED[field.type])
    present = lengths >= 0
    if not (lengths[present] == stored.itemsize).all():
        raise InternalError(UNEXPECTED)
    values = np.zeros(len(places), stored)
    values[present] = windows(data, stored)[places[present]]
    values = values.astype(stored.newbyteorder("="))
    if field.nullable or field.type != pa.float64():
        return as_array(values, field, present)
    values[~present] = np.nan
    return arrays(values[np.newaxis], [field])[0]


def text_array(data: Bytes, places: Offsets, lengths: Offsets, field: pa.Field) -> pa.Array:
    """Text of any length: the values and what lies between them are one array, of which every second one is taken."""
    offsets = np.empty((len(places), 2), np.int32)
    offsets[:, 0] = places
    offsets[:, 1] = places + np.maximum(lengths, 0)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    everything = pa.Array.from_buffers(field.type, 2 * len(places) - 1, buffers)
    return everything.take(as_array(np.arange(0, 2 * len(places), 2), EVERY_SECOND, lengths >= 0))
