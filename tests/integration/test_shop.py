"""The demo's shop: the same on every server, and its segments can be found again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
import yaml
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from segjob.postgres.connecting.connect import Database
from segjob.shipped import sql_dir
from segjob.shop import create_shop
from tests.servers import fresh_database

FINGERPRINT = """
SELECT md5(string_agg(line, E'\\n' ORDER BY line COLLATE "C")) FROM (
    SELECT concat('customer', c) FROM shop.customer c
    UNION ALL SELECT concat('order', o) FROM shop.orders o
    UNION ALL SELECT concat('truth', t) FROM shop.customer_truth t
) AS everything (line)
"""


@pytest.fixture(scope="module")
def shop(server_url: str, server_connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    with fresh_database(server_url, server_connection) as url:
        with Database(url).begin() as transaction:
            create_shop(transaction)
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection


@pytest.fixture(scope="module")
def configured() -> dict[str, Any]:
    """The demo's segmentation, every feature spelled out."""
    segmentation = yaml.safe_load((sql_dir() / "demo" / "segjob.yaml").read_text())["segmentations"]["shop"]
    features = [{"column": one} if isinstance(one, str) else one for one in segmentation["features"]]
    return {**segmentation, "features": features}


@pytest.fixture(scope="module")
def table(shop: psycopg.Connection, configured: dict[str, Any]) -> np.ndarray:
    """(n, 5): the features in the order of the configuration, NaN for NULL."""
    columns = ", ".join(one["column"] for one in configured["features"])
    rows = shop.execute(f"SELECT {columns} FROM {configured['source']} ORDER BY {configured['key']}")
    return np.array(rows.fetchall(), dtype=float)


def test_it_is_the_same_shop_on_every_server(shop: psycopg.Connection) -> None:
    assert shop.execute(FINGERPRINT).fetchone() == ("3af4bbf1d770ea81f9b482291048829d",)


def test_its_segments_are_of_sizes_up_to_eight_to_one(shop: psycopg.Connection) -> None:
    counted = shop.execute("SELECT count(*) FROM shop.customer_truth GROUP BY segment ORDER BY 1").fetchall()
    sizes = [count for (count,) in counted]
    assert sum(sizes) == 20_000
    assert sizes[-1] / sizes[0] == pytest.approx(8, rel=0.05)


def test_its_features_are_skewed_and_have_gaps(table: np.ndarray) -> None:
    missing = np.isnan(table).mean(axis=0)
    assert missing == pytest.approx([0.01, 0, 0, 0.04, 0.03], abs=0.01)
    monetary = table[:, 2]
    assert monetary.mean() > 1.5 * np.median(monetary)


def test_k_means_as_the_demo_configures_it_finds_the_segments_again(
    shop: psycopg.Connection, configured: dict[str, Any], table: np.ndarray
) -> None:
    drawn = shop.execute(f"SELECT segment FROM shop.customer_truth ORDER BY {configured['key']}").fetchall()
    labelled = ~np.isnan(table[:, 0])  # impute: exclude
    scaled = scale(table[labelled], configured["features"])
    found = KMeans(configured["n_clusters"], n_init=10, random_state=0).fit_predict(scaled)
    assert adjusted_rand_score(np.array(drawn)[labelled, 0], found) >= 0.92


def scale(table: np.ndarray, features: list[dict[str, Any]]) -> np.ndarray:
    """What the contract says of the demo's features, in scikit-learn's words."""
    filled = np.where(np.isnan(table), np.nanmedian(table, axis=0), table)
    logarithmic = [one.get("transform") == "log1p" for one in features]
    filled[:, logarithmic] = np.log1p(filled[:, logarithmic])
    weights = [one.get("weight", 1.0) for one in features]
    return np.asarray(StandardScaler().fit_transform(filled) * weights)
