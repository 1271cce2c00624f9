"""Reading is disturbed: the whole of it is repeated with a new snapshot, and nothing of the first attempt remains."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import MALL
from tests.command import run_segjob
from tests.faults.proxy import Fate, Line, Proxy
from tests.waiting import wait_until

AGAIN = "the source is read once more, with a new snapshot"
KEPT = "CREATE MATERIALIZED VIEW public.kept AS SELECT * FROM public.mall_customer"
VIEW = """
CREATE VIEW public.viewed AS
SELECT customer_id, {income} AS annual_income, spending_score FROM public.mall_customer
"""


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, published_mall: str) -> Iterator[str]:
    """A copy of a database in which the mall was run once."""
    with servers.fresh_database(server_url, server_connection, published_mall) as url:
        yield url


@pytest.fixture
def run(between: Proxy, tmp_path: Path) -> Callable[[], subprocess.CompletedProcess[str]]:
    """`segjob run mall --json` by way of the proxy."""
    return lambda: run_segjob(tmp_path, between.url, "run", "mall", "--json")


def while_reading(do: Callable[[], object], begins: str = "COPY (", times: int = 1) -> Callable[[Line, str], Fate]:
    """A judge that does something before the server hears of so many statements that begin like this."""
    left = [do] * times

    def judge(_: Line, statement: str) -> Fate:
        if left and statement.startswith(begins):
            left.pop()()
        return Fate.PASSED

    return judge


def cut_readers(between: Proxy, times: int) -> None:
    """Cut so many connections after some of the customers have come."""
    cut: set[int] = set()

    def limit(line: Line) -> int | None:
        if any(said.startswith("COPY (") for said in line.said) and (len(cut) < times or line.number in cut):
            cut.add(line.number)
            return 3000
        return None

    between.answer_limit = limit


def versions(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    wanted = "SELECT version_id, count(*) FROM segments.mall GROUP BY 1"
    return connection.execute(wanted).fetchall()


def last_run(connection: psycopg.Connection) -> tuple[Any, ...]:
    wanted = "SELECT status, exit_code FROM segments.run ORDER BY run_id DESC LIMIT 1"
    return connection.execute(wanted).fetchone() or ()


LEADER = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE '%pg_export_snapshot%' AND pid <> pg_backend_pid()
"""
GUARD = """
SELECT pid FROM pg_locks
WHERE relation = 'public.mall_customer'::regclass AND mode = 'AccessShareLock' AND pid <> pg_backend_pid()
"""


def terminate(connection: psycopg.Connection, whose: str) -> None:
    pids = connection.execute(whose.encode()).fetchall()
    assert pids
    connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS pid", [[p for (p,) in pids]])


def test_a_connection_that_is_cut_is_followed_by_a_whole_read(between, run, connection):
    cut_readers(between, 1)
    done = run()
    printed = json.loads(done.stdout)
    assert (done.returncode, printed["status"], printed["n_customers"]) == (0, "published", 200)
    assert any(AGAIN in one for one in printed["warnings"])
    kept = connection.execute("SELECT warnings::text FROM segments.run ORDER BY run_id DESC LIMIT 1").fetchone()
    assert kept is not None
    assert AGAIN in kept[0]
    assert versions(connection) == [(2, 200)]


def test_a_connection_that_is_cut_again_ends_the_run(between, run, connection):
    cut_readers(between, 9)
    done = run()
    assert done.returncode == 69, done.stderr
    assert done.stderr.count(AGAIN) == 1
    assert "reading the source: the connection broke" in done.stderr
    assert versions(connection) == [(1, 200)]
    assert last_run(connection) == ("failed", 69)


@pytest.mark.parametrize(
    ("begins", "whose"),
    [("SET TRANSACTION SNAPSHOT", LEADER), ("COPY (", GUARD)],
    ids=["leader", "guard"],
)
def test_who_holds_the_snapshot_or_the_locks_is_killed(between, run, connection, begins, whose):
    between.judge = while_reading(lambda: terminate(connection, whose), begins)
    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(AGAIN) == 1
    assert versions(connection) == [(2, 200)]


def test_a_statement_timeout_is_tried_twice(between, run, connection, configure):
    connection.execute(VIEW.format(income="annual_income + length(pg_sleep(0.01)::text)"))
    configure({"mall": {**MALL, "source": "public.viewed"}})
    set_for_all(connection, "statement_timeout", "600")
    done = run()
    assert done.returncode == 75, done.stderr
    assert done.stderr.count(AGAIN) == 1
    assert "statement timeout" in done.stderr
    assert versions(connection) == [(1, 200)]
    assert last_run(connection) == ("failed", 75)


def test_an_error_at_a_row_is_none_that_a_second_read_would_mend(run, connection, configure):
    connection.execute(VIEW.format(income="annual_income / (customer_id - 150)"))
    configure({"mall": {**MALL, "source": "public.viewed"}})
    done = run()
    assert done.returncode == 65, done.stderr
    assert AGAIN not in done.stderr
    assert "division by zero" in done.stderr
    assert versions(connection) == [(1, 200)]
    assert last_run(connection) == ("failed", 65)


def set_for_all(connection: psycopg.Connection, name: str, value: str) -> None:
    """A default of the database, as an administrator sets it."""
    connection.execute(
        "SELECT set_config('segjob.wanted', format('ALTER DATABASE %%I SET %%I = %%L', current_database(),"
        " %s::text, %s::text), false)",
        [name, value],
    )
    connection.execute("DO $$ BEGIN EXECUTE current_setting('segjob.wanted'); END $$")


def test_idle_timeouts_of_the_server_end_nothing(run, connection, configure):
    connection.execute(VIEW.format(income="annual_income + length(pg_sleep(0.005)::text)"))
    configure({"mall": {**MALL, "source": "public.viewed"}})
    known = connection.execute(
        "SELECT name FROM pg_settings WHERE name IN"
        " ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')"
    ).fetchall()
    for (name,) in known:
        set_for_all(connection, name, "500")
    done = run()
    assert done.returncode == 0, done.stderr
    assert AGAIN not in done.stderr
    assert versions(connection) == [(2, 200)]


DISTURBED = {
    "vacuum_full": ("VACUUM FULL public.mall_customer", 0, ""),
    "truncate": ("TRUNCATE public.mall_customer", 65, "the source has no rows"),
    "alter_type": ("ALTER TABLE public.mall_customer ALTER annual_income TYPE bigint", 0, ""),
    "drop_column": ("ALTER TABLE public.mall_customer DROP annual_income CASCADE", 75, "was changed after it was"),
    "refresh": ("REFRESH MATERIALIZED VIEW public.kept", 0, ""),
}


@pytest.mark.parametrize(("statement", "code", "sentence"), DISTURBED.values(), ids=DISTURBED)
def test_a_change_that_waits_for_the_reader_gets_its_turn(
    between, run, connection, database_url, configure, statement, code, sentence
):
    """It waits for who holds the locks, and the sessions that read wait behind it: somebody has to give way."""
    if "kept" in statement:
        connection.execute(KEPT)
        configure({"mall": {**MALL, "source": "public.kept"}})
    with psycopg.connect(database_url, autocommit=True) as other, ThreadPoolExecutor(1) as beside:
        changing: list[Future[Any]] = []

        def change() -> None:
            changing.append(beside.submit(other.execute, statement.encode()))
            wait_until(lambda: connection.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall())

        between.judge = while_reading(change)
        done = run()
        changing[0].result(timeout=30)
    assert done.returncode == code, done.stderr
    assert done.stderr.count(AGAIN) == 1
    assert sentence in done.stderr
    assert versions(connection) == [(1, 200) if code else (2, 200)]
