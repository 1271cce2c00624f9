"""The silhouette with squared distances, and the scores beside it, against their definitions."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_samples,
)

from segjob.clustering.labels import LabelPass
from segjob.clustering.near import near
from segjob.clustering.nearest import tally
from segjob.clustering.scores import calinski_harabasz, davies_bouldin
from segjob.clustering.squared_silhouette import means_of, squared_silhouettes
from tests.unit.clustering.conftest import Segmented, blobs, customers, cut, plain, segment


def settled(n_rows: int, n_columns: int, n_clusters: int, apart: float = 3.0) -> tuple[np.ndarray, Segmented]:
    matrix, _ = blobs(n_rows, n_columns, n_clusters, seed=n_rows, apart=apart)
    return matrix, segment(plain(n_columns), customers(matrix), n_clusters)


@pytest.mark.parametrize(("n_rows", "n_columns", "n_clusters"), [(50, 1, 2), (900, 3, 5), (700, 8, 9)])
def test_every_score_equals_its_definition_on_the_grid(n_rows: int, n_columns: int, n_clusters: int) -> None:
    _, found = settled(n_rows, n_columns, n_clusters)
    grid, labels = found.matrix.astype(np.float64), found.labels.segment_id
    totals = found.squared
    oracle = silhouette_samples(grid, labels, metric="sqeuclidean")
    assert totals.overall.value == pytest.approx(oracle.mean(), abs=1e-9)
    for each, score in enumerate(totals.segments):
        assert score.value == pytest.approx(oracle[labels == each + 1].mean(), abs=1e-9)
    expected = davies_bouldin_score(grid, labels)
    assert davies_bouldin(found.summary, found.fit.centers, totals.spreads) == pytest.approx(expected, rel=1e-9)
    expected = calinski_harabasz_score(grid, labels)
    assert calinski_harabasz(found.summary, found.fit.centers) == pytest.approx(expected, rel=1e-9)
    assert_euclidean(found, silhouette_samples(grid, labels), 1e-9)
    offsets = grid - found.fit.centers[labels - 1]
    inertia = np.bincount(labels - 1, np.square(offsets).sum(axis=1))
    assert found.summary.inertia.tolist() == inertia.tolist()


def assert_euclidean(found: Segmented, oracle: np.ndarray, tolerance: float) -> None:
    """The Euclidean silhouette, overall and of every segment."""
    labels = found.labels.segment_id
    assert found.scored.overall.exact
    assert found.scored.overall.value == pytest.approx(oracle.mean(), abs=tolerance)
    for each, score in enumerate(found.scored.segments):
        assert score.value == pytest.approx(oracle[labels == each + 1].mean(), abs=tolerance)


@pytest.mark.parametrize(("n_rows", "n_columns", "n_clusters"), [(900, 3, 5), (700, 8, 4)])
def test_every_score_equals_its_definition_before_rounding_to_the_grid(
    n_rows: int, n_columns: int, n_clusters: int
) -> None:
    matrix, found = settled(n_rows, n_columns, n_clusters)
    labels, totals = found.labels.segment_id, found.squared
    squared = silhouette_samples(matrix, labels, metric="sqeuclidean")
    assert totals.overall.value == pytest.approx(squared.mean(), abs=1e-6)
    for each, score in enumerate(totals.segments):
        assert score.value == pytest.approx(squared[labels == each + 1].mean(), abs=1e-6)
    expected = davies_bouldin_score(matrix, labels)
    assert davies_bouldin(found.summary, found.fit.centers, totals.spreads) == pytest.approx(expected, rel=1e-6)
    expected = calinski_harabasz_score(matrix, labels)
    assert calinski_harabasz(found.summary, found.fit.centers) == pytest.approx(expected, rel=1e-6)
    assert_euclidean(found, silhouette_samples(matrix, labels), 1e-6)
    assert found.inertia == pytest.approx(inertia_about(matrix, found), rel=1e-6)


def inertia_about(matrix: np.ndarray, found: Segmented) -> float:
    """The squared distances of customers, not rounded, from the centroids of the version."""
    origins = np.array([column.origin for column in found.plan.clustered])
    centers = found.fit.centers * found.plan.unit + origins
    return float(np.square(matrix - centers[found.labels.segment_id - 1]).sum())


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 333])
def test_neither_chunks_nor_the_device_change_one_bit(size: int, device: str) -> None:
    matrix, found = settled(900, 5, 4)
    label = LabelPass(found.plan, found.fit.tally, (1, 2, 3, 4), device)
    parts = zip(cut(customers(matrix), size), np.split(found.matrix, range(size, 900, size)), strict=True)
    _, summaries, totals = zip(*(label(*part) for part in parts), strict=True)
    summary, other = (reduce(lambda merged, one: merged.merge(one), each) for each in (summaries, totals))
    assert other.silhouettes.tolist() == found.squared.silhouettes.tolist()
    assert other.distances.tolist() == found.squared.distances.tolist()
    assert (other.overall, other.segments) == (found.squared.overall, found.squared.segments)
    for name in ("counts", "inertia", "distances", "coordinates", "totals", "n_values"):
        np.testing.assert_array_equal(getattr(summary, name), getattr(found.summary, name))


def test_it_is_exact_for_everybody_and_says_so() -> None:
    overall = settled(400, 2, 3)[1].squared.overall
    assert (overall.method, overall.exact, overall.n_sampled) == ("squared euclidean", True, 400)
    assert overall.low == overall.high == overall.value


def test_three_points_by_hand() -> None:
    """The first has a = 4 and b = 100, the second a = 4 and b = 64; a segment of one counts 0."""
    found = segment(plain(1), customers([0.0, 2.0, 10.0]), 2)
    totals = found.squared
    assert [score.value for score in totals.segments] == [pytest.approx((0.96 + 60 / 64) / 2), 0.0]
    assert totals.overall.value == pytest.approx((0.96 + 60 / 64) / 3)


def test_one_segment_has_none() -> None:
    totals = segment(plain(1), customers([1.0, 2.0, 4.0]), 1).squared
    assert (totals.overall.value, totals.overall.n_sampled) == (None, 0)
    assert [score.value for score in totals.segments] == [None]


def test_customers_on_their_means_have_silhouette_one_and_davies_bouldin_zero() -> None:
    found = segment(plain(1), customers([1.0, 1.0, 9.0, 9.0]), 2)
    totals = found.squared
    assert totals.overall.value == 1.0
    assert davies_bouldin(found.summary, found.fit.centers, totals.spreads) == 0.0


def of_rows(matrix: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The segments of rows on the grid, nearest to these centres (k, d), and their silhouettes."""
    rows = torch.from_numpy(matrix)
    block = near(rows, torch.from_numpy(centers.astype(np.float64)))
    means = means_of(tally(rows, centers.astype(np.int64)[None], by_member=True), "cpu")
    silhouettes, _ = squared_silhouettes(block, means)
    return block.position.numpy(), silhouettes.numpy()


@pytest.mark.parametrize("spread", [1.0, 3.0, 2.0**10])
def test_a_cloud_far_from_the_origin_of_the_grid_loses_no_digits(spread: float) -> None:
    """An outlier may leave all others a few steps of the grid; and what is computed must not hang on its origin."""
    random = np.random.default_rng(3)
    matrix = np.rint(random.normal(size=(400, 2)) * spread + 2**20 - 2**13)
    index, found = of_rows(matrix, np.unique(matrix[:3], axis=0))
    oracle = silhouette_samples(matrix - matrix[0], index, metric="sqeuclidean")
    np.testing.assert_allclose(found, oracle, rtol=0, atol=1e-9)


def test_128_columns_at_the_limit_of_the_grid_stay_exact() -> None:
    matrix = np.random.default_rng(0).choice([-(2.0**20), 2.0**20], (300, 128))
    index, found = of_rows(matrix, matrix[:3])
    oracle = silhouette_samples(matrix, index, metric="sqeuclidean")
    np.testing.assert_allclose(found, oracle, rtol=0, atol=1e-9)


def test_a_segment_that_nobody_belongs_to_is_nobodys_neighbour() -> None:
    matrix = np.array([[0.0], [2.0], [10.0], [12.0]])
    _, found = of_rows(matrix, np.array([[1], [11], [2**20]]))
    np.testing.assert_allclose(found, silhouette_samples(matrix, [0, 0, 1, 1], metric="sqeuclidean"), atol=1e-9)
