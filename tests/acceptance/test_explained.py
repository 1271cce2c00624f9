"""Names, differences and rules as analysts and the command line see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from segjob.postgres.connecting.connect import Database
from segjob.postgres.publishing.versions import load_version
from tests.acceptance.conftest import MALL

NAMES = [
    "average customers",
    "high annual income, high spending score",
    "high annual income, low spending score",
    "low annual income, low spending score",
    "low annual income, high spending score",
]
PROFILE = "SELECT segment_id, rule, rule_precision, rule_recall FROM segments.mall_profile ORDER BY 1"
MEASURED = """
SELECT
    (count(*) FILTER (WHERE s.segment_id = {id}))::float8 / count(*),
    (count(*) FILTER (WHERE s.segment_id = {id}))::float8 / (SELECT count(*) FROM segments.mall WHERE segment_id = {id})
FROM public.mall_customer LEFT JOIN segments.mall AS s USING (customer_id)
WHERE {rule}
"""
APART = """
SELECT difference, (segment_mean - population_mean) / population_std FROM segments.mall_centroid
"""


@pytest.fixture
def published(mall_project: str, document: Callable[..., Any]) -> dict[str, Any]:
    """The mall, run once; what the run printed."""
    found: dict[str, Any] = document("run", "mall")
    return found


def test_the_rules_that_the_view_shows_do_what_it_claims(
    published: dict[str, Any], connection: psycopg.Connection, database: Database
) -> None:
    profile = connection.execute(PROFILE).fetchall()
    assert len(profile) == 5
    for segment_id, rule, precision, recall in profile:
        measured = connection.execute(MEASURED.format(id=segment_id, rule=rule).encode()).fetchone()
        assert measured == (precision, recall)
        assert min(precision, recall) > 0.9
    with database.begin() as session:
        stored = load_version(session, "mall")
    assert [(one.segment_id, one.rule, one.rule_precision, one.rule_recall) for one in stored.segments] == profile


def test_names_and_differences_say_what_sets_segments_apart(
    published: dict[str, Any], connection: psycopg.Connection
) -> None:
    assert [segment["name"] for segment in published["segments"]] == NAMES
    names = connection.execute("SELECT segment_name FROM segments.mall_profile ORDER BY segment_id").fetchall()
    assert [name for (name,) in names] == NAMES
    for difference, computed in connection.execute(APART):
        assert difference == pytest.approx(computed, abs=1e-3)


def test_show_tells_names_differences_and_rules(
    published: dict[str, Any], succeed: Callable[..., str], document: Callable[..., Any]
) -> None:
    shown = succeed("show", "mall")
    assert "2 · high annual income, high spending score\n  apart: spending_score +1.2, annual_income +1.0 " in shown
    assert '  rule:  ("spending_score" >= 61 AND "annual_income" >= 40) IS TRUE\n' in shown
    assert "100.0% precision, 100.0% recall" in shown
    assert "1 · average customers\n  apart: near the average in everything\n" in shown
    second = document("show", "mall")["segments"][1]
    assert list(second["differences"]) == ["spending_score", "annual_income"]
    assert (second["rule_precision"], second["rule_recall"]) == (1.0, 1.0)


def test_configured_names_stand_and_one_segment_is_everyone(
    mall_project: str, configure: Callable[..., Any], document: Callable[..., Any], connection: psycopg.Connection
) -> None:
    configure({"mall": MALL | {"names": {2: "Well off, spends"}}})
    assert [segment["name"] for segment in document("run", "mall")["segments"]] == [
        NAMES[0],
        "Well off, spends",
        *NAMES[2:],
    ]
    configure({"mall": MALL | {"n_clusters": 1}})
    assert document("run", "mall")["segments"][0]["name"] == "all customers"
    assert connection.execute(PROFILE).fetchall() == [(1, "TRUE", 1.0, 1.0)]
