"""A command is stopped for a while, others publish meanwhile, and it goes on as if nothing had happened."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import servers
from tests.command import run_segjob
from tests.faults.proxy import Fate, Line, Proxy
from tests.faults.started import Started, started

READING = "COPY ("
STORING = "INSERT INTO segjob.version"
COMPARING = "CREATE  TABLE"
POINTER = 'INSERT INTO "segjob".published'
NEXT = 'UPDATE "segjob".published'
OVERTAKEN = "another version was published since this run began"
LOST = "lost the lock"


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, twice_published: str) -> Iterator[str]:
    """A copy of a database in which the mall was run twice."""
    with servers.fresh_database(server_url, server_connection, twice_published) as url:
        yield url


@dataclass
class Stop:
    """Stops a command when it says a statement; the server hears of that when the command goes on."""

    begins: str
    command: Started | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def judge(self, _: Line, statement: str) -> Fate:
        if statement.startswith(self.begins) and self.command and not self.reached.is_set():
            self.command.send(signal.SIGSTOP)
            self.reached.set()
            self.over.wait(60)
        return Fate.PASSED

    def go_on(self) -> None:
        assert self.command
        self.over.set()
        self.command.send(signal.SIGCONT)


@pytest.fixture
def meanwhile(between: Proxy, tmp_path: Path, database_url: str) -> Callable[..., Any]:
    """Stop a command at a statement, do other things, and let it go on; gives what became of it."""

    def play(arguments: list[str], begins: str, others: Callable[[Callable[..., int]], object]) -> Any:
        stop = Stop(begins)
        between.judge = stop.judge
        with started(tmp_path, between.url, *arguments) as command:
            stop.command = command
            assert stop.reached.wait(30), f"it never said {begins}"
            others(lambda *words: run_segjob(tmp_path, database_url, *words).returncode)
            stop.go_on()
            return command.finish()

    return play


@pytest.fixture
def lose_locks(connection: psycopg.Connection) -> Callable[[], None]:
    """End the sessions that hold locks, as a server does that takes them for idle, or for gone."""

    def lose() -> None:
        ours = "locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ended = connection.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE {ours}").fetchall()
        assert ended

    return lose


def publications(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    wanted = "SELECT kind, version_id FROM segjob.publication ORDER BY publication OFFSET 2"
    return connection.execute(wanted.encode()).fetchall()


def shown(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT version_id, count(*) FROM segments.mall GROUP BY 1").fetchall()


def last_run(connection: psycopg.Connection, kind: str) -> tuple[Any, ...]:
    wanted = "SELECT status, exit_code FROM segments.run WHERE kind = %s ORDER BY run_id DESC"
    return connection.execute(wanted, [kind]).fetchone() or ()


@pytest.mark.parametrize("begins", [READING, STORING], ids=["reading", "storing"])
def test_a_run_that_was_stopped_does_not_publish_over_a_rollback(meanwhile, connection, begins):
    def others(segjob: Callable[..., int]) -> None:
        assert segjob("rollback", "mall") == 0

    done = meanwhile(["run", "mall"], begins, others)
    assert done.returncode == 75, done.stderr
    assert OVERTAKEN in done.stderr
    assert [kind for kind, _ in publications(connection)] == ["rollback"]
    assert shown(connection) == [(1, 200)]
    assert last_run(connection, "run") == ("failed", 75)


def test_a_run_that_was_stopped_does_not_publish_though_its_parent_is_back(meanwhile, connection):
    def others(segjob: Callable[..., int]) -> None:
        assert segjob("publish", "mall", "1") == 0
        assert segjob("publish", "mall", "2") == 0

    done = meanwhile(["run", "mall"], STORING, others)
    assert done.returncode == 75, done.stderr
    assert OVERTAKEN in done.stderr
    assert publications(connection) == [("publish", 1), ("publish", 2)]
    assert shown(connection) == [(2, 200)]


@pytest.mark.parametrize(("begins", "sentence"), [(READING, LOST), (STORING, LOST), (POINTER, OVERTAKEN)])
def test_a_run_that_lost_its_lock_meanwhile_does_not_publish(meanwhile, connection, lose_locks, begins, sentence):
    def others(segjob: Callable[..., int]) -> None:
        assert segjob("run", "mall") == 75
        lose_locks()
        assert segjob("run", "mall") == 0

    done = meanwhile(["run", "mall"], begins, others)
    assert done.returncode == 75, done.stderr
    assert sentence in done.stderr
    (published,) = publications(connection)
    assert shown(connection) == [(published[1], 200)]
    assert connection.execute("SELECT status, exit_code FROM segments.run ORDER BY run_id OFFSET 2").fetchall() == [
        ("lost", None),
        ("succeeded", 0),
    ]


@pytest.mark.parametrize("begins", [COMPARING, POINTER], ids=["comparing", "pointer"])
def test_a_rollback_that_was_stopped_does_not_take_back_what_came_later(meanwhile, connection, lose_locks, begins):
    def others(segjob: Callable[..., int]) -> None:
        lose_locks()
        assert segjob("run", "mall") == 0

    done = meanwhile(["rollback", "mall"], begins, others)
    assert done.returncode == 75, done.stderr
    assert publications(connection) == [("run", 3)]
    assert shown(connection) == [(3, 200)]


@pytest.mark.parametrize("begins", [READING, NEXT], ids=["reading", "publishing"])
def test_scoring_that_was_stopped_labels_nobody_of_another_version(meanwhile, connection, lose_locks, begins):
    connection.execute("UPDATE public.mall_customer SET annual_income = 250 - annual_income WHERE customer_id < 20")

    def others(segjob: Callable[..., int]) -> None:
        lose_locks()
        assert segjob("publish", "mall", "1") == 0

    done = meanwhile(["score", "mall"], begins, others)
    assert done.returncode == 75, done.stderr
    assert publications(connection) == [("publish", 1)]
    assert last_run(connection, "score") == ("failed", 75)


def test_who_is_stopped_in_the_middle_of_publishing_keeps_others_out(meanwhile, connection):
    def others(segjob: Callable[..., int]) -> None:
        assert segjob("publish", "mall", "2") == 75

    done = meanwhile(["rollback", "mall"], "SELECT pg_catalog.pg_notify", others)
    assert done.returncode == 0, done.stderr
    assert [kind for kind, _ in publications(connection)] == ["rollback"]
    assert shown(connection) == [(1, 200)]
