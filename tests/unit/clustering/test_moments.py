"""Exact means and deviations."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction
from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segjob.clustering import plan_passes
from segjob.clustering.kernels import exact_sums
from segjob.clustering.moments import Moments, exponent_for


def moments_of(values: np.ndarray, exponent: int) -> Moments:
    """Of one column."""
    (found,) = plan_passes.moments_of(values[:, None], [exponent])
    return found


numbers = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=80)


@given(numbers)
def test_mean_and_deviation_are_those_of_exact_arithmetic(values: list[float]) -> None:
    found = moments_of(np.array(values), exponent_for(min(values), max(values)))
    reach = max(map(abs, values))
    assert found.mean == pytest.approx(
        float(sum(map(Fraction, values)) / len(values)), rel=1e-15, abs=reach * 1e-18 + 1e-270
    )
    assert found.std == pytest.approx(statistics.pstdev(map(Fraction, values)), rel=1e-14, abs=reach * 1e-16 + 1e-270)


@settings(max_examples=50)
@given(numbers, st.integers(1, 30), st.randoms(use_true_random=False))
def test_chunks_and_order_do_not_change_one_bit(values: list[float], size: int, random) -> None:
    exponent = exponent_for(min(values), max(values))
    whole = moments_of(np.array(values), exponent)
    random.shuffle(values)
    parts = [moments_of(np.array(values[first : first + size]), exponent) for first in range(0, len(values), size)]
    assert reduce(lambda merged, other: merged.merge(other), parts) == whole


def test_an_outlier_of_1e12_leaves_the_mean_exact() -> None:
    values = np.array([1.5, 2.25, 1e12, 0.125])
    assert moments_of(values, exponent_for(0.125, 1e12)).mean == math.fsum(values) / 4


def test_epoch_seconds_keep_their_small_spread() -> None:
    values = 1.7e9 + np.arange(100) / 64.0
    found = moments_of(values, exponent_for(values.min(), values.max()))
    assert found.std == pytest.approx(np.arange(100).std() / 64.0, rel=1e-15)


def test_repeats_count_like_values_that_are_there() -> None:
    values = np.array([1.0, 2.5, -3.0])
    exponent = exponent_for(-3.0, 2.5)
    repeated = moments_of(values, exponent).with_repeats(2.5, 4)
    assert repeated == moments_of(np.array([1.0, 2.5, -3.0, *[2.5] * 4]), exponent)


def test_no_values_have_no_mean() -> None:
    assert exponent_for(np.inf, -np.inf) == 0
    empty = moments_of(np.empty(0), 0)
    assert (empty, empty.mean, empty.std) == (Moments(0), None, None)


@given(st.lists(st.integers(-(2**62), 2**62), max_size=50))
def test_sums_of_large_integers_do_not_overflow(values: list[int]) -> None:
    upper, lower = exact_sums(torch.tensor([values], dtype=torch.int64)).flatten().tolist()
    assert upper * 2**32 + lower == sum(values)


@pytest.mark.parametrize("value", [1e150, 1e-300, 5e-324, 0.0])
def test_extreme_magnitudes_raise_nothing(value: float) -> None:
    found = moments_of(np.array([value, value]), exponent_for(value, value))
    assert found.mean == pytest.approx(value, rel=1e-15, abs=1e-270)
    assert found.std == 0.0
