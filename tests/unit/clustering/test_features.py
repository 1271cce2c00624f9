"""From raw values to the grid and back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segjob.clustering.features import (
    expm1,
    grid_matrix,
    log1p,
    missing,
    select_rows,
    source_value,
    specs_of,
    split_excluded,
)
from segjob.clustering.grid import LIMIT, smallest_exponent, unit_of
from segjob.records.model import OTHER, ModelColumn
from segjob.records.source import FeatureSpec
from tests.unit.clustering.conftest import customers, plan_of

above_minus_one = st.floats(-1, 1e300, exclude_min=True, allow_subnormal=True)


@given(above_minus_one)
def test_log1p_is_the_logarithm_of_one_more(x: float) -> None:
    assert log1p(np.array([x]))[0] == pytest.approx(math.log1p(x), rel=1e-14, abs=5e-324)


@pytest.mark.parametrize(("x", "expected"), [(0.0, 0.0), (1e-17, 1e-17), (-1e-20, -1e-20), (5e-324, 5e-324)])
def test_log1p_keeps_values_too_small_to_change_one(x: float, expected: float) -> None:
    assert log1p(np.array([x]))[0] == expected


def test_log1p_of_almost_minus_one_is_finite() -> None:
    assert log1p(np.array([np.nextafter(-1.0, 0.0)]))[0] == pytest.approx(-53 * math.log(2), rel=1e-15)


def test_log1p_gives_the_same_bits_for_a_strided_and_a_contiguous_column() -> None:
    matrix = np.random.default_rng(0).lognormal(8, 3, (1001, 3))
    np.testing.assert_array_equal(log1p(matrix[:, 1]), log1p(matrix[:, 1].copy()))


@given(st.floats(-0.999, 1e12))
def test_expm1_is_the_inverse_of_log1p(x: float) -> None:
    assert expm1(log1p(np.array([x])))[0] == pytest.approx(x, rel=1e-13, abs=1e-13)


def test_expm1_beyond_float64_is_infinite_and_raises_nothing() -> None:
    assert expm1(np.array([1e4]))[0] == np.inf


def test_nan_and_infinities_are_missing_and_under_log1p_what_is_at_most_minus_one() -> None:
    values = np.array([np.nan, np.inf, -np.inf, -2.0, -1.0, -0.5, 0.0])
    assert missing(FeatureSpec("x"), values).tolist() == [True, True, True, False, False, False, False]
    assert missing(FeatureSpec("x", transform="log1p"), values).tolist() == [True] * 5 + [False, False]


def test_excluded_customers_name_the_first_feature_that_was_missing() -> None:
    specs = [
        FeatureSpec("gender", onehot=True, impute="exclude"),
        FeatureSpec("age", impute="exclude"),
        FeatureSpec("amount", transform="log1p", impute="exclude"),
        FeatureSpec("visits"),
    ]
    nan = float("nan")
    numbers = [[1, 1, nan], [nan, nan, 1], [1, -1, 1], [nan, 1, 1], [1, 1, 1]]
    chunk = customers(numbers, [["m", "f", "m", None, "f"]])
    included, excluded = split_excluded(specs, chunk)
    assert included.tolist() == [True, False, False, False, True]
    assert excluded == ["age", "amount", "gender"]
    kept = select_rows(chunk, included)
    assert kept.keys.column(0).to_pylist() == [1, 5]
    assert kept.categories[0].to_pylist() == ["m", "f"]


def test_without_excluding_features_everybody_is_included() -> None:
    chunk = customers([[np.nan], [1.0]])
    included, excluded = split_excluded([FeatureSpec("x")], chunk)
    assert included.all()
    assert excluded == []
    assert select_rows(chunk, included) is chunk


def test_a_stored_model_tells_which_customers_it_can_not_label() -> None:
    specs = [FeatureSpec("g", onehot=True), FeatureSpec("x", impute="exclude"), FeatureSpec("y")]
    plan = plan_of(specs, customers([[1, 2], [3, 4], [4, 4]], [["a", "b", "b"]]))
    asked = customers([[np.nan, 1], [1, np.nan]], [[None, "new"]])
    included, excluded = split_excluded(specs_of(plan.columns), asked)
    assert included.tolist() == [False, True]
    assert excluded == ["x"]


def column(**constants: Any) -> ModelColumn:
    return replace(ModelColumn("x", "x", 0, "number"), **constants)


def test_the_order_is_impute_clip_transform_scale_weight() -> None:
    model = column(
        transform="log1p",
        impute_value=math.e**3,
        clip_low=0.0,
        clip_high=math.e**2 - 1,
        center=1.0,
        scale=0.5,
        weight=3.0,
    )
    grid = grid_matrix([model], 4, np.array([[np.nan], [-0.5], [1e9]]), [], clamp=False)
    unit = unit_of(4)
    assert (grid[:, 0] * unit).tolist() == pytest.approx([6.0, -6.0, 6.0], abs=unit)


def test_halves_of_a_grid_step_go_to_the_even_one() -> None:
    grid = grid_matrix([column()], 16, np.array([[0.5], [1.5], [2.5], [-0.5]]), [], clamp=False)
    assert grid[:, 0].tolist() == [0.0, 2.0, 2.0, 0.0]


def test_prediction_clamps_far_values_to_the_limit_of_the_grid() -> None:
    numbers = np.array([[1e30], [-1e30], [3.0]])
    assert grid_matrix([column()], 16, numbers, [], clamp=True)[:, 0].tolist() == [LIMIT, -LIMIT, 3.0]


def test_unseen_and_null_categories_fall_into_other() -> None:
    specs = [FeatureSpec("g", onehot=True, weight=2.0)]
    plan = plan_of(specs, customers(categories=[["a"] * 50 + ["b"] * 50]))
    asked = customers(categories=[["a", "b", "never seen", None, OTHER]])
    matrix = grid_matrix(plan.columns, plan.grid_exponent, asked.numbers, asked.categories, clamp=True) * plan.unit
    assert (matrix[2] == matrix[3]).all()
    assert (matrix[2] == matrix[4]).all()
    for one, another in [(0, 1), (0, 2), (1, 2)]:
        assert np.linalg.norm(matrix[one] - matrix[another]) == pytest.approx(2.0, abs=1e-3)


def test_large_string_arrays_work_like_string_arrays() -> None:
    plan = plan_of([FeatureSpec("g", onehot=True)], customers(categories=[["a", "b", "b"]]))
    texts = pa.array(["b", "a"], pa.large_string())
    assert grid_matrix(plan.columns, plan.grid_exponent, np.empty((2, 0)), [texts], clamp=True).shape == (2, 3)


@pytest.mark.parametrize("transform", ["none", "log1p"])
@given(value=st.floats(-0.9, 1e6))
def test_source_value_inverts_the_way_to_the_grid(transform: str, value: float) -> None:
    model = column(transform=transform, center=2.0, scale=3.0, weight=0.5, origin=0.25)
    exponent = smallest_exponent(1e6)
    grid = grid_matrix([model], exponent, np.array([[value]]), [], clamp=False)[0, 0]
    step = unit_of(exponent) / 0.5 * 3.0 * (1.0 + abs(value))
    assert source_value(model, grid, unit_of(exponent)) == pytest.approx(
        value, abs=step * (8 if transform == "log1p" else 1)
    )


@given(st.floats(1e-100, 1e100))
def test_the_grid_exponent_is_the_smallest_that_reaches(reach: float) -> None:
    exponent = smallest_exponent(reach)
    assert reach <= 16 * 2.0**exponent
    assert reach > 16 * 2.0 ** (exponent - 1)
    assert reach / unit_of(exponent) <= LIMIT
