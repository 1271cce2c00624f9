"""What is left when a run is stopped or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from segjob.postgres.connecting.connect import Database
from segjob.postgres.runs import finish_run
from tests.acceptance.conftest import MALL
from tests.waiting import wait_until

pytestmark = pytest.mark.long

SLOW = {
    "query": "SELECT *, pg_sleep(0.2) FROM public.mall_customer",
    "key": "customer_id",
    "features": ["annual_income"],
    "n_clusters": 2,
}


@pytest.fixture
def started(
    mall: str,
    tmp_path: Path,
    configure: Callable[..., Path],
    succeed: Callable[..., str],
    connection: psycopg.Connection,
) -> subprocess.Popen[str]:
    """A run that has its row and reads for another forty seconds."""
    configure({"mall": MALL, "slow": SLOW})
    succeed("migrate")
    process = subprocess.Popen(
        [sys.executable, "-m", "segjob", "run", "slow", "--json"],
        cwd=tmp_path,
        env={**os.environ, "DATABASE_URL": mall},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep%'"
    deadline = time.monotonic() + 60
    while connection.execute("SELECT status FROM segments.run").fetchall() != [("running",)] or connection.execute(
        f"{waiting} AND state = 'active' AND pid <> pg_backend_pid()"
    ).fetchone() == (0,):
        assert time.monotonic() < deadline, process.poll()
    return process


def last_run(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT segmentation, status, exit_code FROM segments.run ORDER BY run_id").fetchall()


def sessions(connection: psycopg.Connection) -> int:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'segjob'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_sigterm_ends_a_run_within_seconds_and_it_is_marked(
    started: subprocess.Popen[str], connection: psycopg.Connection
) -> None:
    began = time.monotonic()
    started.send_signal(signal.SIGTERM)
    printed, said = started.communicate(timeout=30)
    assert started.returncode == 143, said
    assert time.monotonic() - began < 10
    assert '"exit_code": 143' in printed
    assert "Traceback" not in said
    assert last_run(connection) == [("slow", "stopped", 143)]


def test_a_run_that_was_killed_is_marked_lost_by_the_next(
    started: subprocess.Popen[str],
    connection: psycopg.Connection,
    configure: Callable[..., Path],
    succeed: Callable[..., str],
) -> None:
    started.kill()
    started.communicate(timeout=30)
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'segjob'"
    )
    wait_until(lambda: not sessions(connection), seconds=30)
    connection.execute('CREATE TABLE segjob."label_slow$7" (left_behind integer)')
    configure({"mall": MALL, "slow": {**SLOW, "query": "SELECT *, NULL AS pg_sleep FROM public.mall_customer"}})
    succeed("run", "slow")
    assert last_run(connection) == [("slow", "lost", None), ("slow", "succeeded", 0)]
    assert connection.execute("SELECT to_regclass('segjob.\"label_slow$7\"')").fetchone() == (None,)
    assert connection.execute("SELECT count(*) FROM segments.slow").fetchone() == (200,)


def test_what_was_published_stays_so_when_the_run_is_stopped_afterwards(
    mall: str,
    configure: Callable[..., Path],
    succeed: Callable[..., str],
    connection: psycopg.Connection,
    database: Database,
) -> None:
    configure({"mall": MALL})
    succeed("migrate")
    succeed("run", "mall")
    with database.begin() as session:
        finish_run(session, 1, "stopped", exit_code=143)
    assert last_run(connection) == [("mall", "succeeded", 0)]
