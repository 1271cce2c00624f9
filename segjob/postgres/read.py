"""The customers in bulk: Arrow batches under one snapshot, by two readers that give the same bits.

Layout of a batch, as `ReadPlan.schema` has it: the keys ("k:", integers, the 16 bytes of a uuid, or text), then
numbers ("n:", float64, NaN for whatever is missing), then categories ("c:", text, null for what is missing).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any

import adbc_driver_manager as adbc
import adbc_driver_postgresql
import numpy as np
import psycopg
import pyarrow as pa
from adbc_driver_manager._reader import AdbcRecordBatchReader  # the dbapi module's reader loses the SQLSTATE
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from segjob.errors import DatabaseUnavailable, DataError, SegjobError, TryAgain
from segjob.postgres.columns import ReadPlan
from segjob.postgres.connect import MEANINGS, SESSION, Database, connection_error, without_password, without_values
from segjob.postgres.queries import driver_query
from segjob.postgres.snapshot import Snapshot

BATCH_BYTES = 8 * 2**20
CHUNK_ROWS = 16_384
EXACT_FLOATS = "SET extra_float_digits = 1"  # text of a float8 that reads back to the same bits
KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
UNKNOWN_SNAPSHOT = ("22023", "42704")  # which one depends on the server's version
UNDECODABLE = "holds text that is not valid in its encoding: correct it in the source, or leave those rows out"


def read_bulk(
    database: Database, snapshot: Snapshot, plan: ReadPlan, batch_bytes: int = BATCH_BYTES
) -> Generator[pa.RecordBatch, None, None]:
    """Read through ADBC's binary COPY, one batch ahead of the caller.

    The driver works in a thread of its own, so that a signal reaches the caller while the server is silent. Whoever
    stops early cancels the statement; the session ends with the iterator either way.

    Raises
    ------
    DataError
        A NULL key, or text that is not valid.
    TryAgain, DatabaseUnavailable, NotPermitted, ConfigurationError
    """
    with (
        bulk_errors(),
        bulk_session(database, snapshot) as session,
        adbc.AdbcStatement(session) as statement,
        ThreadPoolExecutor(1, "segjob-read") as worker,
        cancelled(statement),
    ):
        statement.set_options(**{adbc_driver_postgresql.StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(batch_bytes)})
        statement.set_sql_query(plan.sql)
        stream, _ = worker.submit(statement.execute_query).result()
        batches = iter(AdbcRecordBatchReader._import_from_c(stream.address))
        pending = worker.submit(next, batches, None)
        while (batch := pending.result()) is not None:
            pending = worker.submit(next, batches, None)
            yield normalised(batch.columns, plan.schema)


def read_plain(
    database: Database, snapshot: Snapshot, plan: ReadPlan, chunk_rows: int = CHUNK_ROWS
) -> Iterator[pa.RecordBatch]:
    """Read through SQLAlchemy and a server-side cursor: the reference, and the way where ADBC can not go.

    It raises what `read_bulk` raises.
    """
    literally = {"no_parameters": True}
    with plain_errors(), database.engine.connect() as opened:
        session = opened.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with session.begin():
            import_snapshot(snapshot, partial(session.exec_driver_sql, execution_options=literally))
            session.exec_driver_sql(
                f"{EXACT_FLOATS};{driver_query('no_timeouts').decode()}", execution_options=literally
            ).close()
            streamed = literally | {"stream_results": True}
            with closing(session.exec_driver_sql(plan.sql, execution_options=streamed)) as result:
                # Asked of the result: SQLAlchemy passes over yield_per among the options of driver-level text.
                for rows in result.yield_per(chunk_rows).partitions():
                    yield normalised(columns_of_rows(rows, plan.schema), plan.schema)


# ADBC


@contextmanager
def bulk_session(database: Database, snapshot: Snapshot) -> Iterator[adbc.AdbcConnection]:
    """A session of the bulk driver with the job's settings, in a transaction on the snapshot."""
    handle, opened = open_bulk(database)
    with handle, opened as session:
        execute(session, SESSION + session_settings())
        execute(session, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        import_snapshot(snapshot, partial(execute, session))
        yield session


def open_bulk(database: Database) -> tuple[adbc.AdbcDatabase, adbc.AdbcConnection]:
    """Connect, with jittered retries while that may help."""
    for attempt in Retrying(
        stop=stop_after_delay(database.deadline),
        wait=wait_random_exponential(multiplier=0.2, max=2.0),
        retry=retry_if_exception_type(DatabaseUnavailable),
        reraise=True,
    ):
        with attempt:
            return connect_bulk(database)
    raise AssertionError("unreachable: the last attempt raises")


def connect_bulk(database: Database) -> tuple[adbc.AdbcDatabase, adbc.AdbcConnection]:
    """Connect once. The driver does it twice: the database handle looks up types in a session of its own."""
    try:
        handle = adbc_driver_postgresql.connect(
            make_conninfo(database.conninfo, application_name="segjob", **KEEPALIVES)
        )
        try:
            return handle, adbc.AdbcConnection(handle)
        except BaseException:
            handle.close()
            raise
    except adbc.Error as error:
        said = str(error).removeprefix("IO: [libpq] Failed to connect: ")
        raise connection_error(psycopg.OperationalError(said)) from None


def execute(session: adbc.AdbcConnection, statements: str) -> None:
    with adbc.AdbcStatement(session) as statement:
        statement.set_sql_query(statements)
        statement.execute_update()


@contextmanager
def cancelled(statement: adbc.AdbcStatement) -> Iterator[None]:
    """Cancel the statement when the block does not end by itself: the worker would wait for the server's answer."""
    try:
        yield
    except BaseException:
        with suppress(adbc.Error):
            statement.cancel()
        raise


# What both readers do


def session_settings() -> str:
    """What a session sets before it reads."""
    return f"{EXACT_FLOATS};{driver_query('no_timeouts').decode()}"


def import_snapshot(snapshot: Snapshot, execute: Callable[[str], object]) -> None:
    """Begin the transaction's view of the data; a snapshot that is gone is a wrong value to servers."""
    try:
        execute(f"SET TRANSACTION SNAPSHOT {sql.Literal(snapshot.id).as_string(None)}")
    except (adbc.Error, DBAPIError) as error:
        if state_of(error) in UNKNOWN_SNAPSHOT:
            raise TryAgain("the session that held the snapshot is gone; run again") from None
        raise


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
    kind, name = field.name.split(":", 1)
    if kind == "n":
        return normal_number(column)
    stored = column.storage if isinstance(column, pa.ExtensionArray) else column
    if kind == "k" and stored.null_count:
        raise DataError(
            f'key column "{name}" is NULL in {stored.null_count} of {len(stored)} rows that were read together:'
            " give every customer a key, or leave those rows out with `where`"
        )
    return valid_text(stored, name) if field.type == pa.string() else stored


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
    """Translate what ADBC raises; Arrow's own error stands in where the stream lost the driver's."""
    try:
        yield
    except adbc.Error as error:
        said = next((value for key, value in error.details or () if "MESSAGE_PRIMARY" in str(key)), b"")
        raise reading_error(state_of(error), said.decode(errors="replace")) from None
    except pa.ArrowException as error:
        raise SegjobError(f"the bulk driver gave up ({type(error).__name__})") from None


@contextmanager
def plain_errors() -> Iterator[None]:
    """Translate what SQLAlchemy and psycopg raise."""
    try:
        yield
    except UnicodeDecodeError:
        raise DataError(f"the source {UNDECODABLE}") from None
    except (DBAPIError, psycopg.Error) as error:
        driver = error.orig if isinstance(error, DBAPIError) else error
        said = driver.diag.message_primary if isinstance(driver, psycopg.Error) else None
        raise reading_error(state_of(error), said or "") from None


def state_of(error: BaseException) -> str:
    """The SQLSTATE; a connection that breaks has none."""
    driver = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(driver, "sqlstate", None) or "08006")


def reading_error(state: str, said: str) -> SegjobError:
    """What an error while reading means. What class 22 says between quotes is a customer's value."""
    if state == "22021":
        return DataError(f"the source {UNDECODABLE} (SQLSTATE {state})")
    meaning = next((error for prefix, error in MEANINGS if state.startswith(prefix)), SegjobError)
    sentence = without_values(without_password(said), state)
    return meaning(f"reading the source: {sentence or 'the connection broke'} (SQLSTATE {state})")
