"""The labels of a version read back in batches, for a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

import pyarrow as pa

from segjob.errors import InternalError
from segjob.postgres.connecting.connect import SESSION, Database
from segjob.postgres.connecting.meaning import translated
from segjob.postgres.queries import quote, sql
from segjob.postgres.reading.read import bulk_errors, session_settings, unheard
from segjob.postgres.reading.rows import RowDecoder, singly
from segjob.postgres.reading.streams import read_streams
from segjob.postgres.writing.write import Part

TYPES = {
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.string(),
    "varchar": pa.string(),
}
"""What becomes of the types that a label table has; a domain is described as the type below it."""


@contextmanager
def read_labels(database: Database, part: Part) -> Iterator[pa.RecordBatchReader]:
    """Stream the labelled customers of a version, in the order of their keys."""
    keys = [f"l.{quote(key.name)}" for key in part.keys]
    exported = [
        f"{name}::text AS {quote(key.name)}" if key.family == "uuid" else name
        for name, key in zip(keys, part.keys, strict=True)
    ]
    identifiers = part.identifiers | {"keys": ", ".join(keys), "exported_keys": ",\n    ".join(exported)}
    (statement,) = sql("export_labels", **identifiers)
    schema = find_schema(database, statement)
    batch = partial(pa.RecordBatch.from_arrays, schema=schema)
    preparation = (SESSION, session_settings())
    streams = read_streams(database, preparation, [statement], RowDecoder(singly(schema)), batch, 1, unheard)
    with bulk_errors(), closing(streams) as batches:
        yield pa.RecordBatchReader.from_batches(schema, batches)


def find_schema(database: Database, statement: str) -> pa.Schema:
    """The columns that the statement will give."""
    with translated(), database.open() as session:
        described = session.execute(f"SELECT * FROM (\n{statement}\n) AS q LIMIT 0".encode()).description
    if described is None:
        raise InternalError("a SELECT has columns")
    names = [(column.name, session.adapters.types[column.type_code].name) for column in described]
    return pa.schema([pa.field(name, TYPES[type_name]) for name, type_name in names])
