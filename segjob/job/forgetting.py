"""Customers are forgotten: erased from all that is stored, while nobody can bring them back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection

from segjob.clustering.key_hash import key_hashes
from segjob.errors import InternalError, UsageError
from segjob.job.recording import Started, recorded
from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import hold_locks
from segjob.postgres.patience import patiently
from segjob.postgres.publishing.scoring import drop_scratch
from segjob.postgres.queries import Names, execute, query
from segjob.postgres.removing.erasure import Erased, Forgotten, count_left, erase
from segjob.postgres.removing.scrubbing import SNAPSHOT_DEADLINE, scrub, wait_for_older_snapshots
from segjob.postgres.runs import ending_run, finish_run
from segjob.postgres.shapes import check_up_to_date, stored_keys
from segjob.postgres.writing.write import drop_orphans
from segjob.progress import Progress
from segjob.records.source import KeyColumn

if TYPE_CHECKING:
    from segjob.config import Settings

LOCKS = ("fit", "score", "publish")
"""A run that read the source before would bring them back."""

INTEGER_BITS = {"smallint": 16, "integer": 32}


def forget_customers(
    database: Database, settings: Settings, name: str, given: Sequence[Sequence[str]], progress: Progress
) -> dict[str, Any]:
    """Erase customers from every version, history and sample; returns `forget --json`, which names nobody.

    Parameters
    ----------
    given : for each customer, the parts of the key as text

    Raises
    ------
    UsageError
        A key is not of the type that the segmentation's key has.
    TryAgain
        A run is at work; or a transaction that was open before keeps what was erased on disk.
    """
    names = Names(database.schemas, name)
    with database.begin() as connection:
        check_up_to_date(connection, database.schemas)
        forgotten = forgotten_ones(stored_keys(connection, name), given)
    with hold_locks(database, name, LOCKS):
        row = Started(name, "forget", settings.segmentation(name).config_hash())
        with recorded(database, progress, row) as record:
            clear_away(database, names)
            erased, n_sampled = take_out(database, names, forgotten, progress)
            with ending_run(database, record.run_id) as connection:
                finish_run(connection, record.run_id, "succeeded", exit_code=0, **record.columns(progress))
    tables = [{"table": one.table.name, "n_rows": one.n_rows} for one in erased if one.n_rows]
    tables += [{"table": "sample_row", "n_rows": n_sampled}] if n_sampled else []
    return {
        "segmentation": name,
        "run_id": record.run_id,
        "status": "succeeded",
        "n_keys": len(forgotten.hashes),
        "n_rows": sum(one["n_rows"] for one in tables),
        "tables": tables,
        "n_left": 0,
    }


def clear_away(database: Database, names: Names) -> None:
    """Drop what a dead run left, which may hold them too."""
    with database.begin() as connection:
        drop_orphans(connection, names)
        execute(connection, "drop_moves", moves=names.moves)
        drop_scratch(connection, names)


def take_out(database: Database, names: Names, forgotten: Forgotten, progress: Progress) -> tuple[list[Erased], int]:
    """Delete in one transaction, clean what held the rows, and count again."""

    def step(connection: Connection) -> tuple[list[Erased], int, str]:
        return *erase(connection, names, forgotten), connection.execute(query("current_transaction")).scalar_one()

    erased, n_sampled, transaction = patiently(database, names, step)
    n_rows = sum(one.n_rows for one in erased)
    progress.log("erased; pages, indexes and statistics are next", rows=n_rows, sampled=n_sampled, tables=len(erased))
    wait_for_older_snapshots(database, transaction, SNAPSHOT_DEADLINE)
    scrub(database, names, erased, forgotten.columns)
    with database.begin() as connection:
        left = count_left(connection, names, forgotten)
    if left:
        raise InternalError(f"{left} rows or statistics still speak of customers that were to be forgotten")
    return erased, n_sampled


# Keys


def forgotten_ones(columns: tuple[KeyColumn, ...], given: Sequence[Sequence[str]]) -> Forgotten:
    """Keys as the database has them, each once, with the hashes that stand for them in the samples."""
    keys = dict.fromkeys(key_of(columns, parts, number) for number, parts in enumerate(given, start=1))
    values = tuple([key[i] for key in keys] for i in range(len(columns)))
    arrays = [array_of(column, one) for column, one in zip(columns, values, strict=True)]
    hashes = key_hashes(pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns]))
    return Forgotten(columns, values, hashes.view(np.int64).tolist())


def key_of(columns: Sequence[KeyColumn], parts: Sequence[str], number: int) -> tuple[Any, ...]:
    """One key, typed; the message tells which it was and not what it said."""
    if len(parts) != len(columns):
        wanted = ", ".join(column.name for column in columns)
        raise UsageError(f"key number {number} has {len(parts)} parts, not {len(columns)} ({wanted})")
    return tuple(value_of(column, part, number) for column, part in zip(columns, parts, strict=True))


def value_of(column: KeyColumn, part: str, number: int) -> Any:
    try:
        if column.family == "integer":
            return integer_of(part, INTEGER_BITS.get(column.type, 64))
        return UUID(part) if column.family == "uuid" else part
    except ValueError:
        raise UsageError(
            f"key number {number}: {column.name} is of type {column.type}, and what was given is not"
        ) from None


def integer_of(part: str, bits: int) -> int:
    if not re.fullmatch("[+-]?[0-9]+", part.strip()) or not -(2 ** (bits - 1)) <= int(part) < 2 ** (bits - 1):
        raise ValueError
    return int(part)


def array_of(column: KeyColumn, values: list[Any]) -> pa.Array:
    """As the hash was computed when they were read."""
    if column.family == "uuid":
        return pa.array([value.bytes for value in values], pa.binary(16))
    return pa.array(values, pa.int64() if column.family == "integer" else pa.string())
