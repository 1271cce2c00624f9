"""Sessions that read the parts of one whole at the same time, and what they read as one iterator.

Every session has a thread. A thread that is ahead waits until the caller has taken what it read, and so, in the end,
does the server: however much there is to read, memory does not grow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeAlias

import psycopg
import pyarrow as pa

from segjob.errors import SegjobError
from segjob.postgres.connecting.connect import Database, open_session
from segjob.postgres.reading.libpq import LibpqWire
from segjob.postgres.reading.replies import GaveUp, Replies
from segjob.postgres.reading.rows import RowDecoder
from segjob.postgres.reading.tls import open_tls
from segjob.postgres.reading.wire import PATIENCE, ServerError, SocketWire, Wire, give_up

SENT_AHEAD = 4096  # bytes of a statement that a connection takes in while the server is busy sending
JOIN_SECONDS = 5.0
ROW_BY_ROW = "the connection is encrypted in a way that only libpq can read, one row after the other"


class NotPrepared(ServerError):
    """What the server says to the statements that a session begins with."""


@dataclass(frozen=True)
class Ended:
    """A statement has ended and all its rows are here."""


@dataclass(frozen=True)
class Slower:
    """What is read comes, but not as fast as it could."""

    reason: str


Item: TypeAlias = "pa.RecordBatch | Ended | Slower | BaseException"


@dataclass(frozen=True)
class Reading:
    """What is read, and how far it is.

    Attributes
    ----------
    preparation : statements that every session begins with
    statements : SELECTs; each is read once, by the session that comes to it first
    decoder : of their rows
    as_batch : makes a batch of some rows' columns, or raises
    """

    preparation: Sequence[str]
    statements: deque[str]
    decoder: RowDecoder
    as_batch: Callable[[list[pa.Array]], pa.RecordBatch]
    items: Queue[Item]
    given_up: Event = field(default_factory=Event)

    def take(self) -> str | None:
        """A statement that nobody has read yet, as COPY."""
        try:
            return f"COPY (\n{self.statements.popleft()}\n) TO STDOUT (FORMAT binary)"
        except IndexError:
            return None

    def put(self, item: Item) -> None:
        """Hand something to the caller, as soon as that has taken what came before."""
        while not self.given_up.is_set():
            try:
                return self.items.put(item, timeout=PATIENCE)
            except Full:
                continue
        raise GaveUp


def read_streams(
    database: Database,
    preparation: Sequence[str],
    statements: Sequence[str],
    decoder: RowDecoder,
    as_batch: Callable[[list[pa.Array]], pa.RecordBatch],
    n_streams: int,
    slower: Callable[[str], None],
) -> Generator[pa.RecordBatch, None, None]:
    """Read the statements over so many sessions, or over fewer where the server has no more to give.

    Whatever goes wrong in one of them ends them all. Signals reach the caller while it waits.

    Parameters
    ----------
    slower : called with the reason for each session that could not be opened, and where only libpq can read

    Raises
    ------
    ServerError
    DatabaseUnavailable, NotPermitted, ConfigurationError
        Not a single session could be opened.
    """
    n_streams = min(n_streams, len(statements))
    reading = Reading(preparation, deque(statements), decoder, as_batch, Queue(n_streams + 1))
    first = open_wire(open_session(database, database.deadline))
    if isinstance(first, LibpqWire):
        slower(ROW_BY_ROW)

    def another() -> Wire:
        return open_wire(open_session(database, 0.0))

    with working(reading, [lambda: first, *[another] * (n_streams - 1)]):
        n_left = len(statements)
        while n_left:
            match reading.items.get():
                case pa.RecordBatch() as batch:
                    yield batch
                case Ended():
                    n_left -= 1
                case Slower() as one:
                    slower(one.reason)
                case BaseException() as error:
                    raise error


@contextmanager
def working(reading: Reading, sessions: Sequence[Callable[[], Wire]]) -> Iterator[None]:
    """A thread for each session, until the block ends."""
    threads = [
        Thread(target=work, args=(reading, session), name=f"segjob-read-{number}", daemon=True)
        for number, session in enumerate(sessions, 1)
    ]
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        reading.given_up.set()
        for thread in threads:
            thread.join(JOIN_SECONDS)


def work(reading: Reading, session: Callable[[], Wire]) -> None:
    """What a thread does: whatever happens, the caller hears of it."""
    try:
        read_over(reading, session)
    except GaveUp:
        return
    except BaseException as error:
        put_last(reading, error)


def put_last(reading: Reading, error: BaseException) -> None:
    try:
        reading.put(error)
    except GaveUp:
        return


def read_over(reading: Reading, session: Callable[[], Wire]) -> None:
    try:
        opened = session()
    except SegjobError as error:
        reading.put(Slower(f"a session could not be opened: {error}"))
        return
    with ending(opened) as wire:
        read_all(reading, wire)


def open_wire(connection: psycopg.Connection) -> Wire:
    """The fastest way to what the server says on a connection on which nothing is going on."""
    if connection.pgconn.ssl_in_use:
        return open_tls(connection) or LibpqWire(connection)
    if connection.pgconn.used_gssapi:  # which may encrypt as well; libpq does not tell
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
    replies = Replies(wire, reading.decoder, reading.given_up)
    statement = reading.take()
    for text in (*reading.preparation, *([statement] if statement else [])):
        wire.send(text)
    prepare(replies, len(reading.preparation))
    while statement is not None:
        following = reading.take()
        ahead = following is not None and len(following) <= SENT_AHEAD
        if following is not None and ahead:
            wire.send(following)
        for columns in replies.batches():
            reading.put(reading.as_batch(columns))
        reading.put(Ended())
        if following is not None and not ahead:
            wire.send(following)
        statement = following


def prepare(replies: Replies, n_statements: int) -> None:
    try:
        for _ in range(n_statements):
            replies.finish()
    except ServerError as error:
        raise NotPrepared(error.state, error.said) from None
