"""The Euclidean silhouette, exact and estimated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_samples, silhouette_score

from segjob.clustering import pair_distances, silhouette_values
from segjob.clustering import silhouette as module
from segjob.clustering.labels import nearest_two
from segjob.clustering.pair_distances import Groups
from segjob.clustering.silhouette import silhouette
from segjob.clustering.silhouette_draw import Draw
from segjob.clustering.silhouette_values import evaluate
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


def by_hand(rows: list[float], index: list[int], evaluated: list[int], references: list[int]) -> np.ndarray:
    """Silhouettes of customers on a line; the references lie segment by segment, and stand for many customers."""
    own = np.array(index)[evaluated]
    own_group = np.array([0 if row in references else -1 for row in evaluated])
    sizes = np.bincount(np.array(index)[references], minlength=max(index) + 1)
    groups = Groups((sizes > 0).astype(np.int64), sizes)
    drawn = Draw(np.array(evaluated), own, own_group, np.array(references), groups, np.full(len(sizes), 1_000))
    return evaluate(torch.tensor(rows)[:, None], drawn).values


@pytest.fixture
def estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimates of small populations."""
    monkeypatch.setattr(module, "EXACT_ROWS", 0)
    monkeypatch.setattr(module, "EXACT_PAIRS", 0)
    monkeypatch.setattr(module, "STEPS", ((128, 256), (256, 512), (512, 1_024)))


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


@pytest.mark.parametrize(("rows", "columns"), [(1, 256), (7, 3), (10_000, 10_000)])
def test_the_tiles_do_not_change_one_bit(rows: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, centers = on_grid(200, 3, 4)
    expected = scored(matrix, centers)
    monkeypatch.setattr(silhouette_values, "TILE_ROWS", rows)
    monkeypatch.setattr(pair_distances, "TILE_COLUMNS", columns)
    np.testing.assert_array_equal(scored(matrix, centers).values, expected.values)


@pytest.mark.usefixtures("estimated")
@pytest.mark.parametrize(("rows", "columns"), [(1, 256), (7, 3), (10_000, 10_000)])
def test_the_tiles_do_not_change_one_bit_of_an_interval(
    rows: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix, centers = on_grid(3_000, 3, 4)
    expected = scored(matrix, centers)
    monkeypatch.setattr(silhouette_values, "TILE_ROWS", rows)
    monkeypatch.setattr(pair_distances, "TILE_COLUMNS", columns)
    found = scored(matrix, centers)
    assert (found.overall, found.segments) == (expected.overall, expected.segments)


def test_the_order_of_the_rows_does_not_change_an_exact_score() -> None:
    matrix, centers = on_grid(500, 2, 4)
    shuffled = np.random.default_rng(0).permutation(matrix)
    assert scored(shuffled, centers).overall == scored(matrix, centers).overall
    assert scored(shuffled, centers).segments == scored(matrix, centers).segments


@pytest.mark.parametrize("exact_rows", [20_000, 0])
def test_the_threads_do_not_change_one_bit(exact_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXACT_ROWS", exact_rows)
    matrix, centers = on_grid(2_200, 3, 3)
    one = scored(matrix, centers)
    torch.set_num_threads(2)
    try:
        two = scored(matrix, centers)
    finally:
        torch.set_num_threads(1)
    np.testing.assert_array_equal(one.values, two.values)
    assert (one.overall, one.segments) == (two.overall, two.segments)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("exact_rows", [20_000, 0])
def test_the_device_does_not_change_one_bit(exact_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXACT_ROWS", exact_rows)
    matrix, centers = on_grid(5_000, 8, 6)
    counts = np.bincount(nearest_two(centers, matrix, "cpu").index, minlength=6)
    one, other = (silhouette(matrix, centers, counts, device) for device in ("cpu", "cuda"))
    np.testing.assert_array_equal(one.values, other.values)
    assert (one.overall, one.segments) == (other.overall, other.segments)


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
    assert by_hand([0.0] * 4, [0, 0, 1, 1], [0, 1, 2, 3], [0, 1, 2, 3]).tolist() == [0.0] * 4


def test_a_customer_that_is_a_reference_does_not_count_its_distance_to_itself() -> None:
    values = by_hand([0.0, 4.0, 6.0, 100.0], [0, 0, 0, 1], [0, 2], [0, 1, 3])
    assert values == pytest.approx([(100 - 4) / 100, (94 - 4) / 94])


def test_a_segment_without_references_is_nobodys_neighbour() -> None:
    values = by_hand([0.0, 2.0, 5.0, 100.0], [0, 0, 1, 2], [0], [0, 1, 3])
    assert values == pytest.approx([(100 - 2) / 100])


@pytest.mark.usefixtures("estimated")
def test_an_estimate_is_close_to_the_exact_value_and_says_how_close() -> None:
    matrix, centers = on_grid(6_000, 3, 4)
    found = scored(matrix, centers)
    oracle = silhouette_samples(matrix.astype(np.float64), found.index)
    truths = [oracle.mean(), *(oracle[found.index == each].mean() for each in range(4))]
    for score, truth in zip([found.overall, *found.segments], truths, strict=True):
        assert not score.exact
        assert score.low is not None
        assert score.high is not None
        assert score.low < truth < score.high
        assert score.high - score.low < 0.1
    assert sum(score.n_sampled for score in found.segments) == found.overall.n_sampled == len(found.rows)
    assert found.rows.tolist() == sorted(set(found.rows.tolist()))
    np.testing.assert_allclose(found.values, oracle[found.rows], atol=0.1)


@pytest.mark.usefixtures("estimated")
def test_the_draw_grows_until_the_interval_is_narrow_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_EVALUATED", 1)
    matrix, centers = on_grid(6_000, 2, 3)
    reached = []
    for half_width in (1.0, 0.025, 0.0001):
        monkeypatch.setattr(module, "HALF_WIDTH", half_width)
        overall = scored(matrix, centers).overall
        reached.append(overall.n_sampled)
        assert overall.high is not None
        assert overall.low is not None
        if half_width > 0.001:
            assert overall.high - overall.low <= 2 * half_width
    assert reached[0] < reached[1] < reached[2] <= 512


def test_many_segments_begin_with_a_larger_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXACT_ROWS", 0)
    monkeypatch.setattr(module, "EXACT_PAIRS", 0)
    monkeypatch.setattr(module, "HALF_WIDTH", 2.0)
    assert 1_000 < scored(*on_grid(9_000, 2, 9)).overall.n_sampled <= 1_024
    assert 1_900 < scored(*on_grid(9_000, 3, 20)).overall.n_sampled <= 2_048


@pytest.mark.usefixtures("estimated")
def test_a_small_segment_is_compared_with_everybody_and_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, centers = on_grid(3_000, 2, 3, apart=9.0)
    index = nearest_two(centers, matrix, "cpu").index
    matrix = np.concatenate([matrix[index > 0], matrix[index == 0][:25]])
    matrix = np.random.default_rng(0).permutation(matrix)
    monkeypatch.setattr(module, "EXACT_PAIRS", 25 * len(matrix))
    found = scored(matrix, centers)
    oracle = silhouette_samples(matrix.astype(np.float64), found.index)
    assert [score.exact for score in found.segments] == [True, False, False]
    assert found.segments[0].low == found.segments[0].high == found.segments[0].value
    assert found.segments[0].value == pytest.approx(oracle[found.index == 0].mean(), abs=1e-9)
    assert found.segments[0].n_sampled == 25
    assert not found.overall.exact


@pytest.mark.usefixtures("estimated")
def test_segments_weigh_as_much_as_they_have_customers() -> None:
    matrix, centers = on_grid(2_000, 2, 2, apart=9.0)
    found = scored(matrix, centers, np.array([99_000, 1_000]))
    first, second = (score.value or 0.0 for score in found.segments)
    assert first != second
    assert found.overall.value == pytest.approx(0.99 * first + 0.01 * second, abs=1e-12)


@pytest.mark.usefixtures("estimated")
def test_a_segment_that_the_sample_missed_has_no_score_and_widens_the_interval_of_all() -> None:
    matrix, centers = on_grid(2_000, 2, 2, apart=9.0)
    counts = np.array([50_000, 50_000])
    without = scored(matrix, centers, counts).overall
    missed = scored(matrix, np.vstack([centers, [[-(2**22), -(2**22)]]]), np.array([*counts, 3_000]))
    assert missed.segments[2].value is None
    assert missed.overall.value == pytest.approx(without.value, abs=0.02)
    assert missed.overall.high is not None
    assert missed.overall.low is not None
    assert missed.overall.high - missed.overall.low > 2 * (3_000 / 103_000)


@pytest.mark.usefixtures("estimated")
def test_equal_segments_without_spread_have_an_interval_without_width() -> None:
    matrix = np.repeat(np.array([[0, 0], [1_000, 0]], np.float32), 1_500, axis=0)
    matrix = np.random.default_rng(0).permutation(matrix)
    overall = scored(matrix, np.array([[0, 0], [1_000, 0]]), np.array([40_000, 40_000])).overall
    assert (overall.value, overall.low, overall.high, overall.exact) == (1.0, 1.0, 1.0, False)


@pytest.mark.usefixtures("estimated")
def test_a_sample_that_is_a_prefix_of_the_hash_order_is_all_that_matters() -> None:
    """What lies beyond the customers that are drawn can not change the estimate, but for the extremes of the grid."""
    matrix, centers = on_grid(6_000, 2, 2)
    counts = np.array([60_000, 60_000])
    swapped = np.concatenate([matrix[:5_000], matrix[:4_999:-1]])
    assert scored(swapped, centers, counts).overall == scored(matrix, centers, counts).overall


def test_128_columns_at_the_limit_of_the_grid_do_not_overflow() -> None:
    matrix = np.random.default_rng(0).choice([-(2.0**20), 2.0**20], (300, 128)).astype(np.float32)
    found = scored(matrix, matrix[:3].astype(np.int64))
    np.testing.assert_allclose(found.values, silhouette_samples(matrix.astype(np.float64), found.index), atol=1e-9)
