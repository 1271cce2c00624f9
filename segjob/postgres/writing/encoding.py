"""Whole columns as binary COPY: no Python object a row, and nothing that keeps other threads from working.

The format: for each row the number of its fields, for each field its length in bytes and its bytes in network order.
Fields of fixed width that follow one another have the same stride in every row, so numpy writes them as one structured
array. Arrow joins these arrays with the columns of text between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segjob.arrays import as_numpy

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

Column: TypeAlias = np.ndarray | pa.Array
"""The values of one column: numbers or fixed bytes, or an Arrow array of text."""

Field: TypeAlias = tuple[str, str, np.ndarray | int]
"""One field of a structured array: its name, its type, and its values by row, or the value that all rows have."""


class RowEncoder:
    """Encodes batch after batch, in memory that it uses again: what it returned is gone with its next call."""

    def __init__(self) -> None:
        self._memory: dict[tuple[object, ...], np.ndarray] = {}

    def encode(self, columns: Sequence[Column], n_rows: int) -> memoryview:
        """The bytes of all rows.

        Parameters
        ----------
        columns : of n_rows values without nulls, in the order of the COPY's list of columns
        """
        pieces = [
            self._block(place, part, n_rows) if isinstance(part, list) else part
            for place, part in enumerate(parts(columns))
        ]
        if len(pieces) == 1:
            return bytes_of(pieces[0])
        return joined([as_binary(piece) if isinstance(piece, np.ndarray) else piece for piece in pieces])

    def _block(self, place: int, fields: list[Field], n_rows: int) -> np.ndarray:
        """The fixed fields as one array; what all rows have is written once."""
        constants = tuple(values if isinstance(values, int) else None for _, _, values in fields)
        layout = np.dtype([(name, kind) for name, kind, _ in fields])
        block = self._memory.get((place, layout, constants))
        if block is None or len(block) < n_rows:
            block = self._memory[place, layout, constants] = np.empty(n_rows, layout)
            for name, _, values in fields:
                if isinstance(values, int):
                    block[name] = values
        for name, _, values in fields:
            if not isinstance(values, int):
                block[name][:n_rows] = values
        return block[:n_rows]


def parts(columns: Sequence[Column]) -> Iterator[pa.Array | list[Field]]:
    """The columns of text, and the fixed fields before, between and after them."""
    fields: list[Field] = [("n", ">i2", len(columns))]
    for place, column in enumerate(columns):
        length, value = f"length {place}", f"value {place}"
        if isinstance(column, np.ndarray):
            fields.append((length, ">i4", column.itemsize))
            fields.append((value, column.dtype.newbyteorder(">").str, column))
        else:
            yield [*fields, (length, ">i4", as_numpy(pc.binary_length(column)))]
            yield column.cast(pa.binary())
            fields = []
    if fields:
        yield fields


def bytes_of(block: np.ndarray) -> memoryview:
    return block.view(np.uint8).data


def as_binary(block: np.ndarray) -> pa.Array:
    """The rows of a structured array as Arrow's bytes; nothing is copied."""
    offsets = np.arange(len(block) + 1, dtype=np.int32) * np.int32(block.itemsize)
    return pa.BinaryArray.from_buffers(pa.binary(), len(block), [None, pa.py_buffer(offsets), pa.py_buffer(block)])


def joined(pieces: Sequence[pa.Array]) -> memoryview:
    """The bytes of row after row."""
    rows = pc.binary_join_element_wise(*pieces, b"")
    end = int(np.frombuffer(rows.buffers()[1], np.int32)[len(rows)])
    return memoryview(rows.buffers()[2])[:end]
