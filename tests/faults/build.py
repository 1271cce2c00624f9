"""A build of the command in which every point has a name: what of the driver and of the job is replaced in a fork.

A round trip to the server has three points: before it, during it (the statement is on its way and the answer is not
here: what became of it nobody can know), and after it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection as Line
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.copy import LibpqWriter
from psycopg.pq import TransactionStatus

from segjob.postgres.connecting import connect
from segjob.postgres.reading.arrivals import Arrivals
from segjob.postgres.reading.wire import SocketWire
from segjob.postgres.writing.wire import SocketWriter
from segjob.progress import Phase, Progress
from tests.command import become_command
from tests.faults.points import Point, Points, name_of, writes

SETTING = connect.SESSION.strip()


def become_build(
    folder: str, variables: dict[str, str], arguments: Sequence[str], streams: Sequence[str], line: Line, wanted: Point
) -> None:
    """Be the command, told where to stop."""
    points = Points(line, wanted)
    name_phases(points)
    name_connections(points)
    RoundTrips(points).name()
    name_copies(points)
    name_reading(points)
    become_command(folder, variables, arguments, streams)


def replace(owner: Any, name: str, change: Callable[[Any], Any]) -> None:
    """Put what `change` makes of an attribute in its place."""
    setattr(owner, name, change(getattr(owner, name)))


def surround(points: Points, owner: Any, name: str, what: str) -> None:
    """A point before each call, and one after it."""

    def change(original: Callable[..., Any]) -> Callable[..., Any]:
        def surrounded(*arguments: Any, **options: Any) -> Any:
            points.come_to(f"before {what}")
            answer = original(*arguments, **options)
            points.come_to(f"after {what}")
            return answer

        return surrounded

    replace(owner, name, change)


def name_phases(points: Points) -> None:
    def change(original: Callable[..., Any]) -> Callable[..., Any]:
        @contextmanager
        def phase(self: Progress, name: str, expected_rows: int | None = None) -> Iterator[Phase]:
            with points.phase(name), original(self, name, expected_rows) as begun:
                points.come_to("begins")
                yield begun
                points.come_to("ends")

        return phase

    replace(Progress, "phase", change)


def name_connections(points: Points) -> None:
    surround(points, connect.Session, "connect", "connecting")

    def change(close: Callable[..., None]) -> Callable[..., None]:
        def named(self: psycopg.Connection) -> None:
            if not self.closed:
                points.come_to("before closing a session")
            close(self)

        return named

    replace(psycopg.Connection, "close", change)


class RoundTrips(threading.local):
    """Statements and the ends of transactions, in every session that the driver opens.

    `underway` is the statement of this thread whose answer is waited for, and how many answers come before it.
    """

    def __init__(self, points: Points) -> None:
        self.points = points
        self.underway: tuple[str, int] | None = None
        self.written: WeakKeyDictionary[psycopg.Connection, str] = WRITTEN

    def name(self) -> None:
        replace(psycopg.Connection, "wait", self.name_waiting)
        for method in ("execute", "executemany"):
            replace(psycopg.Cursor, method, self.name_statements)
        for method in ("commit", "rollback"):
            replace(psycopg.Connection, method, self.name_ends)

    def name_statements(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def execute(cursor: psycopg.Cursor, query: Any, *arguments: Any, **options: Any) -> Any:
            text = query.decode() if isinstance(query, bytes) else str(query)
            if text.strip() == SETTING:
                self.written[cursor.connection] = "settings"
                return original(cursor, query, *arguments, **options)
            begins = not cursor.connection.autocommit and idle(cursor.connection)
            name = name_of(text)
            if writes(text):
                self.written[cursor.connection] = name
            with self.round_trip(name, int(begins)):
                return original(cursor, query, *arguments, **options)

        return execute

    def name_ends(self, original: Callable[..., None]) -> Callable[..., None]:
        verb = original.__name__.upper()

        def end(connection: psycopg.Connection) -> None:
            last = self.written.pop(connection, None)
            if idle(connection) or connection.closed or last == "settings":
                return original(connection)
            with self.round_trip(f"{verb} ({last or 'nothing written'})", 0):
                return original(connection)

        return end

    @contextmanager
    def round_trip(self, name: str, n_before: int) -> Iterator[None]:
        self.points.come_to(f"before {name}")
        self.underway = name, n_before
        try:
            yield
        finally:
            self.underway = None
        self.points.come_to(f"after {name}")

    def name_waiting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def wait(connection: psycopg.Connection, answers: Any, *arguments: Any, **options: Any) -> Any:
            if self.underway is not None:
                name, n_before = self.underway
                self.underway = None
                answers = self.interrupted(answers, name, n_before)
            return original(connection, answers, *arguments, **options)

        return wait

    def interrupted(self, answers: Generator[Any, Any, Any], name: str, n_before: int) -> Generator[Any, Any, Any]:
        """The same answers, with a point where the one that counts is waited for."""
        try:
            wish = next(answers)
            while True:
                if n_before == 0:
                    self.points.come_to(f"during {name}")
                n_before -= 1
                wish = answers.send((yield wish))
        except StopIteration as ended:
            return ended.value


WRITTEN: WeakKeyDictionary[psycopg.Connection, str] = WeakKeyDictionary()


def idle(connection: psycopg.Connection) -> bool:
    return connection.pgconn.transaction_status == TransactionStatus.IDLE


def name_copies(points: Points) -> None:
    """What goes to the server."""
    surround(points, LibpqWriter, "write", "a block of COPY")
    surround(points, SocketWriter, "write", "a block of COPY past libpq")
    surround(points, LibpqWriter, "finish", "the end of COPY")


def name_reading(points: Points) -> None:
    """What comes from the server, past the driver."""
    surround(points, SocketWire, "send", "COPY OUT is asked for")

    def change_read(original: Callable[..., int]) -> Callable[..., int]:
        def read_into(*arguments: Any) -> int:
            n_bytes = original(*arguments)
            if n_bytes:
                points.come_to("after some bytes of COPY OUT")
            return n_bytes

        return read_into

    def before(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
        def change(original: Callable[..., None]) -> Callable[..., None]:
            def hand_over(*arguments: Any) -> None:
                points.come_to(what)
                original(*arguments)

            return hand_over

        return change

    replace(SocketWire, "read_into", change_read)
    replace(Arrivals, "put", before("before rows are handed over"))
    replace(Arrivals, "end", before("before the end is told"))
