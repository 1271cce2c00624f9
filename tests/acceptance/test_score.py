"""Scoring between fits, as a user sees it: who came, changed or left, and nobody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import MALL
from tests.acceptance.test_publish import LOCK_TIMEOUT, PUBLISH_LOCK, latencies
from tests.waiting import wait_until

Document = Callable[..., Any]
Segjob = Callable[..., "subprocess.CompletedProcess[str]"]
Configure = Callable[..., Path]
SCRATCH = "SELECT count(*) FROM pg_class WHERE starts_with(relname, 'label_mall#') AND relkind = 'r'"
KEYED = "SELECT count(*) FROM pg_index WHERE indrelid = to_regclass('segjob.\"label_mall#scored\"')"
SCORE_LOCKS = """
SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND d.datname = current_database()
"""
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


def test_a_table_that_is_being_reloaded_costs_nobody_the_label_with_a_watermark_either(
    configure: Configure, document: Document, segjob: Segjob, connection: psycopg.Connection
) -> None:
    connection.execute("ALTER TABLE public.mall_customer ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now()")
    configure({"mall": MALL | {"watermark": "changed_at"}})
    document("run", "mall")
    before = labels(connection)
    connection.execute("TRUNCATE public.mall_customer")
    empty = segjob("score", "mall")
    assert (empty.returncode, "nobody lost a label" in empty.stderr) == (65, True)
    assert labels(connection) == before


def test_a_watermark_of_another_column_or_source_is_not_trusted(
    configure: Configure, document: Document, connection: psycopg.Connection
) -> None:
    connection.execute(
        "ALTER TABLE public.mall_customer ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now(),"
        " ADD COLUMN revision bigint NOT NULL DEFAULT 7"
    )
    configure({"mall": MALL | {"watermark": "changed_at"}})
    document("run", "mall")
    configure({"mall": MALL | {"watermark": "revision"}})
    change_the_mall(connection)
    assert (document("score", "mall")["n_changed"], document("score", "mall")["n_changed"]) == (1, 0)
    connection.execute("CREATE TABLE public.moved AS TABLE public.mall_customer")
    connection.execute("UPDATE public.moved SET annual_income = 20, spending_score = 90 WHERE customer_id = 1")
    connection.execute("UPDATE public.moved SET revision = 1")
    configure({"mall": MALL | {"watermark": "revision", "source": "public.moved"}})
    assert document("score", "mall")["n_changed"] == 1
    configure({"mall": MALL | {"watermark": "revision", "source": "public.moved", "keep_versions": 3}})
    assert document("score", "mall")["n_read"] == 200


@pytest.mark.parametrize("watermark", [None, "age"])
def test_customers_who_are_there_twice_or_without_a_key_are_refused(
    watermark: str | None, configure: Configure, document: Document, segjob: Segjob, connection: psycopg.Connection
) -> None:
    connection.execute("CREATE TABLE public.keyless AS TABLE public.mall_customer")
    configure({"mall": MALL | {"source": "public.keyless", "watermark": watermark}})
    document("run", "mall")
    before = labels(connection)
    connection.execute("INSERT INTO public.keyless SELECT * FROM public.keyless WHERE customer_id = 5")
    twice = segjob("score", "mall")
    assert (twice.returncode, "not unique" in twice.stderr) == (65, True)
    connection.execute("UPDATE public.keyless SET customer_id = NULL WHERE customer_id = 5")
    nobody = segjob("score", "mall")
    assert (nobody.returncode, "customer_id" in nobody.stderr) == (65, True)
    assert labels(connection) == before


def test_who_lacks_a_value_loses_the_segment_and_not_everybody_at_once(
    configure: Configure, document: Document, segjob: Segjob, connection: psycopg.Connection
) -> None:
    features = [{"column": "annual_income", "impute": "exclude"}, "spending_score"]
    configure({"mall": MALL | {"features": features}})
    document("run", "mall")
    before = labels(connection)
    connection.execute("UPDATE public.mall_customer SET annual_income = NULL WHERE customer_id IN (1, 7)")
    connection.execute("INSERT INTO public.mall_customer (customer_id) VALUES (1001)")
    done = document("score", "mall")
    assert (done["n_came"], done["n_changed"], done["n_left"], done["n_moved"]) == (1, 2, 0, 2)
    unlabelled = "SELECT customer_id, feature FROM segments.mall_unlabelled ORDER BY 1"
    lacking = [(key, "annual_income") for key in (1, 7, 1001)]
    assert connection.execute(unlabelled).fetchall() == lacking
    assert one(connection, "SELECT sum(n_customers_now) FROM segments.mall_profile") == 198
    connection.execute("UPDATE public.mall_customer SET annual_income = 15 WHERE customer_id = 1")
    assert document("score", "mall")["n_moved"] == 1
    assert labels(connection)[1][:-1] == before[1][:-1]
    after = labels(connection)
    connection.execute("UPDATE public.mall_customer SET annual_income = NULL")
    nobody = segjob("score", "mall")
    assert (nobody.returncode, "nobody lost a label" in nobody.stderr) == (65, True)
    assert labels(connection) == after


def test_a_single_segment_and_a_query_with_parameters_are_scored_too(
    configure: Configure, document: Document, segjob: Segjob, connection: psycopg.Connection
) -> None:
    query = "SELECT * FROM public.mall_customer WHERE age >= :least AND gender <> 'x:y %s'::text"
    alone = {**MALL, "query": query, "params": {"least": 30}, "n_clusters": 1}
    del alone["source"]
    configure({"alone": alone, "unpublished": alone})
    assert segjob("migrate").returncode == 0
    assert document("run", "alone")["n_segments"] == 1
    old = one(connection, "SELECT count(*) FROM public.mall_customer WHERE age >= 40")
    done = document("score", "alone", "--param", "least=40")
    assert (done["n_read"], done["n_came"], done["n_changed"]) == (old, 0, 0)
    connection.execute("INSERT INTO public.mall_customer VALUES (1001, 'Female', 40, 40, 40)")
    both = segjob("score", "--all", "--json", "--param", "least=40")
    assert both.returncode == 65
    first, second = json.loads(both.stdout)
    assert (first["n_came"], first["n_changed"], second["error"]["exit_code"]) == (1, 0, 65)
    rows = connection.execute(
        "SELECT runner_up_segment_id, simplified_silhouette, count(*) FROM segments.alone GROUP BY 1, 2"
    )
    assert rows.fetchall() == [(None, None, old + 1)]
    assert one(connection, "SELECT params FROM segments.run WHERE kind = 'score' LIMIT 1") == {"least": "40"}


def test_an_open_transaction_keeps_what_it_saw_and_holds_nobody_up(
    mall: None, document: Document, connection: psycopg.Connection, database_url: str
) -> None:
    connection.execute("UPDATE public.mall_customer SET spending_score = 100 - spending_score WHERE customer_id > 150")
    seen = "SELECT customer_id, segment_id FROM segments.mall ORDER BY 1"
    document("score", "mall")  # so that there is a history to be read
    change_the_mall(connection)
    with psycopg.connect(database_url) as reader, latencies(database_url) as measured:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        before = reader.execute(seen).fetchall()
        reader.execute("SELECT count(*) FROM segments.mall_history")
        done = document("score", "mall")
        assert (done["n_moved"], done["publication"]) == (3, 3)
        assert done["seconds"]["publish"] < 2.0
        assert reader.execute(seen).fetchall() == before
        assert reader.execute("SELECT max(publication) FROM segments.publication").fetchone() == (2,)
    assert len(measured) > 10
    assert max(measured) < LOCK_TIMEOUT + 0.3
    assert connection.execute(seen).fetchall() != before


@pytest.mark.parametrize("end", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_scoring_that_is_stopped_changes_nothing_and_the_next_clears_up(
    end: signal.Signals,
    mall: None,
    document: Document,
    connection: psycopg.Connection,
    database_url: str,
    tmp_path: Path,
) -> None:
    before = labels(connection)
    change_the_mall(connection)
    command = [sys.executable, "-m", "segjob", "score", "mall"]
    inherited = {**os.environ, "DATABASE_URL": database_url}
    with psycopg.connect(database_url, autocommit=True) as publisher:
        publisher.execute(PUBLISH_LOCK)
        with subprocess.Popen(command, cwd=tmp_path, env=inherited, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: publisher.execute(KEYED).fetchone() == (1,), 60)
            process.send_signal(end)
            _, said = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in said) == (143 if end == signal.SIGTERM else -end, False)
    assert labels(connection) == before
    last = "SELECT status, exit_code FROM segments.run WHERE kind = 'score' ORDER BY run_id LIMIT 1"
    assert one(connection, SCRATCH) == (0 if end == signal.SIGTERM else 1)
    wait_until(lambda: connection.execute(SCORE_LOCKS).fetchone() == (0,))
    connection.execute('CREATE UNLOGGED TABLE segjob."label_mall#present" (left_by_another integer)')
    connection.execute('CREATE TABLE segjob."membership_mall$moves" (left_by_another integer)')
    assert document("score", "mall")["n_moved"] == 3
    assert connection.execute(last).fetchone() == (("stopped", 143) if end == signal.SIGTERM else ("lost", None))
    assert one(connection, SCRATCH) == 0
    assert one(connection, "SELECT to_regclass('segjob.\"membership_mall$moves\"')::text") is None


def test_before_the_first_publication_there_is_nothing_to_score_with(
    segjob: Segjob, configure: Configure, connection: psycopg.Connection
) -> None:
    configure({"other": MALL})
    assert segjob("migrate").returncode == 0
    done = segjob("score", "other")
    assert done.returncode == 65
    assert "has no published version" in done.stderr
