"""The silhouette with squared distances, and the scores beside it, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_samples,
    silhouette_score,
)

from segjob.clustering.nearest import as_rows, assign
from segjob.clustering.scores import calinski_harabasz, davies_bouldin
from segjob.clustering.squared_silhouette import SquaredPass, SquaredTotals, squared_silhouette
from segjob.clustering.summary import SegmentSummary, summarise
from tests.unit.clustering.conftest import ListPopulation, Segmented, blobs, customers, plain, segment


def settled(n_rows: int, n_columns: int, n_clusters: int, apart: float = 3.0) -> tuple[np.ndarray, Segmented]:
    matrix, _ = blobs(n_rows, n_columns, n_clusters, seed=n_rows, apart=apart)
    return matrix, segment(plain(n_columns), customers(matrix), n_clusters)


def passed(found: Segmented, size: int | None = None, device: str = "cpu") -> SquaredTotals:
    parts = np.split(found.matrix, range(size, len(found.matrix), size)) if size else [found.matrix]
    return squared_silhouette(found.summary, found.fit.centers, ListPopulation(parts), device)


@pytest.mark.parametrize(("n_rows", "n_columns", "n_clusters"), [(50, 1, 2), (900, 3, 5), (700, 8, 9)])
def test_every_score_equals_its_definition_on_the_grid(n_rows: int, n_columns: int, n_clusters: int) -> None:
    _, found = settled(n_rows, n_columns, n_clusters)
    grid, labels = found.matrix.astype(np.float64), found.labels.segment_id
    totals = passed(found)
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
    labels, totals = found.labels.segment_id, passed(found)
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
    _, found = settled(900, 5, 4)
    one, other = passed(found), passed(found, size, device)
    assert one.silhouettes.tolist() == other.silhouettes.tolist()
    assert one.distances.tolist() == other.distances.tolist()
    assert (one.overall, one.segments) == (other.overall, other.segments)


def test_it_is_exact_for_everybody_and_says_so() -> None:
    overall = passed(settled(400, 2, 3)[1]).overall
    assert (overall.method, overall.exact, overall.n_sampled) == ("squared euclidean", True, 400)
    assert overall.low == overall.high == overall.value


def test_three_points_by_hand() -> None:
    """The first has a = 4 and b = 100, the second a = 4 and b = 64; a segment of one counts 0."""
    found = segment(plain(1), customers([0.0, 2.0, 10.0]), 2)
    totals = passed(found)
    assert [score.value for score in totals.segments] == [pytest.approx((0.96 + 60 / 64) / 2), 0.0]
    assert totals.overall.value == pytest.approx((0.96 + 60 / 64) / 3)


def test_one_segment_has_none() -> None:
    totals = passed(segment(plain(1), customers([1.0, 2.0, 4.0]), 1))
    assert (totals.overall.value, totals.overall.n_sampled) == (None, 0)
    assert [score.value for score in totals.segments] == [None]


def test_customers_on_their_means_have_silhouette_one_and_davies_bouldin_zero() -> None:
    found = segment(plain(1), customers([1.0, 1.0, 9.0, 9.0]), 2)
    totals = passed(found)
    assert totals.overall.value == 1.0
    assert davies_bouldin(found.summary, found.fit.centers, totals.spreads) == 0.0


@pytest.mark.parametrize("spread", [1.0, 3.0, 2.0**10])
def test_a_cloud_far_from_the_origin_of_the_grid_loses_no_digits(spread: float) -> None:
    """An outlier may leave all others a few steps of the grid; and what is computed must not hang on its origin."""
    random = np.random.default_rng(3)
    matrix = np.rint(random.normal(size=(400, 2)) * spread + 2**20 - 2**13)
    centers = np.unique(matrix[:3], axis=0)
    one = measured(matrix, centers.astype(np.int64))
    index = one.silhouettes(torch.from_numpy(matrix))[0].argmax(dim=0).numpy()
    oracle = silhouette_samples(matrix - matrix[0], index, metric="sqeuclidean")
    values = one.silhouettes(torch.from_numpy(matrix))[1].numpy()
    np.testing.assert_allclose(values, oracle, rtol=0, atol=1e-9)


def summed_up(matrix: np.ndarray, centers: np.ndarray) -> SegmentSummary:
    """What a label pass with these centres (k, d) finds."""
    nothing_else = customers(np.empty((len(matrix), 0)))
    return summarise((), nothing_else, matrix, assign(as_rows(matrix, "cpu"), centers), len(centers))


def measured(matrix: np.ndarray, centers: np.ndarray) -> SquaredPass:
    """What measures silhouettes from these centres (k, d)."""
    return SquaredPass(summed_up(matrix, centers), centers, "cpu")


def test_128_columns_at_the_limit_of_the_grid_stay_exact() -> None:
    matrix = np.random.default_rng(0).choice([-(2.0**20), 2.0**20], (300, 128))
    one = measured(matrix, matrix[:3].astype(np.int64))
    members, values, _ = one.silhouettes(torch.from_numpy(matrix))
    index = members.argmax(dim=0)
    oracle = silhouette_samples(matrix, index.numpy(), metric="sqeuclidean")
    np.testing.assert_allclose(values.numpy(), oracle, rtol=0, atol=1e-9)


def test_a_segment_that_nobody_belongs_to_is_nobodys_neighbour() -> None:
    matrix = np.array([[0.0], [2.0], [10.0], [12.0]])
    centers = np.array([[1], [11], [2**20]])
    totals = squared_silhouette(summed_up(matrix, centers), centers, ListPopulation([matrix]))
    assert totals.segments[2].value is None
    assert totals.overall.value == pytest.approx(silhouette_score(matrix, [0, 0, 1, 1], metric="sqeuclidean"), abs=1e-9)
