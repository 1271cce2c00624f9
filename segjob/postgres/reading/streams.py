"""Sessions that read the parts of one whole at the same time, and what they read as one iterator, in the whole's order.

Every session has a thread. A thread that is ahead waits until the caller has taken what it read, and so, in the end,
does the server: however much there is to read, memory does not grow.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread

import psycopg
import pyarrow as pa

from segjob.errors import SegjobError
from segjob.postgres.connecting.connect import Database, open_session
from segjob.postgres.connecting.messages import may_be_encrypted
from segjob.postgres.reading.arrivals import Arrivals
from segjob.postgres.reading.libpq import LibpqWire
from segjob.postgres.reading.replies import GaveUp, Replies
from segjob.postgres.reading.rows import RowDecoder
from segjob.postgres.reading.tls import open_tls
from segjob.postgres.reading.wire import ServerError, SocketWire, Wire, give_up
from segjob.threads import start

SENT_AHEAD = 4096  # bytes of a statement that a connection takes in while the server is busy sending
JOIN_SECONDS = 5.0
ROW_BY_ROW = "the connection is encrypted in a way that only libpq can read, one row after the other"


class NotPrepared(ServerError):
    """What the server says to the statements that a session begins with."""


@dataclass(frozen=True)
class Slower:
    """What is read comes, but not as fast as it could."""

    reason: str


@dataclass(frozen=True)
class Statement:
    """A SELECT, and the part of the whole that it belongs to."""

    part: int
    text: str

    @property
    def copy(self) -> str:
        return f"COPY (\n{self.text}\n) TO STDOUT (FORMAT binary)"


@dataclass(frozen=True)
class Reading:
    """What is read, and how far it is.

    Attributes
    ----------
    preparation : statements that every session begins with
    statements : each is read once, by the session that comes to it first
    decoder : of their rows
    as_batch : makes a batch of some rows' columns, or raises
    """

    preparation: Sequence[str]
    statements: deque[Statement]
    decoder: RowDecoder
    as_batch: Callable[[list[pa.Array]], pa.RecordBatch]
    arrivals: Arrivals[pa.RecordBatch, Slower]

    def take(self) -> Statement | None:
        """A statement that nobody has read yet."""
        try:
            return self.statements.popleft()
        except IndexError:
            return None


def read_streams(
    database: Database,
    preparation: Sequence[str],
    statements: Sequence[str],
    decoder: RowDecoder,
    as_batch: Callable[[list[pa.Array]], pa.RecordBatch],
    n_streams: int,
    slower: Callable[[str], None],
    *,
    in_order: bool = False,
) -> Generator[pa.RecordBatch, None, None]:
    """Read the statements over so many sessions, or over fewer where the server has no more to give.

    Whatever goes wrong in one of them ends them all. Signals reach the caller while it waits.

    Parameters
    ----------
    slower : called with the reason for each session that could not be opened, and where only libpq can read
    in_order : give the rows of one statement after those of the one before; for statements that read little each, for
        what is read ahead lies in memory

    Raises
    ------
    ServerError
    DatabaseUnavailable, NotPermitted, ConfigurationError
        Not a single session could be opened.
    """
    n_streams = min(n_streams, len(statements))
    waiting = deque(Statement(place if in_order else 0, text) for place, text in enumerate(statements))
    parts = [1] * len(statements) if in_order else [len(statements)]
    arrivals = Arrivals[pa.RecordBatch, Slower](parts, n_streams)
    reading = Reading(preparation, waiting, decoder, as_batch, arrivals)
    first = open_wire(open_session(database, database.deadline))
    if isinstance(first, LibpqWire):
        slower(ROW_BY_ROW)

    def another() -> Wire:
        return open_wire(open_session(database, 0.0))

    with working(reading, [lambda: first, *[another] * (n_streams - 1)]):
        for item in arrivals:
            if isinstance(item, Slower):
                slower(item.reason)
            else:
                yield item


@contextmanager
def working(reading: Reading, sessions: Sequence[Callable[[], Wire]]) -> Iterator[None]:
    """A thread for each session, until the block ends."""
    threads = [
        Thread(target=work, args=(reading, session), name=f"segjob-read-{number}", daemon=True)
        for number, session in enumerate(sessions, 1)
    ]
    try:
        for thread in threads:
            start(thread)
        yield
    finally:
        reading.arrivals.give_up()
        for thread in threads:
            if thread.is_alive():
                thread.join(JOIN_SECONDS)


def work(reading: Reading, session: Callable[[], Wire]) -> None:
    """What a thread does: whatever happens, the caller hears of it."""
    try:
        let_server_send()
        read_over(reading, session)
    except GaveUp:
        return
    except BaseException as error:
        reading.arrivals.fail(error)


def let_server_send() -> None:
    """Make this thread one that takes a core from nobody when it is woken, where a thread can be such.

    The server sends 8 kB at a time, and each of these wakes us. Who then takes its core has the two change places for
    every 8 kB; left alone, the server fills the socket first (docs/decisions/0008).
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def read_over(reading: Reading, session: Callable[[], Wire]) -> None:
    try:
        opened = session()
    except SegjobError as error:
        reading.arrivals.tell(Slower(f"a session could not be opened: {error}"))
        return
    with ending(opened) as wire:
        read_all(reading, wire)


def open_wire(connection: psycopg.Connection) -> Wire:
    """The fastest way to what the server says on a connection on which nothing is going on."""
    if connection.pgconn.ssl_in_use:
        return open_tls(connection) or LibpqWire(connection)
    if may_be_encrypted(connection):
        return LibpqWire(connection)
    return SocketWire(connection)


@contextmanager
def ending(wire: Wire) -> Iterator[Wire]:
    """End the session with the block; what it has not finished is cancelled."""
    try:
        yield wire
    except BaseException:
        give_up(wire)
        raise
    wire.close()


def read_all(reading: Reading, wire: Wire) -> None:
    """Prepare the session, and read statements until there are none left.

    The next one is sent before the last is read, so that the server need not wait for us between them. A long one has
    to wait: a server that sends, to somebody who sends, takes nothing in.
    """
    arrivals = reading.arrivals
    replies = Replies(wire, reading.decoder, arrivals.given_up)
    statement = reading.take()
    for text in (*reading.preparation, *([statement.copy] if statement else [])):
        wire.send(text)
    prepare(replies, len(reading.preparation))
    while statement is not None:
        following = reading.take()
        ahead = following is not None and len(following.text) <= SENT_AHEAD
        if following is not None and ahead:
            wire.send(following.copy)
        for columns in replies.batches():
            arrivals.put(statement.part, reading.as_batch(columns))
        arrivals.end(statement.part)
        if following is not None and not ahead:
            wire.send(following.copy)
        statement = following


def prepare(replies: Replies, n_statements: int) -> None:
    try:
        for _ in range(n_statements):
            replies.finish()
    except ServerError as error:
        raise NotPrepared(error.state, error.said) from None
