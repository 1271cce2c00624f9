"""A reader in a process of its own, who asks the views all the while and remembers whatever is new."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection as Line

import psycopg

from tests.command import fork_server
from tests.faults.state import Seen, look, look_in_one_statement

PAUSE = 0.01


@dataclass
class Read:
    """What was seen, in its order, each once; `broken` are errors of the reader's own connection."""

    seen: list[Seen] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    n_looks: int = 0


class Reader:
    """Looks at one database after the other, as it is told."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def watch(self, url: str) -> None:
        """Begin; returns when there has been a first look."""
        self._line.send(url)
        assert self._line.poll(30.0), "the reader does not answer"
        self._line.recv()

    def stop(self) -> Read:
        """End, with what was seen since."""
        self._line.send("stop")
        assert self._line.poll(30.0), "the reader does not answer"
        read = self._line.recv()
        assert isinstance(read, Read)
        return read


@contextmanager
def reader_process() -> Iterator[Reader]:
    ours, theirs = Pipe()
    process = fork_server().Process(target=read_for_ever, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Reader(ours)
    finally:
        process.kill()
        process.join()


def read_for_ever(line: Line) -> None:
    with suppress(EOFError):
        while True:
            line.send(read_until_told(line, line.recv()))


def read_until_told(line: Line, url: str) -> Read:
    read = Read()
    session: psycopg.Connection | None = None
    told = False
    while not line.poll(PAUSE):
        try:
            session = session or psycopg.connect(url, autocommit=True, application_name="reader")
            look_once(session, read)
        except psycopg.OperationalError as error:
            read.broken.append(f"{type(error).__name__} {error.sqlstate}")
            put_down(session)
            session = None
            time.sleep(PAUSE)  # until the server is back, which nobody tells
        except psycopg.Error as error:
            read.wrong.append(f"a reader's query failed: {type(error).__name__} {error}")
            put_down(session)
            session = None
        if not told:
            told = True
            line.send("looking")
    line.recv()
    put_down(session)
    return read


def put_down(session: psycopg.Connection | None) -> None:
    if session:
        session.close()


def look_once(session: psycopg.Connection, read: Read) -> None:
    seen = look(session)
    read.wrong += look_in_one_statement(session)
    read.n_looks += 1
    if not read.seen or seen != read.seen[-1]:
        read.seen.append(seen)
