"""The Euclidean silhouette, exact and sampled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_samples, silhouette_score

from segjob.clustering import silhouette as module
from segjob.clustering.labels import nearest_two
from segjob.clustering.silhouette import silhouette
from tests.unit.clustering.conftest import blobs


def on_grid(n_rows: int, n_columns: int, n_clusters: int, apart: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """A matrix in random order, and centres near the clouds, the largest first."""
    matrix, truth = blobs(n_rows, n_columns, n_clusters, seed=n_rows, apart=apart)
    matrix = np.rint(matrix / np.abs(matrix).max() * 2**20).astype(np.float32)
    centers = [np.rint(matrix[truth == each].astype(np.float64).mean(axis=0)) for each in range(n_clusters)]
    return matrix, np.array(centers, np.int64)


def scored(matrix: np.ndarray, centers: np.ndarray, counts: np.ndarray | None = None) -> module.Silhouette:
    if counts is None:
        counts = np.bincount(nearest_two(centers, matrix, "cpu").index, minlength=len(centers))
    return silhouette(matrix, centers, counts, "cpu")


@pytest.mark.parametrize(("n_rows", "n_columns", "n_clusters"), [(60, 2, 2), (700, 3, 5), (1_500, 8, 9)])
def test_an_exact_silhouette_agrees_with_scikit_learn(n_rows: int, n_columns: int, n_clusters: int) -> None:
    matrix, centers = on_grid(n_rows, n_columns, n_clusters)
    found = scored(matrix, centers)
    oracle = silhouette_samples(matrix.astype(np.float64), found.index)
    np.testing.assert_allclose(found.values, oracle, rtol=0, atol=1e-9)
    overall = silhouette_score(matrix.astype(np.float64), found.index)
    assert found.overall.value == pytest.approx(overall, abs=1e-9)
    for each, score in enumerate(found.segments):
        assert score.value == pytest.approx(oracle[found.index == each].mean(), abs=1e-9)
        assert score.n_sampled == np.count_nonzero(found.index == each)


def test_an_exact_score_says_so_and_is_its_own_interval() -> None:
    overall = scored(*on_grid(300, 2, 3)).overall
    assert (overall.method, overall.exact, overall.n_sampled) == ("euclidean", True, 300)
    assert overall.low == overall.high == overall.value


@pytest.mark.parametrize(("rows", "references"), [(1, 256), (7, 3), (10_000, 10_000)])
def test_the_tiles_do_not_change_one_bit(rows: int, references: int, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, centers = on_grid(200, 3, 4)
    expected = scored(matrix, centers)
    monkeypatch.setattr(module, "TILE_ROWS", rows)
    monkeypatch.setattr(module, "TILE_REFERENCES", references)
    np.testing.assert_array_equal(scored(matrix, centers).values, expected.values)


def test_the_order_of_the_rows_does_not_change_an_exact_score() -> None:
    matrix, centers = on_grid(500, 2, 4)
    shuffled = np.random.default_rng(0).permutation(matrix)
    assert scored(shuffled, centers).overall == scored(matrix, centers).overall
    assert scored(shuffled, centers).segments == scored(matrix, centers).segments


def test_the_threads_do_not_change_one_bit() -> None:
    matrix, centers = on_grid(1_200, 3, 3)
    one = scored(matrix, centers)
    torch.set_num_threads(2)
    try:
        two = scored(matrix, centers)
    finally:
        torch.set_num_threads(1)
    np.testing.assert_array_equal(one.values, two.values)
    assert one.overall == two.overall


def test_one_segment_has_no_silhouette() -> None:
    found = scored(np.ones((10, 2), np.float32), np.array([[1, 1]]))
    assert (found.overall.value, found.overall.low, found.overall.high) == (None, None, None)
    assert [score.value for score in found.segments] == [None]
    assert len(found.rows) == len(found.values) == 0
    assert found.index.tolist() == [0] * 10


def test_a_segment_of_one_customer_has_silhouette_zero() -> None:
    matrix = np.array([[0, 0], [1, 0], [0, 1], [900, 900]], np.float32) * 1_000
    found = scored(matrix, np.array([[0, 0], [900_000, 900_000]]))
    assert found.values[3] == 0.0
    assert found.segments[1].value == 0.0
    assert found.values[:3] == pytest.approx(silhouette_samples(matrix.astype(np.float64), [0, 0, 0, 1])[:3], abs=1e-9)


def test_equal_customers_in_two_segments_have_silhouette_zero() -> None:
    rows = torch.zeros(4, 2)
    values = module.silhouettes(rows, np.array([0, 0, 1, 1]), np.arange(4), np.arange(4), 2)
    assert values.tolist() == [0.0] * 4


def test_a_sampled_score_is_close_to_the_exact_one_and_does_not_claim_more(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, centers = on_grid(6_000, 3, 4)
    exact = scored(matrix, centers)
    for name, value in [("EXACT_ROWS", 0), ("FIRST_ROWS", 1_500), ("LEAST_EVALUATED", 200), ("MOST_REFERENCES", 400)]:
        monkeypatch.setattr(module, name, value)
    found = scored(matrix, centers)
    assert found.overall.exact is False
    assert (found.overall.low, found.overall.high) == (None, None)
    assert 1_500 <= found.overall.n_sampled == len(found.rows) < 6_000
    assert found.overall.value == pytest.approx(exact.overall.value, abs=0.03)
    for one, other in zip(found.segments, exact.segments, strict=True):
        assert one.value == pytest.approx(other.value, abs=0.06)
    assert found.rows[:1_500].tolist() == list(range(1_500))
    np.testing.assert_allclose(found.values[:1_500], exact.values[:1_500], atol=0.1)


def test_small_segments_are_evaluated_beyond_the_first_rows_and_weighted_by_their_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in [("EXACT_ROWS", 0), ("FIRST_ROWS", 50), ("LEAST_EVALUATED", 30)]:
        monkeypatch.setattr(module, name, value)
    matrix, centers = on_grid(2_000, 2, 2, apart=9.0)
    index = nearest_two(centers, matrix, "cpu").index
    matrix = np.concatenate([matrix[index == 0], matrix[index == 1][:40]])
    found = scored(matrix, centers, np.array([9_900, 100]))
    assert [score.n_sampled for score in found.segments] == [50, 30]
    first, second = (score.value or 0.0 for score in found.segments)
    assert found.overall.value == pytest.approx(0.99 * first + 0.01 * second, abs=1e-12)


def test_a_row_that_is_a_reference_does_not_count_its_distance_to_itself() -> None:
    rows = torch.tensor([[0.0], [4.0], [6.0], [100.0]])
    index = np.array([0, 0, 0, 1])
    values = module.silhouettes(rows, index, np.array([0, 2]), np.array([0, 1, 3]), 2)
    assert values == pytest.approx([(100 - 4) / 100, (94 - 4) / 94])


def test_a_segment_that_the_sample_missed_has_no_score_and_no_weight() -> None:
    matrix, centers = on_grid(400, 2, 2, apart=9.0)
    centers = np.vstack([centers, [[-(2**22), -(2**22)]]])
    found = scored(matrix, centers, np.array([500, 500, 3]))
    assert found.segments[2].value is None
    expected = np.mean([score.value for score in found.segments[:2]])
    assert found.overall.value == pytest.approx(expected, abs=1e-12)


def test_many_segments_share_a_bounded_number_of_references() -> None:
    assert module.references_each(8) == 2_048
    assert module.references_each(64) * 64 <= module.ALL_REFERENCES


def test_128_columns_at_the_limit_of_the_grid_do_not_overflow() -> None:
    matrix = np.random.default_rng(0).choice([-(2.0**20), 2.0**20], (300, 128)).astype(np.float32)
    found = scored(matrix, matrix[:3].astype(np.int64))
    np.testing.assert_allclose(found.values, silhouette_samples(matrix.astype(np.float64), found.index), atol=1e-9)
