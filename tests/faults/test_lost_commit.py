"""The connection dies at the COMMIT that publishes: what became of it is looked up, and said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from segjob.errors import DatabaseUnavailable
from segjob.postgres import runs
from segjob.postgres.connecting.connect import Database, driver_of
from tests import servers
from tests.acceptance.conftest import MALL
from tests.command import run_segjob
from tests.faults.proxy import Fate, Line, Proxy

COMMITTED = (Fate.CUT_AFTER, Fate.CUT_MEANWHILE)
LOST = pytest.mark.parametrize("fate", [*COMMITTED, Fate.CUT_BEFORE], ids=lambda fate: fate.name.lower())


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, twice_published: str) -> Iterator[str]:
    """A copy of a database in which the mall was run twice."""
    with servers.fresh_database(server_url, server_connection, twice_published) as url:
        yield url


@pytest.fixture
def through(between: Proxy, tmp_path: Path) -> Callable[..., tuple[int, dict[str, Any]]]:
    """The command by way of the proxy; gives its exit code and what it printed."""

    def call(*arguments: str) -> tuple[int, dict[str, Any]]:
        done = run_segjob(tmp_path, between.url, *arguments, "--json")
        return done.returncode, json.loads(done.stdout)

    return call


def at_the_end_of_the_run(fate: Fate) -> Callable[[Line, str], Fate]:
    """Judge the first COMMIT of a transaction in which a run succeeded; all else passes."""
    waiting = [fate]

    def judge(line: Line, statement: str) -> Fate:
        ends = any("UPDATE segjob.run SET" in said and "exit_code" in said for said in line.said)
        return waiting.pop() if statement == "COMMIT" and ends and waiting else Fate.PASSED

    return judge


def told(connection: psycopg.Connection, statement: str) -> list[tuple[Any, ...]]:
    return connection.execute(statement.encode()).fetchall()


def publications(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return told(connection, "SELECT kind, version_id FROM segjob.publication ORDER BY publication OFFSET 2")


def last_run(connection: psycopg.Connection, kind: str) -> tuple[Any, ...]:
    return told(connection, f"SELECT status, exit_code FROM segments.run WHERE kind = '{kind}' ORDER BY run_id")[-1]


PUBLISHING = {"run": ("run", 3), "score": ("score", 2), "publish": ("publish", 1), "rollback": ("rollback", 1)}


@LOST
@pytest.mark.parametrize("command", PUBLISHING)
def test_it_is_published_exactly_once_or_not_at_all(between, through, connection, command, fate):
    connection.execute("UPDATE public.mall_customer SET annual_income = 250 - annual_income WHERE customer_id < 20")
    between.judge = at_the_end_of_the_run(fate)
    arguments = ("1",) if command == "publish" else ()
    code, printed = through(command, "mall", *arguments)
    assert between.judged == [fate]
    if fate in COMMITTED:
        assert code == 0
        assert publications(connection)[:1] == [PUBLISHING[command]]
        assert last_run(connection, command) == ("succeeded", 0)
    else:
        assert (code, printed["error"]["code"]) == (69, "unavailable")
        assert publications(connection) == []
        assert last_run(connection, command) == ("failed", 69)
        code, printed = through(command, "mall", *arguments)
        assert (code, last_run(connection, command)) == (0, ("succeeded", 0))
    assert [kind for kind, _ in publications(connection) if kind == command] == [command]


@pytest.mark.parametrize(
    ("command", "kind", "wanted"),
    [
        (["run", "mall", "--no-publish"], "run", ("succeeded", 0)),
        (["publish", "mall", "2"], "publish", ("succeeded", 0)),
        (["prune", "mall"], "prune", ("succeeded", 0)),
        (["forget", "mall", "7"], "forget", ("succeeded", 0)),
        (["choose-k", "mall", "--min", "4", "--max", "5"], "choose_k", ("succeeded", 0)),
    ],
    ids=["kept_back", "published_already", "prune", "forget", "choose_k"],
)
def test_a_command_that_publishes_nothing_knows_that_it_succeeded(between, through, connection, command, kind, wanted):
    between.judge = at_the_end_of_the_run(Fate.CUT_AFTER)
    code, _ = through(*command)
    assert between.judged == [Fate.CUT_AFTER]
    assert code == 0
    assert last_run(connection, kind) == wanted
    assert publications(connection) == []


def test_a_version_that_a_gate_refused_is_known_to_be_rejected(between, through, connection, configure):
    configure({"mall": {**MALL, "gates": {"min_customers": {"refuse": 1000}}}})
    between.judge = at_the_end_of_the_run(Fate.CUT_AFTER)
    code, printed = through("run", "mall")
    assert (between.judged, code, printed["status"]) == ([Fate.CUT_AFTER], 3, "rejected")
    assert last_run(connection, "run") == ("rejected", 3)


def gone(between: Proxy, other: psycopg.Connection, pid: int) -> None:
    """The answer to the COMMIT is lost, and nobody answers any more."""
    between.judge, between.refusing = every_commit, True


def locked(between: Proxy, other: psycopg.Connection, pid: int) -> None:
    """The session has ended, and somebody else holds the run's row."""
    other.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.execute("SELECT FROM segjob.run WHERE run_id = 2 FOR UPDATE")


def every_commit(line: Line, statement: str) -> Fate:
    return Fate.CUT_AFTER if statement == "COMMIT" else Fate.PASSED


def end_while(database: Database, happens: Callable[[int], object]) -> None:
    with runs.ending_run(database, 2) as session:
        runs.add_warnings(session, 2, ["it broke"])
        happens(driver_of(session).info.backend_pid)


@pytest.mark.parametrize("in_the_way", [gone, locked])
def test_where_nobody_can_tell_the_sentence_promises_nothing(between, monkeypatch, in_the_way):
    monkeypatch.setattr(runs, "LOOKUP_DEADLINE", 1.0)
    with psycopg.connect(between.server_url) as other, pytest.raises(DatabaseUnavailable) as raised:
        end_while(Database(between.url, deadline=0.5), lambda pid: in_the_way(between, other, pid))
    assert "whether it was can not be looked up" in str(raised.value)
    assert "to run again is safe" in str(raised.value)
