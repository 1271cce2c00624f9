"""The labels of a version read back in batches, for a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
from psycopg.conninfo import make_conninfo

from segjob.postgres.connect import Database
from segjob.postgres.queries import quote, sql
from segjob.postgres.read import bulk_errors
from segjob.postgres.write import Part


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
    with (
        bulk_errors(),
        adbc.connect(make_conninfo(database.conninfo, application_name="segjob")) as session,
        session.cursor() as cursor,
    ):
        cursor.execute(statement)
        yield cursor.fetch_record_batch()
