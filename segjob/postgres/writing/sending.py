"""Rows on their way to the server: from one who computes them to several sessions that encode and send.

The caller's own thread computes, for that is where signals arrive; each session has a thread of its own, and nobody
else touches it while that works.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any

import psycopg

from segjob.errors import DatabaseUnavailable, DataError
from segjob.postgres.connecting.connect import Database
from segjob.postgres.connecting.meaning import translated
from segjob.postgres.queries import driver_query, quote
from segjob.postgres.writing.encoding import HEADER, TRAILER, Column, RowEncoder
from segjob.postgres.writing.wire import writer_for
from segjob.threads import Pool

AHEAD = 2  # batches a stream that may wait
GRACE = 0.5  # seconds that a stream gets to end by itself
CANCEL_SECONDS = 2.0


@dataclass(frozen=True)
class Rows:
    """Some rows: the names of the columns that are given, and the values of each."""

    names: tuple[str, ...]
    columns: Sequence[Column]
    n_rows: int


class Halted(Exception):
    """Another thread gave up."""


class Supply:
    """A short queue from one thread to several, which anyone can halt for all."""

    def __init__(self, capacity: int) -> None:
        self.failure: BaseException = Halted()
        self._capacity = capacity
        self._waiting: deque[Rows] = deque()
        self._changed = threading.Condition()
        self._ended = self._halted = False

    def put(self, rows: Rows) -> None:
        """Add a batch as soon as there is room."""
        with self._changed:
            self._wait_until(lambda: len(self._waiting) < self._capacity)
            self._waiting.append(rows)
            self._changed.notify_all()

    def end(self) -> None:
        """Let those who take know that nothing more will come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def halt(self, failure: BaseException) -> None:
        """Whoever puts or takes gets `Halted` from now on; the first failure is kept."""
        with self._changed:
            if not self._halted:
                self._halted, self.failure = True, failure
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Rows]:
        while (rows := self._take()) is not None:
            yield rows

    def _take(self) -> Rows | None:
        with self._changed:
            self._wait_until(lambda: self._ended or bool(self._waiting))
            self._changed.notify_all()
            return self._waiting.popleft() if self._waiting else None

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._halted or ready())
        if self._halted:
            raise Halted


def send(
    database: Database,
    table: str,
    batches: Iterable[Rows],
    n_expected: int,
    n_streams: int,
    on_rows: Callable[[int], object] | None = None,
) -> None:
    """Fill a table through several sessions, each in one transaction; they commit when all is done and all is there.

    Parameters
    ----------
    table : the quoted name of a table that every session can see
    batches : computed in the caller's thread while earlier ones travel
    n_expected : rows
    on_rows : told, in the caller's thread, how many rows each batch has that is on its way

    Raises
    ------
    DataError
        The server counted other than `n_expected` rows.
    SegjobError
        What became of the first stream that failed.
    """
    with ExitStack() as stack:
        sessions = [stack.enter_context(closing(open_writer(database))) for _ in range(n_streams)]
        supply = Supply(AHEAD * n_streams)
        threads = stack.enter_context(Pool(n_streams, "segjob-write"))
        stream = partial(run_stream, table=table, supply=supply, alone=n_streams == 1)
        streams: list[Future[int]] = []
        try:
            for session in sessions:
                streams.append(threads.submit(stream, session))
            feed(supply, batches, on_rows)
            check_count(sum(stream.result() for stream in streams), n_expected)
            for session in sessions:
                session.commit()
        except BaseException as error:
            supply.halt(error)
            end_sessions(sessions[: len(streams)], streams)
            with translated():
                raise explained(supply.failure if isinstance(error, Halted) else error) from None


def feed(supply: Supply, batches: Iterable[Rows], on_rows: Callable[[int], object] | None) -> None:
    for batch in batches:
        supply.put(batch)
        if on_rows:
            on_rows(batch.n_rows)
    supply.end()


def explained(error: BaseException) -> BaseException:
    """A line that breaks in the middle of a COPY has no SQLSTATE, and no sentence for a person."""
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return DatabaseUnavailable("the connection broke while the labels were written; nothing was published")
    return error


def check_count(n_rows: int, n_expected: int) -> None:
    if n_rows != n_expected:
        raise DataError(
            f"{n_expected} customers were read and {n_rows} written; nothing was published: look for a trigger "
            "or a rule that drops rows"
        )


# One stream


def open_writer(database: Database) -> psycopg.Connection:
    """A session that no idle timeout ends while it waits for the others."""
    session = database.open()
    try:
        with translated():
            session.execute(driver_query("no_timeouts"))
            session.commit()
    except BaseException:
        session.close()
        raise
    return session


def run_stream(session: psycopg.Connection, table: str, supply: Supply, alone: bool) -> int:
    """Send what the supply has until it ends; returns the rows that the server counted. Its transaction stays open.

    Who is alone can write rows that are frozen from the start, because the table was emptied in the same transaction:
    nobody has to come back to every page to note that they are committed, which with checksums is logged page by page.
    """
    try:
        if alone:
            session.execute(driver_query("empty_part", part=table))
        copy = partial(copy_in, session, table, RowEncoder(), ", FREEZE" if alone else "")
        return sum(copy(names, batches) for names, batches in groupby(supply, attrgetter("names")))
    except BaseException as error:
        supply.halt(error)
        raise


def copy_in(
    session: psycopg.Connection,
    table: str,
    encoder: RowEncoder,
    options: str,
    names: Sequence[str],
    batches: Iterable[Rows],
) -> int:
    """One COPY of batches that have the same columns."""
    columns = ", ".join(map(quote, names))
    statement = f"COPY {table} ({columns}) FROM STDIN (FORMAT binary{options})".encode()
    with session.cursor() as cursor:
        with cursor.copy(statement, writer=writer_for(cursor)) as copy:
            copy.write(HEADER)
            for batch in batches:
                copy.write(encoder.encode(batch.columns, batch.n_rows))
            copy.write(TRAILER)
        return cursor.rowcount


# Giving up


def end_sessions(sessions: Sequence[psycopg.Connection], streams: Sequence[Future[Any]]) -> None:
    """Make sure that no thread is at work in a session any more, whatever the server does."""
    wait(streams, GRACE)
    for session, stream in zip(sessions, streams, strict=True):
        if not stream.done():
            break_off(session)
    wait(streams)


def break_off(session: psycopg.Connection) -> None:
    """End what another thread is waiting for in a session: the statement, if the server listens, and the connection."""
    with suppress(psycopg.Error):
        session.cancel_safe(timeout=CANCEL_SECONDS)
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(session.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
