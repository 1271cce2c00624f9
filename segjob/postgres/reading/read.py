"""The customers in bulk: Arrow batches under one snapshot, by two readers that give the same bits.

Layout of a batch, as `ReadPlan.schema` has it: the keys ("k:", integers, the 16 bytes of a uuid, or text), then
numbers ("n:", float64, NaN for whatever is missing), then categories ("c:", text, null for what is missing).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import sql
from sqlalchemy.exc import DBAPIError

from segjob.errors import DataError, SegjobError, TryAgain
from segjob.postgres.connecting.connect import SESSION, Database
from segjob.postgres.connecting.discretion import sentence_of
from segjob.postgres.connecting.meaning import MEANINGS
from segjob.postgres.queries import driver_query
from segjob.postgres.reading.columns import ReadPlan
from segjob.postgres.reading.ranges import can_keep_order, read_statements, wire_columns
from segjob.postgres.reading.rows import Column, RowDecoder
from segjob.postgres.reading.snapshot import Snapshot
from segjob.postgres.reading.streams import NotPrepared, read_streams
from segjob.postgres.reading.wire import LOST, ServerError

CONNECTIONS = 2
CHUNK_ROWS = 16_384
# Every lock is held by the guard already. Who still waits for one waits behind somebody who waits for the guard.
NO_QUEUE = "SET lock_timeout = '1s'"
EXACT_FLOATS = "SET extra_float_digits = 1"  # text of a float8 that reads back to the same bits
READ_ONLY = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
UNKNOWN_SNAPSHOT = ("22023", "42704")  # which one depends on the server's version
UNDECODABLE = "holds text that is not valid in its encoding: correct it in the source, or leave those rows out"


def unheard(reason: str) -> None:
    """What happens to a reason that nobody asks for."""


def read_bulk(
    database: Database,
    snapshot: Snapshot,
    plan: ReadPlan,
    connections: int = CONNECTIONS,
    slower: Callable[[str], None] = unheard,
) -> Generator[pa.RecordBatch, None, None]:
    """Read through binary COPY over several sessions, of which each has a thread.

    The rows of a table come in the order in which they lie, unless it has very many partitions. A signal reaches the
    caller while the server is silent; whoever stops early cancels what is going on; the sessions end with the iterator.

    Parameters
    ----------
    connections : the most sessions; a source that is small, or can not be divided, is read over one
    slower : called with the reason for each session that the server refuses when there is at least one, and where only
        libpq can read

    Raises
    ------
    DataError
        A NULL key, or text that is not valid.
    TryAgain, DatabaseUnavailable, NotPermitted, ConfigurationError
    InternalError
        The server counts other rows than have arrived.
    """
    statements = read_statements(plan, snapshot.extent, connections)
    sent = wire_columns(plan.schema)
    reading = partial(batch_of_columns, sent=sent, schema=plan.schema)
    preparation = (SESSION, session_settings(), READ_ONLY, set_snapshot(snapshot))
    streams = read_streams(
        database,
        preparation,
        statements,
        RowDecoder(sent),
        reading,
        connections,
        slower,
        in_order=can_keep_order(snapshot.extent, len(statements)),
    )
    with bulk_errors(), closing(streams) as batches:
        yield from batches


def read_plain(
    database: Database, snapshot: Snapshot, plan: ReadPlan, chunk_rows: int = CHUNK_ROWS
) -> Iterator[pa.RecordBatch]:
    """Read through SQLAlchemy and a server-side cursor: the reference.

    It raises what `read_bulk` raises.
    """
    literally = {"no_parameters": True}
    with plain_errors(), database.engine.connect() as opened:
        session = opened.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with session.begin():
            import_snapshot(snapshot, partial(session.exec_driver_sql, execution_options=literally))
            session.exec_driver_sql(session_settings(), execution_options=literally).close()
            streamed = literally | {"stream_results": True}
            with closing(session.exec_driver_sql(plan.sql, execution_options=streamed)) as result:
                # Asked of the result: SQLAlchemy passes over yield_per among the options of driver-level text.
                for rows in result.yield_per(chunk_rows).partitions():
                    yield normalised(columns_of_rows(rows, plan.schema), plan.schema)


# What both readers do


def session_settings() -> str:
    """What a session sets before it reads."""
    return f"{EXACT_FLOATS};{NO_QUEUE};{driver_query('no_timeouts').decode()}"


def set_snapshot(snapshot: Snapshot) -> str:
    """What begins a transaction's view of the data."""
    return f"SET TRANSACTION SNAPSHOT {sql.Literal(snapshot.id).as_string(None)}"


def import_snapshot(snapshot: Snapshot, execute: Callable[[str], object]) -> None:
    try:
        execute(set_snapshot(snapshot))
    except DBAPIError as error:
        raise (snapshot_gone(state_of(error)) or error) from None


def snapshot_gone(state: str) -> TryAgain | None:
    """A snapshot that is gone is a wrong value to servers."""
    if state not in UNKNOWN_SNAPSHOT:
        return None
    return TryAgain("the session that held the snapshot is gone; run again")


def batch_of_columns(columns: Sequence[pa.Array], sent: Sequence[Column], schema: pa.Schema) -> pa.RecordBatch:
    """The batch of columns that came in another order."""
    named = dict(zip((field.name for held in sent for field in held), columns, strict=True))
    checked = [checked_column(named[field.name], field) for field in schema]
    return pa.RecordBatch.from_arrays(checked, schema=schema)


def columns_of_rows(rows: Sequence[Any], schema: pa.Schema) -> list[pa.Array]:
    """Rows of Python objects as Arrow columns."""
    return [
        pa.array([value.bytes for value in values] if field.type == pa.binary(16) else values, field.type)
        for values, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]


def normalised(columns: Sequence[pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    """The batch as everything later expects it."""
    fields = zip(columns, schema, strict=True)
    return pa.RecordBatch.from_arrays([normal_column(column, field) for column, field in fields], schema=schema)


def normal_column(column: pa.Array, field: pa.Field) -> pa.Array:
    """One column, by the kind that its name begins with."""
    return normal_number(column) if field.name.startswith("n:") else checked_column(column, field)


def checked_column(column: pa.Array, field: pa.Field) -> pa.Array:
    """The column, unless it has what nobody can use."""
    kind, name = field.name.split(":", 1)
    if kind == "k" and column.null_count:
        raise DataError(
            f'key column "{name}" is NULL in {column.null_count} of {len(column)} rows that were read together:'
            " give every customer a key, or leave those rows out with `where`"
        )
    return valid_text(column, name) if field.type == pa.string() else column


def normal_number(column: pa.Array) -> pa.Array:
    """float64 with one and the same NaN for NULL, NaN and the infinities."""
    values = column.to_numpy(zero_copy_only=False)
    return pa.array(np.where(np.isfinite(values), values, np.nan))


def valid_text(column: pa.Array, name: str) -> pa.Array:
    """Text that is checked: between equal encodings the server sends whatever bytes it has."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        raise DataError(f'column "{name}" {UNDECODABLE}') from None
    return column


# What went wrong. The causes are left behind: their text has the server's DETAIL and CONTEXT, with customers' values.


@contextmanager
def bulk_errors() -> Iterator[None]:
    """Translate what the server says on the wire."""
    try:
        yield
    except NotPrepared as error:
        raise (snapshot_gone(error.state) or reading_error(error.state, error.said)) from None
    except ServerError as error:
        raise reading_error(error.state, error.said) from None


@contextmanager
def plain_errors() -> Iterator[None]:
    """Translate what SQLAlchemy and psycopg raise."""
    try:
        yield
    except UnicodeDecodeError:
        raise DataError(f"the source {UNDECODABLE}") from None
    except (DBAPIError, psycopg.Error) as error:
        driver = error.orig if isinstance(error, DBAPIError) else error
        said = sentence_of(driver) if isinstance(driver, psycopg.Error) and driver.diag.message_primary else ""
        raise reading_error(state_of(error), said) from None


def state_of(error: BaseException) -> str:
    """The SQLSTATE; a connection that breaks has none."""
    driver = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(driver, "sqlstate", None) or LOST)


def reading_error(state: str, said: str) -> SegjobError:
    """What an error while reading means."""
    if state == "22021":
        return DataError(f"the source {UNDECODABLE} (SQLSTATE {state})")
    meaning = next((error for prefix, error in MEANINGS if state.startswith(prefix)), SegjobError)
    return meaning(f"reading the source: {said or 'the connection broke'} (SQLSTATE {state})")
