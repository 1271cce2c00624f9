"""What tests of the readers share: the readers, small sources, and what they leave behind while they are at work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading import streams
from segjob.postgres.reading.columns import ReadPlan, plan_read
from segjob.postgres.reading.libpq import LibpqWire
from segjob.postgres.reading.read import read_bulk, read_plain
from segjob.postgres.reading.snapshot import hold
from segjob.postgres.reading.source import describe
from segjob.records.source import FeatureSpec, SourceSpec

Reader = Callable[..., Iterator[pa.RecordBatch]]


def read_by_libpq(*arguments: Any) -> Iterator[pa.RecordBatch]:
    """The bulk reader as it reads what nobody but libpq can."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "open_wire", LibpqWire)
        yield from read_bulk(*arguments)


READERS = pytest.mark.parametrize("read", [read_bulk, read_by_libpq, read_plain])


def plan(database: Database, source: SourceSpec, keys: list[str], *features: FeatureSpec) -> ReadPlan:
    with database.begin() as connection:
        return plan_read(describe(connection, source), keys, features)


def series(database: Database, n: int, amount: str = "x::float8", key: str = "x") -> ReadPlan:
    """A plan over a query of n rows; `amount` and `key` are expressions of the row's number x."""
    query = f"SELECT {key} AS id, {amount} AS amount FROM generate_series(1, {n}) AS g (x)"
    return plan(database, SourceSpec(query=query), ["id"], FeatureSpec("amount"))


def all_of(database: Database, read: Reader, plan: ReadPlan, *options: int) -> pa.Table:
    with hold(database, plan) as snapshot:
        table = pa.Table.from_batches(read(database, snapshot, plan, *options), plan.schema)
        snapshot.verify()
        return table


def sessions(connection: psycopg.Connection, condition: str = "true") -> int:
    """How many sessions of the job there are that fulfil a condition on `pg_stat_activity`."""
    ours = "SELECT FROM pg_stat_activity WHERE application_name = 'segjob' AND datname = current_database() AND "
    return len(connection.execute((ours + condition).encode()).fetchall())


def reading_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("segjob-read")]
