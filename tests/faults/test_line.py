"""The line to the server is slow, breaks, or falls silent."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests import servers
from tests.command import run_segjob
from tests.faults.proxy import Fate, Line
from tests.faults.started import started


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, published_mall: str) -> Iterator[str]:
    """A copy of a database in which the mall was run once."""
    with servers.fresh_database(server_url, server_connection, published_mall) as url:
        yield url


def runs(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT status, exit_code FROM segments.run ORDER BY run_id OFFSET 1").fetchall()


def shown(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT version_id, count(*) FROM segments.mall GROUP BY 1").fetchall()


def once(statement: str, fate: Fate, reached: threading.Event) -> Callable[[Line, str], Fate]:
    """A fate for the first message that begins like this."""

    def judge(_: Line, said: str) -> Fate:
        if said.startswith(statement) and not reached.is_set():
            reached.set()
            return fate
        return Fate.PASSED

    return judge


def test_a_slow_line_makes_a_run_slow_and_nothing_else(between, tmp_path, connection):
    between.delay = 0.02
    for command in ("run", "score"):
        done = run_segjob(tmp_path, between.url, command, "mall")
        assert done.returncode == 0, done.stderr
    assert shown(connection) == [(2, 200)]


def test_a_line_that_breaks_while_labels_are_written_leaves_nothing(between, tmp_path, connection):
    between.judge = once('COPY "segjob"', Fate.CUT_BEFORE, threading.Event())
    done = run_segjob(tmp_path, between.url, "run", "mall")
    assert done.returncode == 69, done.stderr
    assert "the connection broke while the labels were written" in done.stderr
    assert runs(connection) == [("failed", 69)]
    assert connection.execute("SELECT to_regclass('segjob.\"label_mall$2\"')").fetchone() == (None,)
    done = run_segjob(tmp_path, between.url, "run", "mall")
    assert done.returncode == 0, done.stderr
    assert shown(connection) == [(2, 200)]


SILENCES = {
    "reading": "COPY (",
    "lock": "SELECT\n    l.pid",
    "writing": 'COPY "segjob"',
    "storing": "INSERT INTO segjob.version",
    "publishing": 'INSERT INTO "segjob".published',
}


@pytest.mark.parametrize("statement", SILENCES.values(), ids=SILENCES)
def test_on_a_line_that_is_silent_sigterm_is_heard(between, tmp_path, connection, statement):
    reached = threading.Event()
    between.judge = once(statement, Fate.SILENT, reached)
    with started(tmp_path, between.url, "run", "mall", "--json") as command:
        assert reached.wait(30)
        time.sleep(0.3)  # it has to wait for an answer by now
        command.send(signal.SIGTERM)
        began = time.monotonic()
        done = command.finish()
        took = time.monotonic() - began
    assert done.returncode == 143, done.stderr
    assert took < 5
    assert json.loads(done.stdout)["error"]["code"] == "stopped"
    assert shown(connection) == [(1, 200)]
