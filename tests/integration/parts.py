"""What tests of the writing share: a part, labels that tell their row, and what is left behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import psycopg
import pyarrow as pa

from segjob.postgres.connecting.connect import Database
from segjob.postgres.migrate import Grants, migrate
from segjob.postgres.queries import Names, quote
from segjob.postgres.shapes import Shape
from segjob.postgres.writing.write import Part, completing, fill_part, new_part
from segjob.records.model import Labels
from segjob.records.source import FeatureColumn, KeyColumn

Batches = Iterator[tuple[pa.RecordBatch, Labels]]

BIGINT = (KeyColumn("id", "bigint", "integer"),)
CHUNK = 1000
MANY = 10_000 * CHUNK  # so many that each of several sessions gets some, however late its thread begins


def new(database: Database, keys: tuple[KeyColumn, ...] = BIGINT, version_id: int = 1) -> Part:
    """A part whose label table exists."""
    shape = Shape("mall", keys, (FeatureColumn("amount", "double precision", "number"),))
    migrate(database, [shape], Grants())
    return Part(Names(database.schemas, "mall"), version_id, keys)


def labels(n: int, first: int = 0) -> Labels:
    """Labels that tell from which row they are."""
    rows = np.arange(first, first + n)
    segment_id = (rows % 7 + 1).astype(np.int32)
    runner_up = (rows % 5 + 8).astype(np.int32)
    return Labels(segment_id, rows / 3.0, runner_up, (rows / 1e6).astype(np.float32))


def chunks(n: int, size: int = CHUNK) -> Batches:
    for first in range(0, n, size):
        keys = pa.array(range(first, min(n, first + size)), pa.int64())
        yield pa.RecordBatch.from_arrays([keys], names=["id"]), labels(len(keys), first)


def stored(connection: psycopg.Connection, part: Part) -> list[tuple[object, ...]]:
    keys = ", ".join(quote(name) for name in part.key_names)
    return connection.execute(
        f"SELECT {keys}, version_id, segment_id, distance, runner_up_segment_id, simplified_silhouette,"
        f" carried_segment_id, excluded_by FROM {part.table} ORDER BY distance, {keys}".encode()
    ).fetchall()


def leftovers(connection: psycopg.Connection) -> list[object]:
    """Tables of versions, and sessions of the job; those that end take a moment to do so."""
    found: list[object] = []
    for _ in range(50):
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'label\\_mall$%' AND relkind = 'r'"
        ).fetchall()
        found = [*tables, *sessions(connection)]
        if not found:
            break
        time.sleep(0.1)  # a session that ends takes a moment to do so
    return found


def sessions(connection: psycopg.Connection, doing: str = "") -> list[tuple[int, str, str]]:
    return connection.execute(
        "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'segjob' AND query LIKE %s ORDER BY pid",
        [f"{doing}%"],
    ).fetchall()


def load_part(
    database: Database,
    part: Part,
    labelled: Iterable[tuple[pa.RecordBatch, Labels]],
    unlabelled: Iterable[pa.RecordBatch],
    n_expected: int,
    n_streams: int = 1,
    on_rows: Callable[[int], object] | None = None,
) -> None:
    """All that a run does to the table of a version until it is stored."""
    with new_part(database, part):
        fill_part(database, part, labelled, unlabelled, n_expected, n_streams, on_rows)
        with completing(database, part):
            pass
