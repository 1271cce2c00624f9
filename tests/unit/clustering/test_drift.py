"""Drift: what an unchanged shop has, what the formula gives, and what counts as far."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segjob.clustering.drift import far_bounds, measure_drift


def test_who_has_not_changed_has_not_drifted() -> None:
    found = measure_drift([50, 30, 20], [500, 300, 200], [5, 3, 2])
    assert (found.psi, found.far_share) == (0.0, 0.01)


def test_the_index_is_its_formula() -> None:
    found = measure_drift([50, 50], [80, 20], [0, 10])
    assert found.psi == pytest.approx(0.3 * math.log(0.8 / 0.5) - 0.3 * math.log(0.2 / 0.5))
    assert found.far_share == 0.1


def test_an_empty_segment_counts_with_a_floor_and_not_as_infinite() -> None:
    found = measure_drift([50, 50], [100, 0], [0, 0])
    assert found.psi == pytest.approx(0.5 * math.log(2.0) + (1e-4 - 0.5) * math.log(1e-4 / 0.5))


def test_the_order_of_the_segments_does_not_matter() -> None:
    assert measure_drift([7, 2, 1], [5, 4, 1], [1, 0, 0]) == measure_drift([1, 7, 2], [1, 5, 4], [0, 1, 0])


def test_one_in_a_hundred_of_the_fit_is_beyond_the_bound() -> None:
    distances = np.random.default_rng(3).gamma(2.0, size=20_000)
    index = np.arange(20_000) % 2
    bounds = np.array(far_bounds(distances, index, 3))
    assert np.mean(distances > bounds[index]) == pytest.approx(0.01, abs=2e-4)
    assert bounds[2] == 0.0
