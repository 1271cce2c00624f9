"""How chunks lie in record batches: customers as they were read, and rows of the matrix that is clustered."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from segjob.arrays import as_arrow, as_numpy
from segjob.records.population import Chunk

MATRIX = "q"


def decode_chunk(batch: pa.RecordBatch) -> Chunk:
    """A chunk of customers from a batch with the fields "k:…", "n:…" and "c:…".

    The keys get their own names back. The numbers are a copy of shape (n, number of numeric features), in Fortran
    order: a feature's values lie together.
    """
    keys, numbers, categories = (fields_of(batch, kind) for kind in ("k:", "n:", "c:"))
    matrix = np.empty((batch.num_rows, len(numbers)), order="F")  # (n, d) float64
    for place, name in enumerate(numbers):
        matrix[:, place] = as_numpy(batch.column(name))
    return Chunk(
        keys=batch.select(keys).rename_columns([name[2:] for name in keys]),
        numbers=matrix,
        categories=tuple(batch.column(name) for name in categories),
    )


def fields_of(batch: pa.RecordBatch, kind: str) -> list[str]:
    return [name for name in batch.schema.names if name.startswith(kind)]


def matrix_schema(d: int) -> pa.Schema:
    """The schema of batches that hold rows of d float32; without columns (d = 0) only the number of rows is kept."""
    return pa.schema([pa.field(MATRIX, pa.list_(pa.float32(), d) if d else pa.null())])


def matrix_batch(matrix: np.ndarray) -> pa.RecordBatch:
    """A batch from an (n, d) float32 matrix; in C order it is not copied."""
    n, d = matrix.shape
    schema = matrix_schema(d)
    if not d:
        return pa.RecordBatch.from_arrays([pa.nulls(n)], schema=schema)
    values = as_arrow(np.ascontiguousarray(matrix, dtype=np.float32).reshape(n * d))
    return pa.RecordBatch.from_arrays([pa.FixedSizeListArray.from_arrays(values, d)], schema=schema)


def decode_matrix(batch: pa.RecordBatch) -> np.ndarray:
    """The (n, d) float32 matrix of a batch: a view in C order that can not be written to."""
    column = batch.column(MATRIX)
    if pa.types.is_null(column.type):
        return np.empty((len(column), 0), dtype=np.float32)
    return as_numpy(column.flatten()).reshape(len(column), column.type.list_size)
