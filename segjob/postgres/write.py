"""Labels into Postgres: Arrow batches through binary COPY into a bare table, the key and the checks after the load."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg import sql as compose
from psycopg.errors import UniqueViolation
from sqlalchemy import Connection, select, text

from segjob.errors import DataError, InternalError
from segjob.postgres.connect import driver_of
from segjob.postgres.queries import Names, query, quote, sql
from segjob.postgres.tables import version
from segjob.records import KeyColumn, Labels

LABEL_COLUMNS = ("distance", "segment_id", "runner_up_segment_id", "simplified_silhouette")
UNLABELLED_COLUMNS = ("reason", "feature")


@dataclass(frozen=True)
class Part:
    """The table of one version's labels, before it is a partition."""

    names: Names
    version_id: int
    keys: tuple[KeyColumn, ...]

    @property
    def identifiers(self) -> dict[str, str]:
        return self.names.identifiers() | {
            "part": self.names.part(self.version_id),
            "version_id": str(self.version_id),
            "keys": ", ".join(quote(key.name) for key in self.keys),
        }

    def execute(self, connection: Connection, step: str) -> None:
        for statement in sql(step, **self.identifiers):
            connection.execute(text(statement.replace(":", "\\:")))


def label_batch(keys: pa.RecordBatch, labels: Labels) -> pa.RecordBatch:
    """The rows of the label table for one chunk: its keys and what the label pass made of them."""
    alone = np.isnan(labels.simplified_silhouette)  # one segment: no runner-up, no silhouette
    columns = [
        *keys.columns,
        pa.array(labels.distance),
        pa.array(labels.segment_id),
        pa.array(labels.runner_up_segment_id, mask=alone),
        pa.array(labels.simplified_silhouette, mask=alone),
    ]
    return pa.RecordBatch.from_arrays(columns, names=[*keys.schema.names, *LABEL_COLUMNS])


def load_part(
    connection: Connection,
    part: Part,
    labelled: Iterable[pa.RecordBatch],
    unlabelled: Iterable[pa.RecordBatch],
    n_expected: int,
) -> int:
    """Create and fill the table of a version, build its key, check its counts, analyse it; returns the rows.

    Raises
    ------
    DataError
        The key is not unique in the source.
    InternalError
        The server took fewer rows than were read.
    """
    part.execute(connection, "create_part")
    n_rows = copy_in(connection, part, labelled, LABEL_COLUMNS)
    n_rows += copy_in(connection, part, unlabelled, UNLABELLED_COLUMNS)
    if n_rows != n_expected:
        raise InternalError(f"{n_expected} customers were read and {n_rows} written; nothing was published")
    build_key(connection, part)
    part.execute(connection, "bound_part")
    for statement in sql("analyze", relation=part.names.part(part.version_id)):
        connection.execute(text(statement))
    return n_rows


def build_key(connection: Connection, part: Part) -> None:
    """The primary key after the load. The server's DETAIL would name a customer: it stays out of the message."""
    try:
        driver_of(connection).execute(sql("key_part", **part.identifiers)[0].encode())
    except UniqueViolation:
        columns = ", ".join(key.name for key in part.keys)
        raise DataError(
            f"key ({columns}) is not unique in the source: some customers appear more than once; "
            "make the source return one row a customer"
        ) from None


def copy_in(connection: Connection, part: Part, batches: Iterable[pa.RecordBatch], columns: tuple[str, ...]) -> int:
    """Send batches through binary COPY; returns the number of rows that the server counted."""
    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        return 0
    statement = compose.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        compose.SQL(part.names.part(part.version_id)),
        compose.SQL(", ").join(compose.Identifier(name) for name in [*(key.name for key in part.keys), *columns]),
    )
    encoder = ArrowToPostgresBinaryEncoder(first.schema)
    with driver_of(connection).cursor() as cursor:
        with cursor.copy(statement) as copy:
            copy.write(encoder.write_header() + encoder.write_batch(first))
            for batch in batches:
                copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())
        return cursor.rowcount


def loose_parts(connection: Connection, names: Names) -> list[str]:
    """Tables of versions that are not attached to the label table."""
    arguments = {"schema": names.schemas.private, "prefix": names.part_prefix}
    return list(connection.execute(query("loose_parts"), arguments).scalars())


def drop_orphans(connection: Connection, names: Names) -> list[str]:
    """Drop tables of versions that were never stored, left by a run that died; returns their names."""
    stored = select(version.c.version_id).where(version.c.segmentation == names.segmentation)
    known = {f"{names.part_prefix}{version_id}" for version_id in connection.execute(stored).scalars()}
    orphans = [part for part in loose_parts(connection, names) if part not in known]
    for orphan in orphans:
        table = f"{quote(names.schemas.private)}.{quote(orphan)}"
        connection.execute(text(sql("drop_part", part=table)[0]))
    return orphans
