"""Somebody holds the tables for an hour: readers never wait behind us, we come again, and give up without harm."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.conftest import MALL, write_configuration
from tests.acceptance.three_versions import database_url, three_versions
from tests.command import run_segjob
from tests.faults.impatient import SECONDS, become_impatient
from tests.faults.onlookers import onlookers
from tests.waiting import wait_until

__all__ = ["database_url", "three_versions"]  # fixtures

Run = Callable[..., "subprocess.CompletedProcess[str]"]
CHANGE = "UPDATE public.mall_customer SET annual_income = 137, spending_score = 3 WHERE customer_id <= 20"
WAITING = """
SELECT FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'segjob' AND wait_event_type = 'Lock'
"""
LABELS, MOVES, BOOKS = "segjob.label_mall", "segjob.membership_mall", "segjob.published"


@pytest.fixture
def impatient(tmp_path: Path, database_url: str) -> Run:
    """The command, which gives up after two seconds."""
    write_configuration(tmp_path, {"mall": {**MALL, "keep_versions": 1}})
    return partial(run_segjob, tmp_path, database_url, become=become_impatient)


@contextmanager
def held(url: str, *statements: str) -> Iterator[psycopg.Connection]:
    """A BI session in the middle of a transaction."""
    with psycopg.connect(url, application_name="a dashboard") as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        for statement in statements:
            session.execute(statement.encode())
        yield session
        session.rollback()


def locked(table: str, mode: str = "SHARE") -> str:
    return f"LOCK TABLE {table} IN {mode} MODE"


@contextmanager
def let_go_later(session: psycopg.Connection, url: str) -> Iterator[None]:
    """End the session's transaction when the first attempt has come to nothing, and before the last one."""

    def end() -> None:
        with psycopg.connect(url, autocommit=True) as looking:
            wait_until(lambda: looking.execute(WAITING).fetchall(), seconds=60)
        time.sleep(0.8)  # longer than one attempt waits
        session.rollback()

    with ThreadPoolExecutor(1) as beside:
        ended = beside.submit(end)
        yield
        ended.result()


def one(connection: psycopg.Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return tuple(row)


def last_run(connection: psycopg.Connection) -> tuple[Any, ...]:
    return one(connection, "SELECT kind, status, exit_code FROM segments.run ORDER BY run_id DESC LIMIT 1")


def nothing_is_left(connection: psycopg.Connection) -> None:
    """No lock of ours, no open transaction, no table that is neither a version nor a piece of history."""
    assert one(
        connection, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'segjob' AND state <> 'idle'"
    ) == (0,)
    tables = connection.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '[#]|moves$'"
    ).fetchall()
    assert tables == []


# Who only reads is in nobody's way


@pytest.mark.parametrize("command", [("run", "mall"), ("score", "mall"), ("prune", "mall")])
def test_a_transaction_that_read_the_views_and_stays_open_stops_nobody(
    impatient: Run, database_url: str, connection: psycopg.Connection, command: tuple[str, ...]
) -> None:
    connection.execute(CHANGE)
    everything = "SELECT * FROM segments.mall, segments.mall_profile, segments.mall_history, segments.version LIMIT 1"
    with held(database_url, everything) as reader, onlookers(database_url):
        done = impatient(*command)
        assert done.returncode == 0, done.stderr
        assert reader.execute("SELECT DISTINCT version_id FROM segments.mall").fetchall() == [(3,)]
    nothing_is_left(connection)


def test_who_goes_back_is_not_stopped_either(impatient: Run, database_url: str, connection: psycopg.Connection) -> None:
    with held(database_url, "SELECT * FROM segments.mall") as reader, onlookers(database_url) as seen:
        done = impatient("rollback", "mall")
        assert done.returncode == 0, done.stderr
        assert reader.execute("SELECT DISTINCT version_id FROM segments.mall").fetchall() == [(3,)]
    assert seen.pictures[-1] == (200, 2)
    nothing_is_left(connection)


# Who locks is asked again and again, and let be in the end


@pytest.mark.parametrize("table", [LABELS, MOVES, BOOKS])
def test_a_run_that_can_not_publish_for_a_lock_keeps_its_version_which_is_published_later(
    impatient: Run, database_url: str, connection: psycopg.Connection, table: str
) -> None:
    connection.execute(CHANGE)
    with held(database_url, locked(table)), onlookers(database_url) as seen:
        began = time.monotonic()
        done = impatient("run", "mall")
        assert done.returncode == 75, done.stderr
        assert time.monotonic() - began > SECONDS
        assert "version 4 is complete and kept as staged: `segjob publish mall 4`" in done.stderr
        if table != BOOKS:
            assert "a dashboard, in a transaction since" in done.stderr
            assert table in done.stderr
    assert seen.pictures == [(200, 3)]
    assert last_run(connection) == ("run", "failed", 75)
    nothing_is_left(connection)
    done = impatient("publish", "mall", "4")
    assert done.returncode == 0, done.stderr
    assert one(connection, "SELECT count(*), min(version_id), max(version_id) FROM segments.mall") == (200, 4, 4)


def test_a_run_that_can_not_even_make_its_table_gives_up_too(
    impatient: Run, database_url: str, connection: psycopg.Connection
) -> None:
    with held(database_url, locked(LABELS, "ACCESS EXCLUSIVE")):
        done = impatient("run", "mall")
        assert (done.returncode, "a dashboard, in a transaction since" in done.stderr) == (75, True), done.stderr
    assert last_run(connection) == ("run", "failed", 75)
    assert impatient("run", "mall").returncode == 0
    nothing_is_left(connection)


@pytest.mark.parametrize("table", [LABELS, MOVES, BOOKS])
def test_a_score_that_can_not_change_the_labels_leaves_them_as_they_were(
    impatient: Run, database_url: str, connection: psycopg.Connection, table: str
) -> None:
    connection.execute(CHANGE)
    labels = "SELECT customer_id, segment_id, distance FROM segments.mall ORDER BY 1"
    before = connection.execute(labels).fetchall()
    with held(database_url, locked(table)), onlookers(database_url) as seen:
        done = impatient("score", "mall")
        assert done.returncode == 75, done.stderr
    assert seen.pictures == [(200, 3)]
    assert connection.execute(labels).fetchall() == before
    assert last_run(connection) == ("score", "failed", 75)
    nothing_is_left(connection)
    assert impatient("score", "mall").returncode == 0
    assert connection.execute(labels).fetchall() != before


@pytest.mark.parametrize("command", [("run", "mall"), ("score", "mall"), ("forget", "mall", "7")])
def test_who_lets_go_in_time_has_stopped_nobody(
    impatient: Run, database_url: str, connection: psycopg.Connection, command: tuple[str, ...]
) -> None:
    connection.execute(CHANGE)
    with held(database_url, locked(LABELS)) as session, let_go_later(session, database_url), onlookers(database_url):
        done = impatient(*command)
    assert done.returncode == 0, done.stderr
    assert last_run(connection)[:2] == (command[0], "succeeded")
    nothing_is_left(connection)


def test_migrate_comes_again_too(impatient: Run, database_url: str, tmp_path: Path) -> None:
    write_configuration(tmp_path, {"mall": MALL, "other": MALL})
    with held(database_url, locked("segjob.segmentation")):
        assert impatient("migrate").returncode == 75
    with held(database_url, locked("segjob.segmentation")) as session, let_go_later(session, database_url):
        done = impatient("migrate")
    assert (done.returncode, "segmentation other created" in done.stdout + done.stderr) == (0, True), done.stderr


def test_nobody_is_forgotten_while_somebody_locks_the_labels_and_later_they_are(
    impatient: Run, database_url: str, connection: psycopg.Connection
) -> None:
    with held(database_url, locked(LABELS)), onlookers(database_url) as seen:
        done = impatient("forget", "mall", "7")
        assert (done.returncode, "a dashboard" in done.stderr) == (75, True), done.stderr
    assert seen.pictures == [(200, 3)]
    assert impatient("forget", "mall", "7").returncode == 0
    assert one(connection, "SELECT count(*) FROM segments.mall") == (199,)


def test_who_read_before_keeps_what_was_erased_on_disk_until_the_next_time(
    impatient: Run, database_url: str, connection: psycopg.Connection
) -> None:
    with held(database_url, "SELECT * FROM segments.mall"), onlookers(database_url) as seen:
        done = impatient("forget", "mall", "7")
        assert (done.returncode, "give the same command again" in done.stderr) == (75, True), done.stderr
    assert {n for n, _ in seen.pictures} <= {200, 199}
    assert impatient("forget", "mall", "7").returncode == 0


def test_a_lock_keeps_old_versions_where_they_are_and_the_next_prune_takes_them(
    impatient: Run, database_url: str, connection: psycopg.Connection
) -> None:
    with held(database_url, locked(LABELS)), onlookers(database_url):
        done = impatient("prune", "mall")
        assert (done.returncode, "keeps version 1 attached" in done.stderr) == (0, True), done.stderr
    assert impatient("prune", "mall").returncode == 0
    assert one(connection, "SELECT status FROM segments.version WHERE version_id = 1") == ("pruned",)
