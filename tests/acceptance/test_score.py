"""Scoring between fits, as a user sees it: who came, changed or left, and nobody else."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import MALL
from tests.waiting import wait_until

Document = Callable[..., Any]
Segjob = Callable[..., "subprocess.CompletedProcess[str]"]
Configure = Callable[..., Path]
LABELS = "customer_id, segment_id, runner_up_segment_id, distance, simplified_silhouette, version_id"


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, published_mall: str) -> Iterator[str]:
    """A copy of the database in which the mall was run once."""
    with servers.fresh_database(server_url, server_connection, published_mall) as url:
        yield url


@pytest.fixture
def mall(configure: Configure) -> None:
    configure({"mall": MALL})


def labels(connection: psycopg.Connection) -> dict[int, tuple[Any, ...]]:
    """What is published, with the transaction that wrote each row."""
    published = "(SELECT version_id FROM segjob.published)"
    query = f"SELECT {LABELS}, xmin::text FROM segjob.label_mall WHERE version_id = {published} ORDER BY customer_id"
    rows = connection.execute(query.encode()).fetchall()
    return {row[0]: row[1:] for row in rows}


def one(connection: psycopg.Connection, query: str, *values: Any) -> Any:
    (found,) = connection.execute(query.encode(), values).fetchone() or (None,)
    return found


def change_the_mall(connection: psycopg.Connection) -> None:
    """Customer 1 turns into a big spender, 2 is gone, 1001 looks like 3."""
    connection.execute("UPDATE public.mall_customer SET annual_income = 90, spending_score = 85 WHERE customer_id = 1")
    connection.execute("DELETE FROM public.mall_customer WHERE customer_id = 2")
    columns = "gender, age, annual_income, spending_score"
    connection.execute(
        f"INSERT INTO public.mall_customer (customer_id, {columns})"
        f" SELECT 1001, {columns} FROM public.mall_customer WHERE customer_id = 3"
    )


def test_who_came_changed_or_left_is_labelled_and_nobody_else_is_touched(
    mall: None, document: Document, connection: psycopg.Connection
) -> None:
    before = labels(connection)
    change_the_mall(connection)
    done = document("score", "mall")
    assert {name: done[name] for name in ("n_read", "n_came", "n_changed", "n_left", "n_moved")} == {
        "n_read": 200,
        "n_came": 1,
        "n_changed": 1,
        "n_left": 1,
        "n_moved": 3,
    }
    after = labels(connection)
    assert set(after) == (set(before) - {2}) | {1001}
    assert all(after[key] == before[key] for key in before if key not in (1, 2))
    assert after[1001][:-1] == after[3][:-1]
    big_spender = one(connection, "SELECT customer_id FROM public.mall_customer WHERE spending_score = 86 LIMIT 1")
    assert after[1][0] == after[big_spender][0] != before[1][0]
    assert one(connection, "SELECT sum(n_customers_now) FROM segments.mall_profile") == 200
    grown = "SELECT n_customers_now - n_customers FROM segments.mall_profile WHERE segment_id = %s"
    assert one(connection, grown, after[1][0]) == 1


def test_scoring_gives_what_a_fit_with_these_centres_gives_and_again_changes_nothing(
    mall: None, document: Document, connection: psycopg.Connection
) -> None:
    before = labels(connection)
    for _ in range(2):
        done = document("score", "mall")
        assert (done["n_came"], done["n_changed"], done["n_left"], done["publication"]) == (0, 0, 0, None)
        assert labels(connection) == before
    change_the_mall(connection)
    assert document("score", "mall")["publication"] == 2
    scored = labels(connection)
    assert document("score", "mall")["publication"] is None
    assert labels(connection) == scored
    assert connection.execute("SELECT kind, version_id FROM segjob.publication ORDER BY publication").fetchall() == [
        ("run", 1),
        ("score", 1),
    ]


def test_history_knows_what_scoring_changed(mall: None, document: Document, connection: psycopg.Connection) -> None:
    then = one(connection, "SELECT clock_timestamp()")
    before = labels(connection)
    change_the_mall(connection)
    document("score", "mall")
    after = labels(connection)
    as_of = "SELECT customer_id, segment_id FROM segments.mall_as_of(%s) ORDER BY customer_id"
    assert dict(connection.execute(as_of, [then]).fetchall()) == {key: row[0] for key, row in before.items()}
    now = one(connection, "SELECT clock_timestamp()")
    assert dict(connection.execute(as_of, [now]).fetchall()) == {key: row[0] for key, row in after.items()}
    intervals = connection.execute(
        "SELECT segment_id, valid_to = '9999-12-31' FROM segments.mall_history"
        " WHERE customer_id = 1 ORDER BY valid_from"
    ).fetchall()
    assert intervals == [(before[1][0], False), (after[1][0], True)]


def test_a_fit_that_was_at_work_loses_nobody_whom_scoring_labelled(
    mall: None, document: Document, connection: psycopg.Connection, database_url: str
) -> None:
    with ThreadPoolExecutor() as pool, psycopg.connect(database_url) as holder:
        holder.execute("LOCK TABLE segjob.centroid IN SHARE MODE")  # a fit writes there, and `score` does not
        fit = pool.submit(document, "run", "mall")
        waits = "SELECT count(*) FROM pg_locks WHERE relation = 'segjob.centroid'::regclass AND NOT granted"
        wait_until(lambda: connection.execute(waits).fetchone() == (1,), 60)
        change_the_mall(connection)
        assert document("score", "mall")["version_id"] == 1
        holder.rollback()
        done = fit.result()
    assert (done["status"], done["version_id"], done["n_customers"]) == ("published", 2, 200)
    assert any("labelled meanwhile" in warning for warning in done["warnings"])
    again = document("score", "mall")
    assert (again["version_id"], again["n_came"], again["n_changed"], again["n_left"]) == (2, 0, 0, 0)
    assert set(labels_of(connection)) == {*range(1, 201)} - {2} | {1001}


@pytest.mark.parametrize("moved", ["watermark", "nothing"])
def test_with_a_watermark_only_changed_rows_are_read(
    moved: str, configure: Configure, document: Document, connection: psycopg.Connection
) -> None:
    connection.execute("ALTER TABLE public.mall_customer ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now()")
    configure({"mall": MALL | {"watermark": "changed_at"}})
    document("run", "mall")
    before = labels(connection)
    change_the_mall(connection)
    old = "SELECT min(changed_at) - interval '1 day' FROM public.mall_customer"
    if moved == "watermark":
        connection.execute("UPDATE public.mall_customer SET changed_at = now() WHERE customer_id IN (1, 1001)")
    else:
        connection.execute(f"UPDATE public.mall_customer SET changed_at = ({old}) WHERE customer_id IN (1, 1001)")
    connection.execute(f"UPDATE public.mall_customer SET changed_at = ({old}) WHERE customer_id NOT IN (1, 1001)")
    done = document("score", "mall")
    assert done["n_read"] == (2 if moved == "watermark" else 200)
    assert (done["n_came"], done["n_changed"], done["n_left"]) == (1, 1, 1)
    assert bool(done["warnings"]) == (moved == "nothing")
    after = labels(connection)
    assert set(after) == (set(before) - {2}) | {1001}
    assert all(after[key] == before[key] for key in before if key not in (1, 2))
    again = document("score", "mall")
    assert (again["n_came"], again["n_changed"], again["n_left"]) == (0, 0, 0)


def test_drift_is_measured_and_a_fit_is_due_until_there_is_one(
    mall: None, configure: Configure, document: Document, segjob: Segjob, connection: psycopg.Connection
) -> None:
    quiet = document("score", "mall")
    assert (quiet["fit_due"], quiet["drift"]["psi"]) == (False, 0.0)
    assert quiet["drift"]["far_share"] <= 0.01
    connection.execute(
        "UPDATE public.mall_customer SET spending_score = 99, annual_income = 130 WHERE customer_id <= 80"
    )
    done = segjob("score", "mall")
    assert done.returncode == 0
    assert "a new one is due" in done.stderr
    due = "SELECT fit_due FROM segments.segmentation"
    assert connection.execute(due).fetchone() == (True,)
    assert "a new one is due" in str(
        connection.execute("SELECT warnings FROM segments.run ORDER BY run_id DESC LIMIT 1").fetchone()
    )
    configure({"mall": MALL | {"gates": {"max_label_churn": None}}})
    assert segjob("run", "mall").returncode == 0
    assert connection.execute(due).fetchone() == (False,)


def test_a_rollback_scores_what_changed_since(mall: None, document: Document, connection: psycopg.Connection) -> None:
    document("run", "mall")
    change_the_mall(connection)
    done = document("rollback", "mall")
    assert done["version_id"] == 1
    assert set(labels_of(connection)) == {*range(1, 201)} - {2} | {1001}


def labels_of(connection: psycopg.Connection) -> list[int]:
    return [key for (key,) in connection.execute("SELECT customer_id FROM segments.mall").fetchall()]


def test_what_can_not_be_scored_says_so_and_changes_nothing(
    mall: None, configure: Configure, segjob: Segjob, connection: psycopg.Connection
) -> None:
    before = labels(connection)
    connection.execute("CREATE TABLE public.mall_backup AS TABLE public.mall_customer; TRUNCATE public.mall_customer")
    empty = segjob("score", "mall")
    assert (empty.returncode, "nobody lost a label" in empty.stderr) == (65, True)
    connection.execute("INSERT INTO public.mall_customer TABLE public.mall_backup")
    configure({"mall": MALL | {"features": ["annual_income", "age"]}})
    assert segjob("migrate").returncode == 0
    other = segjob("score", "mall")
    assert (other.returncode, "no longer those of version 1" in other.stderr) == (78, True)
    assert labels(connection) == before
    kept = connection.execute(
        "SELECT kind, status, exit_code FROM segments.run ORDER BY run_id DESC LIMIT 2"
    ).fetchall()
    assert kept == [("score", "failed", 78), ("score", "failed", 65)]


def test_before_the_first_publication_there_is_nothing_to_score_with(
    segjob: Segjob, configure: Configure, connection: psycopg.Connection
) -> None:
    configure({"other": MALL})
    assert segjob("migrate").returncode == 0
    done = segjob("score", "other")
    assert done.returncode == 65
    assert "has no published version" in done.stderr
