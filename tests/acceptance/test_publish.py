"""Publishing what is there already, and going back: what analysts see, what is kept of it, and who has to wait."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import MALL
from tests.waiting import wait_until

pytestmark = pytest.mark.long

Document = Callable[..., Any]
Segjob = Callable[..., "subprocess.CompletedProcess[str]"]
Configure = Callable[..., Path]
PUBLISH_LOCK = "SELECT pg_advisory_lock(hashtextextended('segjob/segjob/mall/publish', 0))"
LOCK_TIMEOUT = 0.5


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, published_mall: str) -> Iterator[str]:
    """A copy of the database in which the mall was run once."""
    with servers.fresh_database(server_url, server_connection, published_mall) as url:
        yield url


def visible(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """What analysts see of the mall, without when it was published."""
    return connection.execute(
        "SELECT customer_id, segment_id, segment_name, distance, version_id FROM segments.mall ORDER BY customer_id"
    ).fetchall()


def statuses(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute("SELECT status FROM segments.version ORDER BY version_id")
    return [status for (status,) in rows]


def error_of(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    return done.returncode, json.loads(done.stdout)["error"]["message"]


@pytest.fixture
def staged(mall_published: str, document: Document, connection: psycopg.Connection) -> int:
    """Other customers than the published version knows, in a version that was kept back."""
    connection.execute("UPDATE public.mall_customer SET spending_score = 100 - spending_score WHERE customer_id <= 20")
    kept = document("run", "mall", "--no-publish")
    assert kept["status"] == "staged"
    return int(kept["version_id"])


# Publishing


def test_a_staged_version_is_published_and_the_one_before_stands_ready(
    staged: int, document: Document, connection: psycopg.Connection
) -> None:
    before = visible(connection)
    done = document("publish", "mall", str(staged))
    assert (done["kind"], done["version_id"], done["previous_version_id"]) == ("publish", 2, 1)
    assert (done["status"], done["changed"], done["publication"]) == ("published", True, 2)
    assert visible(connection) != before
    assert {row[4] for row in visible(connection)} == {2}
    assert statuses(connection) == ["superseded", "published"]
    kept = connection.execute(
        "SELECT kind, status, version_id, exit_code, params FROM segments.run ORDER BY run_id DESC"
    )
    assert kept.fetchone() == ("publish", "succeeded", 2, 0, {"version": "2"})


def test_a_rejected_version_is_published_by_force_and_the_reason_is_kept(
    mall_published: str, configure: Configure, segjob: Segjob, document: Document, connection: psycopg.Connection
) -> None:
    configure({"mall": MALL | {"gates": {"min_customers": {"refuse": 201}}}})
    assert segjob("run", "mall").returncode == 3
    code, sentence = error_of(segjob("publish", "mall", "2", "--json"))
    assert code == 3
    assert "gate min_customers: measured 200, refuses under 201" in sentence
    assert segjob("publish", "mall", "2", "--force").returncode == 2
    assert statuses(connection) == ["published", "rejected"]
    done = document("publish", "mall", "2", "--force", "--reason", "the shop really is that small")
    assert (done["version_id"], done["forced"], done["reason"]) == (2, True, "the shop really is that small")
    assert statuses(connection) == ["superseded", "published"]
    assert connection.execute("SELECT params FROM segments.run ORDER BY run_id DESC LIMIT 1").fetchone() == (
        {"version": "2", "force": "true", "reason": "the shop really is that small"},
    )
    assert connection.execute(
        "SELECT kind, forced, reason FROM segjob.publication ORDER BY publication"
    ).fetchall() == [
        ("run", False, None),
        ("publish", True, "the shop really is that small"),
    ]
    assert connection.execute("SELECT status FROM segments.run ORDER BY run_id").fetchall() == [
        ("succeeded",),
        ("rejected",),
        ("rejected",),
        ("succeeded",),
    ]


def test_a_version_that_is_published_already_is_left_alone(mall_published: str, document: Document) -> None:
    done = document("publish", "mall", "1")
    assert (done["status"], done["changed"], done["publication"]) == ("published", False, 1)


def test_a_version_whose_run_died_before_its_gates_is_not_published(
    staged: int, segjob: Segjob, document: Document, connection: psycopg.Connection
) -> None:
    connection.execute("UPDATE segjob.version SET gated = false WHERE version_id = 2")
    code, sentence = error_of(segjob("publish", "mall", "2", "--json"))
    assert (code, "was never asked through the gates" in sentence) == (3, True)
    assert document("publish", "mall", "2", "--force", "--reason", "looked at it")["changed"]


def test_what_is_not_there_can_not_be_published(
    mall_published: str, segjob: Segjob, document: Document, connection: psycopg.Connection
) -> None:
    assert "no version 7" in error_of(segjob("publish", "mall", "7", "--json"))[1]
    code, sentence = error_of(segjob("rollback", "mall", "--json"))
    assert (code, "was published before" in sentence) == (65, True)
    for _ in range(2):
        document("run", "mall")
    connection.execute('DROP TABLE segjob."label_mall$1"')
    code, sentence = error_of(segjob("publish", "mall", "1", "--json"))
    assert (code, "its labels are gone" in sentence) == (65, True)
    assert connection.execute("SELECT kind, status, exit_code FROM segments.run ORDER BY run_id DESC").fetchone() == (
        "publish",
        "failed",
        65,
    )
    assert visible(connection)[0][4] == 3


# Going back


def test_a_rollback_shows_what_was_there_before_and_forward_again_what_was_there_after(
    mall_published: str, document: Document, connection: psycopg.Connection
) -> None:
    connection.execute("LISTEN segjob")
    first = visible(connection)
    turned = "UPDATE public.mall_customer SET spending_score = 100 - spending_score WHERE customer_id <= 20"
    connection.execute(turned)
    document("run", "mall")
    second = visible(connection)
    assert second != first
    connection.execute(turned)  # and back, so that a rollback finds nobody to score
    done = document("rollback", "mall")
    assert (done["kind"], done["version_id"], done["previous_version_id"]) == ("rollback", 1, 2)
    assert visible(connection) == first
    assert statuses(connection) == ["published", "superseded"]
    document("publish", "mall", "2")
    assert visible(connection) == second
    assert statuses(connection) == ["superseded", "published"]
    heard = [json.loads(one.payload) for one in connection.notifies(timeout=10, stop_after=3)]
    assert [(one["version_id"], one["publication"]) for one in heard] == [(2, 2), (1, 3), (2, 4)]
    kinds = connection.execute("SELECT kind FROM segjob.publication ORDER BY publication").fetchall()
    assert kinds == [("run",), ("run",), ("rollback",), ("publish",)]
    following = document("run", "mall")
    assert (following["version_id"], following["status"]) == (3, "published")


def test_a_second_rollback_goes_further_back_and_not_forward_again(
    mall_published: str, segjob: Segjob, document: Document, connection: psycopg.Connection
) -> None:
    for _ in range(2):
        document("run", "mall")
    assert [document("rollback", "mall")["version_id"] for _ in range(2)] == [2, 1]
    assert len(visible(connection)) == 200
    assert segjob("rollback", "mall").returncode == 65
    assert document("publish", "mall", "3")["previous_version_id"] == 1
    assert document("rollback", "mall")["version_id"] == 1


def test_a_version_that_is_half_detached_is_refused(
    mall_published: str, segjob: Segjob, document: Document, connection: psycopg.Connection
) -> None:
    document("run", "mall")
    with reading(mall_published):
        document("run", "mall")
        code, sentence = error_of(segjob("publish", "mall", "1", "--json"))
    assert (code, "half detached" in sentence) == (65, True)
    assert statuses(connection) == ["superseded", "superseded", "published"]
    document("prune", "mall")
    assert document("publish", "mall", "1")["changed"]


# At the same time


@contextmanager
def reading(url: str) -> Iterator[psycopg.Connection]:
    """A transaction of a BI tool that stays open."""
    with psycopg.connect(url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert reader.execute("SELECT count(*) FROM segments.mall").fetchone() == (200,)
        yield reader


@contextmanager
def publishing_lock(url: str) -> Iterator[None]:
    """Somebody else publishes."""
    with psycopg.connect(url, autocommit=True) as holder:
        holder.execute(PUBLISH_LOCK)
        yield


def waiting_for_the_lock(connection: psycopg.Connection) -> int:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'segjob'"
        " AND datname = current_database() AND query ~ 'advisory|pg_locks'"
    ).fetchone()
    return row[0] if row else 0


def test_of_two_who_publish_at_once_one_wins_and_the_other_is_told_to_try_again(
    staged: int, mall_published: str, segjob: Segjob, document: Document, connection: psycopg.Connection
) -> None:
    document("run", "mall", "--no-publish")
    with ThreadPoolExecutor(2) as both:
        with publishing_lock(mall_published):
            asked = [both.submit(segjob, "publish", "mall", version) for version in ("2", "3")]
            wait_until(lambda: waiting_for_the_lock(connection) == 2)
        done = [one.result() for one in asked]
    assert sorted(one.returncode for one in done) == [0, 75]
    (late,) = [one for one in done if one.returncode == 75]
    assert "another version was published" in late.stderr
    assert connection.execute("SELECT count(*) FROM segjob.publication").fetchone() == (2,)
    assert sorted(statuses(connection)) == ["published", "staged", "superseded"]


def test_a_run_that_was_overtaken_keeps_its_version_back(
    staged: int, mall_published: str, segjob: Segjob, connection: psycopg.Connection
) -> None:
    with ThreadPoolExecutor(1) as beside:
        with publishing_lock(mall_published):
            running: Future[subprocess.CompletedProcess[str]] = beside.submit(segjob, "run", "mall")
            wait_until(lambda: len(statuses(connection)) == 3, 60)
            connection.execute("UPDATE segjob.published SET version_id = 2")
        done = running.result()
    assert done.returncode == 75
    assert "another version was published since this run began" in done.stderr
    assert statuses(connection)[2] == "staged"


def test_publishing_hardly_waits_for_an_open_transaction_and_new_readers_hardly_for_it(
    mall_published: str, document: Document, connection: psycopg.Connection
) -> None:
    for _ in range(2):
        document("run", "mall")
    undisturbed = document("publish", "mall", "2")["seconds"]["publish"]
    with reading(mall_published) as reader, latencies(mall_published) as measured:
        disturbed = document("publish", "mall", "1")["seconds"]["publish"]
        assert disturbed - undisturbed < 1.0
        assert reader.execute("SELECT DISTINCT version_id FROM segments.mall").fetchall() == [(2,)]
    assert len(measured) > 10
    assert max(measured) < LOCK_TIMEOUT + 0.3
    assert {row[4] for row in visible(connection)} == {1}


@contextmanager
def latencies(url: str) -> Iterator[list[float]]:
    """How long each of many new readers takes, one after the other."""
    measured: list[float] = []
    done = threading.Event()

    def read() -> None:
        with psycopg.connect(url, autocommit=True) as reader:
            while not done.is_set():
                began = time.monotonic()
                assert reader.execute("SELECT count(*) FROM segments.mall").fetchone() == (200,)
                measured.append(time.monotonic() - began)

    with ThreadPoolExecutor(1) as beside:
        watching = beside.submit(read)
        try:
            yield measured
        finally:
            done.set()
            watching.result()
