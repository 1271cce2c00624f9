"""How fresh the labels are, as `segments.segmentation` tells whoever watches the jobs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import MALL


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, published_mall: str) -> Iterator[str]:
    """A copy of the database in which the mall was run once."""
    with servers.fresh_database(server_url, server_connection, published_mall) as url:
        yield url


def freshness(connection: psycopg.Connection) -> tuple[Any, ...]:
    query = "SELECT last_status, last_success_at, data_as_of FROM segments.segmentation WHERE segmentation = 'mall'"
    (row,) = connection.execute(query).fetchall()
    return row


def record_run(connection: psycopg.Connection, kind: str, status: str) -> None:
    values = "('mall', %s, %s, now() + interval '1 day', now() + interval '1 day', '0', '0')"
    columns = "segmentation, kind, status, started_at, finished_at, program_version, config_hash"
    connection.execute(f"INSERT INTO segjob.run ({columns}) VALUES {values}".encode(), (kind, status))


@pytest.mark.parametrize("kind", ["choose_k", "forget", "prune", "publish"])
def test_what_labels_nobody_says_nothing_of_freshness(connection: psycopg.Connection, kind: str) -> None:
    """Else a prune by day would hide that the night's run had failed."""
    before = freshness(connection)
    record_run(connection, kind, "succeeded")
    assert freshness(connection) == before


def test_a_failure_of_the_night_is_seen(connection: psycopg.Connection) -> None:
    before = freshness(connection)
    record_run(connection, "score", "failed")
    assert freshness(connection) == ("failed", *before[1:])


def test_a_score_makes_the_labels_as_fresh_as_its_beginning(
    connection: psycopg.Connection,
    configure: Callable[..., Path],
    segjob: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    configure({"mall": MALL})
    before = freshness(connection)
    done = segjob("score", "mall")
    assert done.returncode == 0, done.stderr
    after = freshness(connection)
    started = connection.execute("SELECT max(started_at) FROM segments.run WHERE kind = 'score'").fetchone()
    assert after[0] == "succeeded"
    assert after[1] > before[1]
    assert after[2:] == started
