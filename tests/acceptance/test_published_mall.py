"""What can be done with a published version; every test has a copy of it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_samples

from tests import servers

Succeed = Callable[..., str]
Document = Callable[..., Any]


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, published_mall: str) -> Iterator[str]:
    """A copy of the database in which the mall was run once."""
    with servers.fresh_database(server_url, server_connection, published_mall) as url:
        yield url


def test_an_analyst_joins_the_labels_in_plain_sql(
    mall_published: str, succeed: Succeed, connection: psycopg.Connection
) -> None:
    rows = connection.execute(
        "SELECT m.gender, s.segment_id, count(*) FROM public.mall_customer m JOIN segments.mall s USING (customer_id)"
        " GROUP BY 1, 2"
    ).fetchall()
    assert sum(count for _, _, count in rows) == 200
    assert len(rows) == 10
    kinds = connection.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'segments.mall'::regclass AND attnum > 0"
    ).fetchall()
    assert kinds[0] == ("customer_id", "integer")
    assert [name for name, _ in kinds] == [
        "customer_id", "segment_id", "segment_name", "distance", "simplified_silhouette", "runner_up_segment_id",
        "version_id", "published_at",
    ]  # fmt: skip


def test_the_views_agree_with_one_another(
    mall_published: str, succeed: Succeed, connection: psycopg.Connection
) -> None:
    differing = connection.execute(
        "SELECT * FROM (SELECT segment_id, count(*) AS n FROM segments.mall GROUP BY 1) l"
        " FULL JOIN segments.mall_profile p USING (segment_id)"
        " WHERE l.n IS DISTINCT FROM p.n_customers OR l.n IS DISTINCT FROM p.n_customers_now"
    ).fetchall()
    assert differing == []
    means = connection.execute(
        "SELECT c.segment_id, c.feature, c.segment_mean, c.segment_median, a.mean, a.median, c.value,"
        " c.population_mean, c.population_std"
        " FROM segments.mall_centroid c JOIN (SELECT segment_id, feature, avg(value)::float8 AS mean,"
        " percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS median FROM public.mall_customer"
        " JOIN segments.mall USING (customer_id), LATERAL (VALUES ('annual_income', annual_income::float8),"
        " ('spending_score', spending_score::float8)) v(feature, value) GROUP BY 1, 2) a USING (segment_id, feature)"
    ).fetchall()
    assert len(means) == 10
    for _, _, claimed_mean, claimed_median, mean, median, value, *_ in means:
        assert claimed_mean == pytest.approx(mean, abs=1e-9)
        assert claimed_median == pytest.approx(median, abs=1e-9)
        assert value == pytest.approx(mean, abs=1e-3)  # a centroid lies on the grid
    incomes = {row[7:] for row in means if row[1] == "annual_income"}
    expected = connection.execute(
        "SELECT avg(annual_income)::float8, stddev_pop(annual_income)::float8 FROM public.mall_customer"
    ).fetchone()
    assert len(incomes) == 1
    assert next(iter(incomes)) == pytest.approx(expected, abs=1e-9)
    distances = connection.execute("SELECT sum(distance ^ 2) FROM segments.mall").fetchone()
    inertia = connection.execute("SELECT inertia FROM segments.version").fetchone()
    assert distances is not None
    assert inertia is not None
    assert distances[0] == pytest.approx(inertia[0], rel=1e-12)


def test_every_score_that_is_stored_equals_what_scikit_learn_computes(
    mall_published: str, document: Document, connection: psycopg.Connection
) -> None:
    rows = connection.execute(
        "SELECT annual_income, spending_score, segment_id FROM public.mall_customer"
        " JOIN segments.mall USING (customer_id)"
    ).fetchall()
    *columns, labels = np.array(rows).T
    matrix, found = np.stack(columns, axis=1).astype(float), document("show", "mall")
    assert found["davies_bouldin"] == pytest.approx(davies_bouldin_score(matrix, labels), rel=1e-6)
    assert found["calinski_harabasz"] == pytest.approx(calinski_harabasz_score(matrix, labels), rel=1e-6)
    for name, metric in (("silhouette", "euclidean"), ("squared_silhouette", "sqeuclidean")):
        oracle = silhouette_samples(matrix, labels, metric=metric)
        expected = pytest.approx(oracle.mean(), abs=1e-6)
        assert [found[name][key] for key in ("value", "low", "high")] == [expected] * 3
        assert (found[name]["n_sampled"], found[name]["exact"]) == (200, True)
        for one in found["segments"]:
            assert one[name] == pytest.approx(oracle[labels == one["segment_id"]].mean(), abs=1e-6)
    assert found["squared_silhouette"]["method"] == "squared euclidean"
    for one in found["segments"]:
        members = matrix[labels == one["segment_id"]]
        assert one["inertia"] == pytest.approx(np.square(members - members.mean(axis=0)).sum(), rel=1e-6)
    stored = connection.execute(
        "SELECT segment_id, squared_silhouette, squared_silhouette_method, squared_silhouette_n_sampled,"
        " squared_silhouette_low = squared_silhouette AND squared_silhouette = squared_silhouette_high"
        " AND squared_silhouette_exact FROM segjob.segment ORDER BY 1"
    ).fetchall()
    assert stored == [
        (one["segment_id"], one["squared_silhouette"], "squared euclidean", one["n_customers"], True)
        for one in found["segments"]
    ]


def test_a_new_customer_is_told_the_same_segment(mall_published: str, document: Document, tmp_path: Path) -> None:
    published = document("show", "mall")
    careless = next(
        segment["segment_id"]
        for segment in published["segments"]
        if segment["centroid"]["annual_income"] == pytest.approx(25.7, abs=0.1)
        and segment["centroid"]["spending_score"] == pytest.approx(79.4, abs=0.1)
    )
    (found,) = document("predict", "mall", "--set", "annual_income=20", "--set", "spending_score=60")
    assert set(found) == {"segment_id", "segment_name", "distance", "runner_up_segment_id"}
    assert found["segment_id"] == careless
    assert found["runner_up_segment_id"] != careless
    (tmp_path / "new.csv").write_text("name,spending_score,annual_income\nAda,60,20\nBob,,\n")
    from_file = document("predict", "mall", "--csv", "new.csv")
    assert from_file[0] == found
    assert len(from_file) == 2


def test_every_labelled_customer_is_predicted_as_stored(
    mall_published: str, document: Document, connection: psycopg.Connection, tmp_path: Path
) -> None:
    rows = connection.execute(
        "SELECT annual_income, spending_score, segment_id, distance, runner_up_segment_id"
        " FROM public.mall_customer JOIN segments.mall USING (customer_id) ORDER BY customer_id"
    ).fetchall()
    lines = ["annual_income,spending_score", *(f"{income},{spending}" for income, spending, *_ in rows)]
    (tmp_path / "all.csv").write_text("\n".join(lines))
    found = document("predict", "mall", "--csv", "all.csv")
    assert [(one["segment_id"], one["distance"], one["runner_up_segment_id"]) for one in found] == [
        row[2:] for row in rows
    ]


def test_a_second_run_replaces_the_first_under_the_eyes_of_a_reader(
    mall_published: str, document: Document, succeed: Succeed
) -> None:
    seen: set[tuple[Any, ...]] = set()
    done = threading.Event()

    def watch() -> None:
        with psycopg.connect(mall_published, autocommit=True) as reader:
            while not done.is_set():
                row = reader.execute(
                    "SELECT count(*), min(version_id), max(version_id), count(DISTINCT segment_id) FROM segments.mall"
                ).fetchone()
                assert row is not None
                seen.add(row)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        second = document("run", "mall")
    finally:
        done.set()
        watching.join()
    assert (second["version_id"], second["status"]) == (2, "published")
    assert (200, 1, 1, 5) in seen
    assert seen <= {(200, 1, 1, 5), (200, 2, 2, 5)}
    states = {one["version_id"]: one["status"] for one in document("versions", "mall")}
    assert states == {1: "superseded", 2: "published"}


def test_a_rerun_on_unchanged_data_changes_no_label(
    mall_published: str, succeed: Succeed, connection: psycopg.Connection
) -> None:
    query = "SELECT customer_id, segment_id, distance, simplified_silhouette FROM segments.mall ORDER BY 1"
    first = connection.execute(query).fetchall()
    succeed("run", "mall")
    assert connection.execute(query).fetchall() == first


def test_status_versions_and_show_tell_what_is_published(
    mall_published: str, succeed: Succeed, document: Document
) -> None:
    status = document("status", "mall")
    assert (status["published"]["version_id"], status["last_run"]["status"], status["due"]) == (1, "succeeded", [])
    assert [one["version_id"] for one in document("versions", "mall")] == [1]
    assert "81" in succeed("show", "mall")
    assert "mall" in succeed("status")
    assert "published" in succeed("versions", "mall")


def test_the_report_shows_the_five_groups_without_a_network(
    mall_published: str, succeed: Succeed, tmp_path: Path
) -> None:
    succeed("report", "mall", "--out", "mall.html")
    page = (tmp_path / "mall.html").read_text()
    assert "annual_income" in page
    for name in (
        "average customers",
        "high annual income, low spending score",
        "low annual income, high spending score",
    ):
        assert name in page


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_labels_are_exported_as_a_file(suffix: str, mall_published: str, succeed: Succeed, tmp_path: Path) -> None:
    import pandas as pd

    succeed("export", "mall", "--out", f"labels.{suffix}")
    path = tmp_path / f"labels.{suffix}"
    labels = pd.read_csv(path) if suffix == "csv" else pd.read_parquet(path)
    assert sorted(labels["segment_id"].value_counts()) == [22, 23, 35, 39, 81]
    assert set(labels["customer_id"]) == set(range(1, 201))


def test_beside_another_run_nothing_is_written_and_a_dry_run_still_works(
    mall_published: str, segjob: Callable[..., subprocess.CompletedProcess[str]], connection: psycopg.Connection
) -> None:
    connection.execute("SELECT pg_advisory_lock(hashtextextended('segjob/segjob/mall/fit', 0))")
    beside = segjob("run", "mall")
    assert beside.returncode == 75
    assert "mall" in beside.stderr
    assert connection.execute("SELECT count(*) FROM segments.run").fetchone() == (1,)
    assert segjob("run", "mall", "--dry-run").returncode == 0
