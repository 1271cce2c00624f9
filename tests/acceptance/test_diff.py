"""Who moved between two versions, in text, as JSON and in SQL."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import MALL

pytestmark = pytest.mark.long

Document = Callable[..., Any]
Segjob = Callable[..., "subprocess.CompletedProcess[str]"]
Rows = list[tuple[Any, ...]]

# Who is there stays one of the same 200 customers, and 200 others take their names: no centre moves, all labels do.
REVERSED = """
UPDATE public.mall_customer AS m SET annual_income = o.annual_income, spending_score = o.spending_score
FROM public.mall_customer AS o WHERE o.customer_id = 201 - m.customer_id
"""
FULL_JOIN = """
SELECT a.segment_id, b.segment_id, count(*) FROM segjob."label_mall$1" a
FULL JOIN segjob."label_mall$2" b USING (customer_id) GROUP BY 1, 2 ORDER BY 1, 2
"""


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, published_mall: str) -> Iterator[str]:
    """A copy of the database in which the mall was run once."""
    with servers.fresh_database(server_url, server_connection, published_mall) as url:
        yield url


@pytest.fixture
def moved(mall_published: str, document: Document, connection: psycopg.Connection) -> dict[str, Any]:
    """A second version, kept back, in which some changed places, some came and some left."""
    connection.execute("UPDATE public.mall_customer SET spending_score = 100 - spending_score WHERE customer_id <= 20")
    connection.execute("DELETE FROM public.mall_customer WHERE customer_id IN (50, 60)")
    connection.execute(
        "INSERT INTO public.mall_customer SELECT 1000 + customer_id, gender, age, annual_income, spending_score"
        " FROM public.mall_customer WHERE customer_id <= 5"
    )
    kept: dict[str, Any] = document("run", "mall", "--no-publish")
    return kept


def counted(found: dict[str, Any]) -> Rows:
    keys = ("from_segment_id", "to_segment_id", "n_customers")
    rows = [tuple(one[key] for key in keys) for one in found["transitions"]]
    return sorted(rows, key=lambda row: (row[0] is None, row[0] or 0, row[1] is None, row[1] or 0))


def test_who_moved_is_what_a_join_of_the_labels_says(
    moved: dict[str, Any], document: Document, succeed: Callable[..., str], connection: psycopg.Connection
) -> None:
    expected = connection.execute(FULL_JOIN).fetchall()
    found = document("diff", "mall", "1", "2")
    assert counted(found) == expected
    assert (found["n_came"], found["n_left"], found["n_shared"], found["source"]) == (5, 2, 198, "labels")
    assert found["n_stayed"] + found["n_moved"] == 198
    assert found["n_moved"] > 0
    assert 0 < found["n_features_moved"] <= found["n_moved"]
    assert found["n_features_moved"] + found["n_model_moved"] >= found["n_moved"]  # nobody moves without a reason
    text = succeed("diff", "mall", "1", "2")
    assert f"{found['n_features_moved']} because their features changed" in text
    assert f"{found['n_stayed']} stayed, {found['n_moved']} moved" in text
    assert "5 came, 2 left" in text
    assert "average customers" in text


def test_the_view_has_the_same_for_a_version_and_its_parent_and_for_each_publication(
    moved: dict[str, Any], document: Document, connection: psycopg.Connection
) -> None:
    stored = "SELECT from_segment_id, to_segment_id, n_customers FROM segments.transition WHERE (from_version_id,"
    order = "ORDER BY 1, 2"
    expected = connection.execute(FULL_JOIN).fetchall()
    assert connection.execute(f"{stored} to_version_id) = (1, 2) {order}".encode()).fetchall() == expected
    churn = connection.execute("SELECT label_churn FROM segments.version WHERE version_id = 2").fetchone()
    found = document("diff", "mall", "1", "2")
    assert churn == (found["n_moved"] / 198,)
    assert next(one["value"] for one in moved["gates"] if one["gate"] == "max_label_churn") == churn[0]
    document("publish", "mall", "2")
    assert connection.execute(f"{stored} to_version_id) = (1, 2) {order}".encode()).fetchall() == expected
    document("rollback", "mall")
    back = connection.execute(f"{stored} to_version_id) = (2, 1) {order}".encode()).fetchall()
    assert sorted((after, before, n) for before, after, n in back if None not in (before, after)) == [
        row for row in expected if None not in row
    ]


def test_versions_whose_labels_are_gone_are_told_from_what_was_stored(
    moved: dict[str, Any], segjob: Segjob, document: Document, connection: psycopg.Connection
) -> None:
    before = document("diff", "mall", "1", "2")
    connection.execute('DROP TABLE segjob."label_mall$2"')
    after = document("diff", "mall", "1", "2")
    assert after["source"] == "stored"
    assert {**after, "source": "labels"} == before
    refused = segjob("diff", "mall", "2", "1")
    assert refused.returncode == 65
    assert "the labels of version 2 are gone" in refused.stderr
    assert segjob("diff", "mall", "1", "7").returncode == 65


def test_too_many_who_change_their_segment_are_refused_and_can_be_looked_at(
    mall_published: str, segjob: Segjob, document: Document, connection: psycopg.Connection
) -> None:
    connection.execute(REVERSED.encode())
    done = segjob("run", "mall")
    assert done.returncode == 3
    assert "gate max_label_churn: measured " in done.stderr
    found = document("diff", "mall", "1", "2")
    assert found["label_churn"] >= 0.5
    assert connection.execute(
        "SELECT value, result FROM segments.gate WHERE version_id = 2 AND gate = 'max_label_churn'"
    ).fetchone() == (found["label_churn"], "refused")
    assert document("show", "mall", "2")["status"] == "rejected"


def test_some_who_change_their_segment_make_a_warning_and_other_features_none(
    moved: dict[str, Any], configure: Callable[..., Path], succeed: Callable[..., str], document: Document
) -> None:
    configure({"mall": MALL | {"gates": {"max_label_churn": {"warn": 0.001}}}})
    warned = document("run", "mall")
    assert [one["gate"] for one in warned["gates"] if one["result"] == "warned"] == ["max_label_churn"]
    assert any(one.startswith("gate max_label_churn") for one in warned["warnings"])
    configure({"mall": MALL | {"features": ["annual_income", "age"]}})
    succeed("migrate")
    other = document("run", "mall")
    results = {one["gate"]: one["result"] for one in other["gates"]}
    assert (other["status"], results["max_label_churn"]) == ("published", "skipped")
    assert document("diff", "mall", "3", "4")["n_shared"] == 203
