"""Intervals of estimated silhouettes: their parts, and that they hold the true value about as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.metrics import silhouette_samples

from segjob.clustering import silhouette as module
from segjob.clustering.labels import nearest_two
from segjob.clustering.silhouette import silhouette
from segjob.clustering.silhouette_draw import N_GROUPS
from segjob.clustering.silhouette_interval import (
    SegmentEstimate,
    exact_means,
    jackknife_variance,
    overall_score,
    segment_estimate,
    segment_score,
    student_quantile,
)
from tests.unit.clustering.conftest import blobs


@pytest.mark.parametrize("freedom", [3, 4, 7, 15, 31, 1_000])
def test_the_quantile_is_students(freedom: int) -> None:
    assert student_quantile(freedom) == pytest.approx(student.ppf(0.975, freedom), rel=0.005)


def test_the_jackknife_of_a_mean_is_the_variance_of_a_mean() -> None:
    groups = np.random.default_rng(0).normal(size=N_GROUPS)
    left_out = (groups.sum() - groups) / (N_GROUPS - 1)
    assert jackknife_variance(float(groups.mean()), left_out) == pytest.approx(groups.var(ddof=1) / N_GROUPS)


def test_who_is_evaluated_counts_less_the_more_of_the_segment_it_is() -> None:
    values = np.random.default_rng(0).random(100)
    replicates = np.repeat(values[:, None], N_GROUPS, axis=1)
    few, half, all_of_it = (segment_estimate(values, replicates, n, False) for n in (10**9, 200, 100))
    assert few is not None
    assert half is not None
    assert all_of_it is not None
    assert few.variance == pytest.approx(values.var(ddof=1) / 100)
    assert half.variance == pytest.approx(values.var(ddof=1) / 200)
    assert all_of_it.variance == 0.0


def test_means_do_not_depend_on_the_order() -> None:
    values = np.random.default_rng(0).normal(size=(1_000, 3))
    assert exact_means(values).tolist() == exact_means(values[::-1]).tolist()


def test_one_evaluated_customer_of_many_has_a_value_and_no_interval() -> None:
    one = segment_estimate(np.array([0.4]), np.full((1, N_GROUPS), 0.4), 50, False)
    score = segment_score(one)
    assert score.value == pytest.approx(0.4)
    assert (score.low, score.high, score.n_sampled) == (None, None, 1)


def test_an_interval_stays_within_what_a_silhouette_can_be() -> None:
    wide = SegmentEstimate(1_000, 10, 0.9, np.full(N_GROUPS, 0.9), 0.04, False)
    assert segment_score(wide).high == 1.0
    assert (segment_score(wide).low or 0.0) > 0.0


def test_the_overall_score_is_exact_only_where_all_segments_are() -> None:
    exact = SegmentEstimate(30, 30, 0.5, np.full(N_GROUPS, 0.5), 0.0, True)
    estimate = SegmentEstimate(70, 10, 0.3, np.full(N_GROUPS, 0.3), 0.001, False)
    assert overall_score([exact, exact], np.array([30, 30])).exact
    both = overall_score([exact, estimate], np.array([30, 70]))
    assert not both.exact
    assert both.value == pytest.approx(0.36)


def test_where_no_segment_can_be_estimated_there_is_no_overall_score() -> None:
    overall = overall_score([None, None], np.array([30, 70]))
    assert (overall.value, overall.low, overall.high, overall.n_sampled) == (None, None, None, 0)


def population() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    matrix, truth = blobs(3_000, 2, 3, seed=1, apart=3.0)
    kept = (truth > 0) | (np.arange(3_000) % 8 == 0)
    matrix = np.rint(matrix[kept] * 2**15).astype(np.float32)
    centers = np.array([np.rint(matrix[truth[kept] == each].astype(float).mean(axis=0)) for each in range(3)], np.int64)
    return matrix, centers, nearest_two(centers, matrix, "cpu").index


def test_most_intervals_hold_the_true_value_and_the_naive_ones_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """150 orders of the customers and no growing; tests/statistics does the same at the product's own sizes."""
    for name, value in [("EXACT_ROWS", 0), ("EXACT_PAIRS", 0), ("STEPS", ((192, 192),)), ("LEAST_EVALUATED", 1)]:
        monkeypatch.setattr(module, name, value)
    matrix, centers, index = population()
    oracle = silhouette_samples(matrix.astype(np.float64), index)
    truths = np.array([oracle.mean(), *(oracle[index == each].mean() for each in range(3))])
    counts = np.bincount(index)
    random = np.random.default_rng(0)
    found = []
    for _ in range(150):
        one = silhouette(matrix[random.permutation(len(matrix))], centers, counts, "cpu")
        found.append([(score.value, score.low, score.high) for score in (one.overall, *one.segments)])
    values, low, high = np.moveaxis(np.array(found, np.float64), 2, 0)
    coverage = ((low <= truths) & (truths <= high)).mean(axis=0)
    widths = (high - low).mean(axis=0) / (3.92 * values.std(axis=0, ddof=1))
    assert (coverage >= 0.9).all()
    assert (widths > 0.85).all()
    assert (widths < 1.3).all()
    assert (abs(values.mean(axis=0) - truths) < 0.2 * values.std(axis=0)).all()
