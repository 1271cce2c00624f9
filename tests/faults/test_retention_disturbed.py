"""Old versions are dropped while somebody reads, while somebody goes back to one of them, and by who dies over it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import Lock, hold_lock
from segjob.postgres.queries import Names
from segjob.postgres.removing import retention
from segjob.postgres.removing.retention import prune
from tests.acceptance.conftest import MALL, write_configuration
from tests.acceptance.three_versions import database_url, three_versions
from tests.command import become_command, run_segjob
from tests.faults.onlookers import onlookers
from tests.waiting import wait_until

__all__ = ["database_url", "three_versions"]  # fixtures

Run = Callable[..., "subprocess.CompletedProcess[str]"]
STEPS = ("detach_old", "drop_labels")
WAITING = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%DETACH PARTITION%'
"""


@pytest.fixture
def segjob(tmp_path: Path, database_url: str) -> Run:
    """The command, which keeps one version besides those that it has to."""
    write_configuration(tmp_path, {"mall": {**MALL, "keep_versions": 1}})
    return partial(run_segjob, tmp_path, database_url)


@contextmanager
def reading(url: str) -> Iterator[psycopg.Connection]:
    """A transaction that has seen every version, and stays open."""
    with psycopg.connect(url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("SELECT * FROM segments.mall")
        yield reader
        reader.rollback()


def check(connection: psycopg.Connection) -> None:
    """What is published is whole, and a version has its labels unless the books say that it was pruned."""
    published = connection.execute("SELECT version_id FROM segments.version WHERE status = 'published'").fetchall()
    assert published == connection.execute("SELECT version_id FROM segjob.published").fetchall()
    seen = "SELECT count(*), min(version_id), max(version_id) FROM segments.mall"
    assert connection.execute(seen).fetchone() == (200, *published[0], *published[0])
    labels = "to_regclass('segjob.\"label_mall$' || version_id || '\"')"
    wrong = f"SELECT version_id FROM segments.version WHERE ({labels} IS NULL) <> (status = 'pruned')"
    assert connection.execute(wrong.encode()).fetchall() == []


def nothing_is_left(connection: psycopg.Connection) -> None:
    """Two versions are attached, the published one and that before, and none is half detached."""
    check(connection)
    parts = "SELECT inhdetachpending FROM pg_inherits WHERE inhparent = 'segjob.label_mall'::regclass"
    assert connection.execute(parts).fetchall() == [(False,), (False,)]
    assert connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)


def become_mortal(
    step: str, folder: str, variables: dict[str, str], arguments: Sequence[str], streams: Sequence[str]
) -> None:
    """Be the command that is killed as soon as it comes to a step of pruning."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(retention, step, die)
    become_command(folder, variables, arguments, streams)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("command", ["prune", "run"])
def test_whoever_is_killed_between_two_steps_leaves_it_to_the_next(
    segjob: Run, database_url: str, connection: psycopg.Connection, step: str, command: str
) -> None:
    with onlookers(database_url):
        assert segjob(command, "mall", become=partial(become_mortal, step)).returncode == -signal.SIGKILL
        check(connection)
        done = segjob(command, "mall")
    assert done.returncode == 0, done.stderr
    nothing_is_left(connection)
    pruned = connection.execute("SELECT version_id FROM segments.version WHERE status = 'pruned' ORDER BY 1").fetchall()
    assert pruned[0] == (1,)


def test_a_detach_that_is_broken_off_is_finished_when_the_reader_has_gone(
    segjob: Run, database_url: str, connection: psycopg.Connection
) -> None:
    with reading(database_url) as reader, onlookers(database_url) as seen:
        with ThreadPoolExecutor(1) as beside:
            pruning = beside.submit(segjob, "prune", "mall")
            kill = f"SELECT pg_terminate_backend(pid) FROM ({WAITING}) AS waiting".encode()
            wait_until(lambda: connection.execute(kill).fetchall(), seconds=60)
            assert pruning.result().returncode == 69
        check(connection)
        done = segjob("publish", "mall", "1")
        assert (done.returncode, "half detached" in done.stderr) == (65, True), done.stderr
        assert segjob("rollback", "mall").returncode == 0
        assert reader.execute("SELECT DISTINCT version_id FROM segments.mall").fetchall() == [(3,)]
    assert seen.pictures == [(200, 3), (200, 2)]
    assert segjob("prune", "mall").returncode == 0
    check(connection)
    assert segjob("rollback", "mall").returncode == 0
    check(connection)
    assert connection.execute("SELECT version_id FROM segjob.published").fetchone() == (1,)


@pytest.mark.parametrize(("command", "wanted"), [(("publish", "mall", "1"), 1), (("rollback", "mall"), 2)])
def test_who_goes_back_between_the_choice_and_the_drop_finds_the_version_whole(
    segjob: Run,
    database: Database,
    connection: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    wanted: int,
) -> None:
    asked: list[int] = []

    @contextmanager
    def go_back_and_hold(*arguments: Any) -> Iterator[Lock]:
        asked.append(len(asked))
        if len(asked) == 2:
            assert segjob(*command, "--json").returncode == 0
        with hold_lock(*arguments) as lock:
            yield lock

    monkeypatch.setattr(retention, "hold_lock", go_back_and_hold)
    found = prune(database, Names(database.schemas, "mall"), 1)
    assert len(asked) == 2
    assert (found.versions, found.warnings) == ((), ())
    check(connection)
    assert connection.execute("SELECT version_id FROM segjob.published").fetchone() == (wanted,)


@pytest.mark.parametrize("command", [("publish", "mall", "1"), ("rollback", "mall")])
def test_at_the_same_moment_one_of_both_comes_first(
    segjob: Run, database_url: str, connection: psycopg.Connection, command: tuple[str, ...]
) -> None:
    with onlookers(database_url), ThreadPoolExecutor(2) as both:
        asked: list[Future[subprocess.CompletedProcess[str]]] = [
            both.submit(segjob, *one) for one in (("prune", "mall"), command)
        ]
        codes = [one.result().returncode for one in asked]
    assert codes[0] == 0
    assert codes[1] in ((0, 65) if command[0] == "publish" else (0,)), asked[1].result().stderr
    check(connection)
