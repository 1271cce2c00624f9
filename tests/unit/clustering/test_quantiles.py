"""Quantiles are those of numpy, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segjob.clustering.quantiles import median, quantiles, upper_quantile

numbers = st.lists(st.floats(-1e150, 1e150), min_size=1, max_size=60).map(np.array)
shares = st.floats(0.0, 1.0)


@given(numbers)
def test_the_median_is_numpys(values):
    assert median(values) == np.median(values)


@given(numbers, shares)
def test_the_upper_quantile_is_numpys(values, share):
    assert upper_quantile(values, share) == np.quantile(values, share, method="higher")


@given(numbers, st.lists(shares, min_size=1, max_size=5))
def test_several_quantiles_are_numpys(values, wanted):
    assert quantiles(values, wanted) == np.quantile(values, wanted).tolist()


@pytest.mark.parametrize("n_rows", [99_999, 100_000])
def test_so_they_are_of_large_arrays(n_rows):
    values = np.random.default_rng(0).normal(size=n_rows)
    before = values.copy()
    assert median(values) == np.median(values)
    assert upper_quantile(values, 0.99) == np.quantile(values, 0.99, method="higher")
    assert quantiles(values, (0.05, 0.5, 0.95)) == np.quantile(values, (0.05, 0.5, 0.95)).tolist()
    np.testing.assert_array_equal(values, before)
