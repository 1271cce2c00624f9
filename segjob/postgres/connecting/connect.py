"""Connections: how they are opened, and what every session of the job sets."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from threading import Event
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow, dict_row
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from segjob.errors import DatabaseUnavailable, Stopped
from segjob.postgres.connecting.conninfo import refuse_misread
from segjob.postgres.connecting.keeping import refuse_ended
from segjob.postgres.connecting.meaning import connection_error, translated
from segjob.postgres.connecting.pooling import refuse_shared

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

CONNECT_DEADLINE = 10.0  # seconds until a server that does not answer is given up
CANCEL_SECONDS = 2.0

# The server asks after a minute of silence whether our machine is still there; its own default is two hours, for which
# it would hold the lock of a machine that vanished.
SESSION = """
SET search_path = '';
SET row_security = off;
SET idle_in_transaction_session_timeout = 0;
SET lock_timeout = '60s';
SET tcp_keepalives_idle = 30;
SET tcp_keepalives_interval = 10;
SET tcp_keepalives_count = 3;
SET client_encoding = 'UTF8';
SET intervalstyle = 'postgres';
SET datestyle = 'ISO, MDY';
SET extra_float_digits = 1;
SET quote_all_identifiers = off;
SET standard_conforming_strings = on;
SET transform_null_equals = off;
SET array_nulls = on;
"""


class Session(psycopg.Connection[TupleRow]):
    """A session that can be left at any moment.

    A signal comes while a statement is underway as well, and its answer will not be waited for: the server is told to
    stop, and the session ends, for nothing else can be asked of it.
    """

    pooled = False  # SQLAlchemy's pool closes it

    def rollback(self) -> None:
        if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
            with suppress(psycopg.Error):
                self.cancel_safe(timeout=CANCEL_SECONDS)
            self.close()
        if not self.closed:
            super().rollback()

    def close(self) -> None:
        try:
            super().close()
        except Stopped as stopped:
            if not self.pooled:
                raise
            raise Leaving(stopped) from stopped


class Leaving(BaseException):
    """Carries a signal past SQLAlchemy's pool, which logs and forgets every `Exception` of a session that it closes."""

    def __init__(self, stopped: Stopped) -> None:
        super().__init__(str(stopped))
        self.stopped = stopped


@contextmanager
def leaving() -> Iterator[None]:
    """Give a signal its own form back."""
    try:
        yield
    except Leaving as one:
        raise one.stopped from None


@dataclass(frozen=True)
class Schemas:
    """The two schemas: what analysts see, and what the job keeps."""

    public: str = "segments"
    private: str = "segjob"


@dataclass(frozen=True)
class Database:
    """One server and the two schemas on it.

    Attributes
    ----------
    conninfo : a libpq URL, or empty for the PG* variables
    deadline : seconds until a server that does not answer is given up
    source : where the customers are read, if not here
    key : where `segjob.yaml` has the URL, for messages
    """

    conninfo: str
    schemas: Schemas = Schemas()
    deadline: float = CONNECT_DEADLINE
    source: Database | None = None
    key: str = "database.url"
    known_unshared: Event = field(default_factory=Event, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"Database({self.schemas})"

    @property
    def customers(self) -> Database:
        """The server that the customers are read from."""
        return self.source or self

    @cached_property
    def engine(self) -> Engine:
        """SQLAlchemy's engine, which opens a session for each use and closes it."""
        from sqlalchemy.pool import NullPool

        return self.make_engine(poolclass=NullPool)

    @cached_property
    def transactions(self) -> Engine:
        """What `begin` takes its sessions from."""
        return self.engine

    def make_engine(self, **pool: Any) -> Engine:
        """An engine with a pool of its own; the tables of `tables.py` find their schemas through it."""
        from sqlalchemy import create_engine  # a third of a second, which commands that only list do without

        # Why a session could not be closed is nobody's concern, and Python would print it with a traceback.
        logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())
        engine = create_engine("postgresql+psycopg://", creator=self.open_pooled, hide_parameters=True, **pool)
        return engine.execution_options(schema_translate_map={"$private": self.schemas.private})

    @contextmanager
    def kept(self) -> Iterator[Database]:
        """The same database, whose transactions share a session as long as they come one after the other.

        One that has ended in between, as by the server's `idle_session_timeout`, is noticed, and another is opened.
        It is closed with the block.
        """
        from sqlalchemy.event import listen
        from sqlalchemy.pool import QueuePool

        database = replace(self)
        engine = self.make_engine(poolclass=QueuePool, pool_size=1, max_overflow=-1)
        listen(engine.pool, "checkout", refuse_ended)
        # Where the property looks first. A field would go into copies too, whose deadline its sessions do not keep.
        vars(database)["transactions"] = engine
        try:
            yield database
        finally:
            with leaving():
                engine.dispose()

    def open(self) -> Session:
        """Open a session of the driver's own, with the job's settings; retries until the deadline."""
        return open_session(self, self.deadline, self.settle)

    def open_pooled(self) -> psycopg.Connection:
        """The same for SQLAlchemy. Nothing is prepared: what a kept session knows of a table may be old."""
        session = self.open()
        session.pooled, session.prepare_threshold = True, None
        return session

    def settle(self, session: psycopg.Connection) -> None:
        """What every session begins with; before the first one anything is set, it is known to be ours alone."""
        if not self.known_unshared.is_set():
            refuse_shared(session, partial(connected, self, self.deadline), self.key)
            self.known_unshared.set()
        session.execute(SESSION)
        session.commit()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction: committed when the block ends, rolled back when it raises; driver errors are translated."""
        with leaving(), translated(), self.transactions.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[psycopg.Cursor[dict[str, Any]]]:
        """One read-only transaction of the driver's own, which gives rows as mappings; no SQLAlchemy is loaded."""
        with translated(), self.open() as connection:
            connection.read_only = True
            yield connection.cursor(row_factory=dict_row)

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """A session in which every statement is its own transaction."""
        with leaving(), translated(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")


def open_session(
    database: Database, deadline: float, settle: Callable[[psycopg.Connection], None] | None = None
) -> Session:
    """Connect, with jittered retries while that may help.

    Parameters
    ----------
    deadline : seconds; the last attempt may take two more
    settle : what a session begins with; one that breaks there was not opened

    Raises
    ------
    DatabaseUnavailable, NotPermitted, ConfigurationError
    """
    refuse_misread(database.conninfo, database.key)
    until = time.monotonic() + deadline
    for attempt in Retrying(
        stop=stop_after_delay(deadline),
        wait=wait_random_exponential(multiplier=0.2, max=2.0),
        retry=retry_if_exception_type(DatabaseUnavailable),
        reraise=True,
    ):
        with attempt:
            session = connected(database, until - time.monotonic())
            try:
                with translated():
                    if settle:
                        settle(session)
            except BaseException:
                session.close()
                raise
            return session
    raise AssertionError("unreachable: the last attempt raises")


def connected(database: Database, patience: float) -> Session:
    """One attempt. A server that vanishes is noticed within a minute or so, whether it is listened to or spoken to."""
    try:
        return Session.connect(
            database.conninfo,
            application_name="segjob",
            connect_timeout=max(2, int(patience)),
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=60_000,
        )
    except psycopg.Error as error:
        raise connection_error(error, database.key) from None


def deadline_of(conninfo: str) -> float:
    """For how long a server that does not answer is asked again: the URL's connect_timeout, if it has one."""
    try:
        said = str(conninfo_to_dict(conninfo).get("connect_timeout", ""))
    except psycopg.ProgrammingError:  # whoever connects says what is wrong with it
        return CONNECT_DEADLINE
    return float(said) if said.isdigit() and int(said) else CONNECT_DEADLINE


def driver_of(connection: Connection) -> psycopg.Connection:
    """The driver's own connection inside SQLAlchemy's, for what SQLAlchemy has no words for."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError("the job speaks to Postgres through psycopg")
    return driver
