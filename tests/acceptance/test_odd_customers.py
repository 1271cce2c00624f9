"""Customers at the edges of what numbers and categories can be; all of them are run once, and every test looks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import write_configuration
from tests.command import run_segjob

pytestmark = pytest.mark.long

N_KINDS = 10_000
CUSTOMERS = f"""
CREATE TABLE public.customer AS
SELECT
    i AS id,
    1.7e9::float8 + (i % 3) * 60 + i % 7 AS seen_second,
    CASE WHEN i = 300 THEN 1e12 ELSE (i % 3) * 10 + i % 5 END::float8 AS amount,
    7 AS seven,
    'gold' AS tier,
    NULL::float8 AS nothing,
    (i % 3) * 10 + (i % 5) / 10.0 AS plain
FROM generate_series(1, 300) AS i;
CREATE TABLE public.collector AS
SELECT i AS id, CASE WHEN i <= {N_KINDS} THEN 'kind ' || i WHEN i % 2 = 0 THEN 'coins' ELSE 'stamps' END AS kind
FROM generate_series(1, {N_KINDS} + 1500) AS i;
"""


def customers(*features: Any, n_clusters: int = 3, **changes: Any) -> dict[str, Any]:
    return {
        "source": "public.customer",
        "key": "id",
        "features": list(features),
        "n_clusters": n_clusters,
        **changes,
    }


KINDS = {"column": "kind", "encode": "onehot"}
SEGMENTATIONS = {
    "seconds": customers({"column": "seen_second", "scale": "none"}),
    "outlier": customers("amount", "plain", n_clusters=4),
    "clipped": customers({"column": "amount", "clip": [0.01, 0.99]}),
    "same": customers("seven", {"column": "tier", "encode": "onehot"}),
    "alone": customers("amount", n_clusters=1, where="id = 5"),
    "empty": customers("plain", "nothing"),
    "only_empty": customers("nothing"),
    "nobody": customers("plain", {"column": "nothing", "impute": "exclude"}),
    "kinds": customers(KINDS, source="public.collector"),
    "each_its_own": customers(KINDS, source="public.collector", where=f"id <= {N_KINDS}"),
}


@dataclass(frozen=True)
class Found:
    """What the runs printed, by segmentation, and a session on what they stored."""

    documents: dict[str, Any]
    connection: psycopg.Connection
    exit_code: int

    def one(self, statement: str) -> tuple[Any, ...]:
        row = self.connection.execute(statement.encode()).fetchone()
        assert row is not None
        return row


@pytest.fixture(scope="module")
def found(
    server_url: str, server_connection: psycopg.Connection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Found]:
    folder = tmp_path_factory.mktemp("odd")
    write_configuration(folder, SEGMENTATIONS)
    with (
        servers.fresh_database(server_url, server_connection) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        connection.execute(CUSTOMERS)
        assert run_segjob(folder, url, "migrate").returncode == 0
        done = run_segjob(folder, url, "run", "--all", "--json")
        assert "Traceback" not in done.stderr
        documents = {one["segmentation"]: one for one in json.loads(done.stdout)}
        yield Found(documents, connection, done.returncode)


def test_epoch_seconds_that_are_a_minute_apart_are_told_apart(found: Found) -> None:
    seconds = found.documents["seconds"]
    assert [one["n_customers"] for one in seconds["segments"]] == [100, 100, 100]
    assert seconds["silhouette"]["value"] > 0.9
    centroids = sorted(one["centroid"]["seen_second"] for one in seconds["segments"])
    assert centroids == pytest.approx([1.7e9 + 60 * i + 3 for i in range(3)], rel=0, abs=0.1)
    exact = found.one(
        "SELECT max(abs(c.segment_mean - m.mean)) FROM segments.seconds_centroid AS c JOIN"
        " (SELECT segment_id, avg(seen_second) AS mean FROM public.customer JOIN segments.seconds USING (id)"
        " GROUP BY segment_id) AS m USING (segment_id)"
    )
    assert exact[0] < 1e-6


def test_an_outlier_of_1e12_is_a_segment_of_its_own_and_the_others_are_told_apart_all_the_same(found: Found) -> None:
    outlier = found.documents["outlier"]
    assert [one["n_customers"] for one in outlier["segments"]] == [100, 100, 99, 1]
    assert found.one("SELECT array_agg(id) FROM segments.outlier WHERE segment_id = 4") == ([300],)
    assert any("amount" in warning and "log1p" in warning for warning in outlier["warnings"])


def test_clipping_puts_the_outlier_among_the_others(found: Found) -> None:
    clipped = found.documents["clipped"]
    assert [one["n_customers"] for one in clipped["segments"]] == [101, 100, 99]
    assert clipped["silhouette"]["value"] > 0.7
    assert clipped["warnings"] == ["column amount: 1 of 300 values were cut to the quantiles of `clip`"]


def test_customers_who_are_all_the_same_are_one_segment(found: Found) -> None:
    same = found.documents["same"]
    assert (same["status"], same["n_segments"], same["n_customers"], same["inertia"]) == ("published", 1, 300, 0)
    assert (same["silhouette"]["value"], same["squared_silhouette"]["value"]) == (None, None)
    assert (same["davies_bouldin"], same["calinski_harabasz"]) == (None, None)
    assert any("different" in warning for warning in same["warnings"])
    assert found.one("SELECT count(*), max(distance), count(simplified_silhouette) FROM segments.same") == (300, 0, 0)


def test_one_customer_is_one_segment(found: Found) -> None:
    alone = found.documents["alone"]
    assert (alone["status"], alone["n_segments"], alone["n_customers"], alone["inertia"]) == ("published", 1, 1, 0)
    assert alone["segments"][0]["centroid"] == {"amount": 20.0}
    assert found.one("SELECT id, segment_id, distance FROM segments.alone") == (5, 1, 0.0)


def test_a_column_of_nulls_is_dropped_with_a_warning_and_its_gaps_are_counted(found: Found) -> None:
    empty = found.documents["empty"]
    assert [one["n_customers"] for one in empty["segments"]] == [100, 100, 100]
    assert set(empty["segments"][0]["centroid"]) == {"plain"}
    assert empty["warnings"] == ["column nothing has no value for any customer and was left out of the clustering"]
    stored = "SELECT position, n_missing FROM segjob.feature_profile WHERE segmentation = 'empty'"
    assert found.one(f"{stored} AND feature = 'nothing'") == (None, 300)
    assert found.documents["only_empty"]["n_segments"] == 1


def test_where_everybody_lacks_what_is_asked_for_nobody_is_left_to_segment(found: Found) -> None:
    assert found.documents["nobody"]["error"]["exit_code"] == found.exit_code == 65
    assert "300" in found.documents["nobody"]["error"]["message"]


def test_ten_thousand_categories_share_one_column_beside_the_frequent_ones(found: Found) -> None:
    kinds = found.documents["kinds"]
    assert set(kinds["segments"][0]["centroid"]) == {"kind=coins", "kind=other", "kind=stamps"}
    assert [one["n_customers"] for one in kinds["segments"]] == [N_KINDS, 750, 750]
    pure = found.one(
        "SELECT count(DISTINCT (segment_id, CASE WHEN kind LIKE 'kind %' THEN 'other' ELSE kind END))"
        " FROM segments.kinds JOIN public.collector USING (id)"
    )
    assert pure == (3,)


def test_categories_that_are_all_rare_are_all_the_same(found: Found) -> None:
    each = found.documents["each_its_own"]
    assert (each["n_segments"], each["n_customers"]) == (1, N_KINDS)
    assert "column kind is the same for every customer and was left out of the clustering" in each["warnings"]
