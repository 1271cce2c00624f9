"""Two hundred real customers, from the table to SQL, as a user goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.conftest import MALL

Succeed = Callable[..., str]
Document = Callable[..., Any]


def test_a_run_finds_the_best_clustering_and_says_how_good_it_is(mall_project: str, document: Document) -> None:
    found = document("run", "mall")
    assert (found["status"], found["version_id"], found["n_customers"]) == ("published", 1, 200)
    assert found["inertia"] == pytest.approx(44448.46, abs=0.5)
    silhouette = found["silhouette"]
    assert silhouette["value"] == pytest.approx(0.5539, abs=0.0005)
    assert silhouette["low"] == silhouette["value"] == silhouette["high"]
    assert (silhouette["method"], silhouette["n_sampled"], silhouette["exact"]) == ("euclidean", 200, True)
    assert [segment["n_customers"] for segment in found["segments"]] == [81, 39, 35, 23, 22]
    assert [segment["segment_id"] for segment in found["segments"]] == [1, 2, 3, 4, 5]
    assert sum(segment["share"] for segment in found["segments"]) == pytest.approx(1)
    assert found["fit"]["minibatches"] == 0
    assert found["fit"]["full_passes"] >= 1
    assert found["fit"]["warm_start"] is False
    assert set(found["seconds"]) == {"read", "fit", "label", "score", "write", "publish", "total"}


@pytest.mark.parametrize("seed", [2, 11, 20])
def test_the_seed_does_not_matter(
    seed: int, mall: str, configure: Callable[..., Path], succeed: Succeed, document: Document
) -> None:
    configure({"mall": MALL | {"seed": seed}})
    succeed("migrate")
    found = document("run", "mall", "--dry-run")
    assert found["inertia"] == pytest.approx(44448.46, abs=0.5)
    assert [segment["n_customers"] for segment in found["segments"]] == [81, 39, 35, 23, 22]


def test_a_dry_run_tells_what_would_change_and_writes_nothing(
    mall_project: str, document: Document, connection: psycopg.Connection
) -> None:
    first = document("run", "mall", "--dry-run")
    assert (first["status"], first["version_id"]) == ("dry_run", None)
    assert connection.execute("SELECT count(*) FROM segments.run").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM segments.version").fetchone() == (0,)
    document("run", "mall")
    again = document("run", "mall", "--dry-run")
    assert again["changes"]
    assert connection.execute("SELECT max(version_id) FROM segments.version").fetchone() == (1,)


def test_a_version_can_be_kept_back(mall_project: str, document: Document, connection: psycopg.Connection) -> None:
    staged = document("run", "mall", "--no-publish")
    assert (staged["status"], staged["version_id"]) == ("staged", 1)
    assert connection.execute("SELECT count(*) FROM segments.mall").fetchone() == (0,)
    assert connection.execute("SELECT version_id, fit_due FROM segments.segmentation").fetchone() == (None, True)
    published = document("run", "mall")
    assert (published["status"], published["version_id"]) == ("published", 2)
    assert document("show", "mall", "1")["status"] == "staged"


def test_a_second_run_goes_on_from_the_first_and_changes_nobody(
    mall_project: str, document: Document, connection: psycopg.Connection
) -> None:
    labels = "SELECT customer_id, segment_id, distance, simplified_silhouette FROM segments.mall ORDER BY 1"
    assert document("run", "mall")["fit"]["warm_start"] is False
    before = connection.execute(labels).fetchall()
    again = document("run", "mall")
    assert (again["version_id"], again["fit"]["warm_start"]) == (2, True)
    assert [stage["stage"] for stage in again["fit"]["stages"]] == ["warm_start"]
    assert connection.execute(labels).fetchall() == before


def test_segments_keep_their_ids_when_their_sizes_change_places(
    mall_project: str, configure: Callable[..., Path], document: Document, connection: psycopg.Connection
) -> None:
    configure({"mall": MALL | {"gates": {"max_volume_change": None}}})
    first = document("run", "mall")["segments"]
    smallest = "SELECT customer_id FROM segments.mall WHERE segment_id = 5"
    connection.execute(
        f"""
        INSERT INTO public.mall_customer
        SELECT 10000 + 1000 * g + m.customer_id, m.gender, m.age, m.annual_income, m.spending_score
        FROM public.mall_customer AS m CROSS JOIN generate_series(1, 5) AS g WHERE m.customer_id IN ({smallest})
        """.encode()
    )
    second = document("run", "mall")
    assert second["fit"]["warm_start"] is True
    assert second["segments"][4]["n_customers"] > second["segments"][0]["n_customers"]
    for before, after in zip(first, second["segments"], strict=True):
        assert after["centroid"] == pytest.approx(before["centroid"], abs=6)


def test_other_features_begin_from_nothing(
    mall_project: str, configure: Callable[..., Path], succeed: Succeed, document: Document
) -> None:
    succeed("run", "mall")
    configure({"mall": MALL | {"features": ["annual_income", "age"]}})
    succeed("migrate")
    assert document("run", "mall")["fit"]["warm_start"] is False


def test_listeners_hear_of_a_publication(mall_project: str, succeed: Succeed, connection: psycopg.Connection) -> None:
    connection.execute("LISTEN segjob")
    succeed("run", "mall")
    (heard,) = connection.notifies(timeout=10, stop_after=1)
    assert json.loads(heard.payload) == {"segmentation": "mall", "version_id": 1, "publication": 1}


def test_names_and_colours_of_the_configuration_are_the_segments_own(
    mall: str, configure: Callable[..., Path], succeed: Succeed, connection: psycopg.Connection
) -> None:
    configure({"mall": MALL | {"names": {1: "Middle"}, "colors": {1: "#123456"}}})
    succeed("migrate")
    succeed("run", "mall")
    rows = connection.execute("SELECT segment_id, segment_name, color FROM segments.mall_profile ORDER BY 1").fetchall()
    assert rows[0] == (1, "Middle", "#123456")
    assert rows[1][1] == "high annual income, high spending score"
    assert connection.execute("SELECT DISTINCT segment_name FROM segments.mall WHERE segment_id = 1").fetchone() == (
        "Middle",
    )
