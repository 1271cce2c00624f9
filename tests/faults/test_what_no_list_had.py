"""Faults that nobody had thought of before: found by thinking, and by random sequences of commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from segjob.errors import DatabaseUnavailable
from segjob.job import publishing
from segjob.postgres import runs
from segjob.postgres.connecting.connect import Database, driver_of
from tests import servers
from tests.faults.expected_shop import Fit, Prune, Republish, Rewrite
from tests.faults.interruptions import Died
from tests.faults.server import MortalServer
from tests.faults.shop import Actual, customers, prepare, settings_of
from tests.waiting import wait_until

FEW, MANY = customers({21: 0, 22: 1}), customers({one: one % 4 for one in range(21, 60)})


@pytest.fixture
def actual(mortal: MortalServer, tmp_path: Path) -> Iterator[Actual]:
    """A shop of which a version of few customers is published."""
    with mortal.connect() as server, servers.fresh_database(mortal.url, server) as url:
        prepare(tmp_path, url)
        with psycopg.connect(url, autocommit=True) as admin:
            shop = Actual(admin, settings_of(tmp_path, url, watermark=False))
            shop.execute(Rewrite(FEW))
            assert shop.execute(Fit(publish=True)) == 0
            yield shop


def die(*arguments: Any) -> None:
    raise Died


def statuses(actual: Actual) -> list[tuple[Any, ...]]:
    return actual.rows("SELECT version_id, status FROM segjob.version ORDER BY 1")


def test_a_run_that_died_after_its_gates_refused_leaves_a_version_that_stays_refused(
    actual: Actual, monkeypatch: pytest.MonkeyPatch
) -> None:
    actual.execute(Rewrite(MANY))
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "turn_away", die)
        with pytest.raises(Died):
            actual.execute(Fit(publish=True))
    assert statuses(actual) == [(1, "published"), (2, "staged")]
    assert actual.execute(Republish(2)) == 3
    assert actual.execute(Republish(2, force=True)) == 0


def test_a_rollback_while_a_reader_keeps_an_older_version_half_detached_is_no_bug(actual: Actual) -> None:
    """Then the older one is where the next rollback would go, and yet it has to be finished with first."""
    assert actual.execute(Fit(publish=True)) == 0
    with psycopg.connect(actual.settings.database.conninfo) as reader:
        seen = Actual(reader, actual.settings).visible
        assert actual.execute(Fit(publish=True)) == 0
        assert actual.half_detached()
        assert actual.execute(Republish(None)) == 0
        assert actual.execute(Republish(None)) == 65
        assert Actual(reader, actual.settings).visible == seen
    assert actual.execute(Prune()) == 0
    assert not actual.half_detached()
    assert actual.execute(Republish(None)) == 0
    assert statuses(actual) == [(1, "published"), (2, "superseded"), (3, "superseded")]


def test_a_commit_that_was_lost_is_not_taken_for_one_because_the_next_run_called_ours_lost(actual: Actual) -> None:
    database = actual.database
    with database.begin() as session:
        run_id = runs.start_run(session, "shop", "run", "", {})
    with pytest.raises(DatabaseUnavailable):
        end_after_the_next_began(database, run_id, actual.admin)
    assert actual.rows("SELECT status, warnings FROM segjob.run WHERE run_id = %s", run_id) == [("lost", [])]


def end_after_the_next_began(database: Database, run_id: int, admin: psycopg.Connection) -> None:
    """Our sessions are gone, and so is our lock."""
    with runs.ending_run(database, run_id) as session:
        runs.add_warnings(session, run_id, ["never committed"])
        pid = driver_of(session).info.backend_pid
        admin.execute("SELECT pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not admin.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchall())
        with database.begin() as another:
            runs.start_run(another, "shop", "run", "", {})
