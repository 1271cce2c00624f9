"""The constants of the features."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from segjob.clustering import columns, sample
from segjob.clustering.features import scale, transform
from segjob.clustering.grid import LIMIT
from segjob.clustering.moments import Moments
from segjob.errors import ConfigurationError, DataError
from segjob.records.model import ModelColumn
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec
from tests.unit.clustering.conftest import ListPopulation, customers, cut, plan_of, planned, rows_of, survey_of

NAN = float("nan")
AMOUNTS = np.random.default_rng(1).lognormal(4, 1.5, 2_000)


def scaled(column: ModelColumn, values: np.ndarray) -> np.ndarray:
    return scale(column, transform(column, values))


@pytest.mark.parametrize(
    ("name", "oracle"), [("standard", StandardScaler()), ("robust", RobustScaler()), ("minmax", MinMaxScaler())]
)
@pytest.mark.parametrize("logarithm", [False, True])
def test_scaling_agrees_with_scikit_learn(name, oracle, logarithm: bool) -> None:
    spec = FeatureSpec("amount", "log1p" if logarithm else "none", name)
    (column,) = plan_of([spec], customers(AMOUNTS)).columns
    values = np.log1p(AMOUNTS) if logarithm else AMOUNTS
    expected = oracle.fit_transform(values[:, None])[:, 0]
    np.testing.assert_allclose(scaled(column, AMOUNTS), expected, rtol=1e-9, atol=1e-12)


def test_scale_none_leaves_the_values_and_weight_multiplies_them() -> None:
    (column,) = plan_of([FeatureSpec("x", scale="none", weight=2.5)], customers([1.0, 2.0, 4.0])).columns
    assert scaled(column, np.array([1.0, 2.0, 4.0])).tolist() == [2.5, 5.0, 10.0]


@pytest.mark.parametrize(("impute", "expected"), [("median", 2.0), ("mean", 4.0), ("zero", 0.0)])
def test_missing_values_are_imputed_in_source_units(impute, expected: float) -> None:
    chunk = customers([1.0, 2.0, 9.0, NAN, NAN])
    (column,) = plan_of([FeatureSpec("x", impute=impute)], chunk).columns
    assert column.impute_value == expected
    assert column.n_missing == 2
    filled = np.array([1.0, 2.0, 9.0, expected, expected])
    assert column.center == pytest.approx(filled.mean(), rel=1e-15)
    assert column.scale == pytest.approx(filled.std(), rel=1e-15)


def test_the_profile_of_the_population_is_that_of_the_values_that_are_there() -> None:
    chunk = customers([1.0, 2.0, 9.0, NAN, -5.0])
    (column,) = plan_of([FeatureSpec("x", transform="log1p", impute="zero")], chunk).columns
    assert (column.minimum, column.maximum, column.n_missing) == (1.0, 9.0, 2)
    assert column.population_mean == 4.0
    assert column.population_median == 2.0
    assert column.population_std == pytest.approx(np.std([1.0, 2.0, 9.0]), rel=1e-15)


def test_log1p_comes_after_clipping_and_scaling_after_both() -> None:
    spec = FeatureSpec("x", transform="log1p", clip=(0.1, 0.9))
    (column,) = plan_of([spec], customers(AMOUNTS)).columns
    low, high = np.quantile(AMOUNTS, [0.1, 0.9])
    assert (column.clip_low, column.clip_high) == (low, high)
    expected = StandardScaler().fit_transform(np.log1p(np.clip(AMOUNTS, low, high))[:, None])[:, 0]
    np.testing.assert_allclose(scaled(column, AMOUNTS), expected, rtol=1e-9, atol=1e-12)
    assert column.n_clipped == np.count_nonzero((low > AMOUNTS) | (high < AMOUNTS))


def test_clip_quantiles_zero_and_one_clip_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "LARGEST_SAMPLE", 50)
    (column,) = plan_of([FeatureSpec("x", clip=(0.0, 1.0))], cut(customers(AMOUNTS), 100)).columns
    assert (column.clip_low, column.clip_high) == (AMOUNTS.min(), AMOUNTS.max())
    assert column.n_clipped == 0


def test_clipping_an_imputed_zero_counts_as_clipped() -> None:
    (column,) = plan_of([FeatureSpec("x", impute="zero", clip=(0.0, 1.0))], customers([5.0, 6.0, 7.0, NAN])).columns
    assert column.n_clipped == 1
    assert transform(column, np.array([NAN]))[0] == 5.0


def test_means_are_exact_and_quantiles_close_when_the_sample_is_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "LARGEST_SAMPLE", 500)
    (column,) = plan_of([FeatureSpec("x", transform="log1p")], cut(customers(AMOUNTS), 300)).columns
    assert column.center == pytest.approx(np.log1p(AMOUNTS).mean(), rel=1e-14)
    assert column.population_mean == pytest.approx(math.fsum(AMOUNTS) / len(AMOUNTS), rel=1e-15)
    assert column.population_median != np.median(AMOUNTS)
    assert column.population_median == pytest.approx(np.median(AMOUNTS), rel=0.2)


def test_a_constant_column_is_dropped_and_named() -> None:
    specs = [FeatureSpec("same"), FeatureSpec("varies"), FeatureSpec("nothing")]
    plan = plan_of(specs, customers([[5, 1, NAN], [5, 2, NAN], [NAN, 3, NAN]]))
    assert [column.position for column in plan.columns] == [None, 0, None]
    assert plan.columns[2].n_missing == 3
    assert ["same" in plan.warnings[0], "nothing" in plan.warnings[1], len(plan.warnings)] == [True, True, 2]
    assert plan.transform(customers([[5, 1, NAN]])).shape == (1, 1)


def test_values_that_differ_only_where_they_are_imputed_are_not_constant() -> None:
    (column,) = plan_of([FeatureSpec("x", impute="zero")], customers([5.0, 5.0, NAN])).columns
    assert column.position == 0


@pytest.mark.parametrize("values", [[[7.0, NAN]] * 3, [[NAN, NAN]] * 3])
def test_if_every_column_is_constant_the_first_remains(values) -> None:
    plan = plan_of([FeatureSpec("a"), FeatureSpec("b")], customers(values))
    assert [column.position for column in plan.columns] == [0, None]
    assert plan.transform(customers(values)).tolist() == [[0.0]] * 3


def test_a_robust_scale_of_zero_counts_as_one_with_a_warning() -> None:
    plan = plan_of([FeatureSpec("x", scale="robust")], customers([1.0, *[0.0] * 20, 5.0]))
    assert plan.columns[0].scale == 1.0
    assert plan.columns[0].position == 0
    assert "interquartile range" in plan.warnings[0]


def test_onehot_columns_are_named_and_customers_of_two_categories_are_a_weight_apart() -> None:
    chunk = customers(categories=[["Female"] * 60 + ["Male"] * 39 + [None]])
    plan = plan_of([FeatureSpec("gender", onehot=True, weight=3.0)], chunk)
    assert [column.feature for column in plan.columns] == ["gender=Female", "gender=Male", "gender=other"]
    assert [column.population_mean for column in plan.columns] == [0.6, 0.39, 0.01]
    assert {(column.weight, column.center, column.scale) for column in plan.columns} == {(3.0 / 2.0**0.5, 0.0, 1.0)}
    matrix = plan.transform(chunk) * plan.unit
    assert np.linalg.norm(matrix[0] - matrix[60]) == pytest.approx(3.0, abs=1e-3)
    assert np.linalg.norm(matrix[60] - matrix[99]) == pytest.approx(3.0, abs=1e-3)


def test_rare_categories_join_other_which_exists_without_them_too() -> None:
    chunk = customers(categories=[["a"] * 500 + ["b"] * 490 + ["c"] * 9 + ["d"], ["x", "y"] * 500])
    plan = plan_of([FeatureSpec("g", onehot=True), FeatureSpec("h", onehot=True)], chunk)
    assert [column.feature for column in plan.columns] == ["g=a", "g=b", "g=other", "h=x", "h=y", "h=other"]
    assert [column.position for column in plan.columns] == [0, 1, 2, 3, 4, 5]
    assert plan.columns[2].population_mean == 0.01
    assert plan.columns[5].population_mean == 0.0


@pytest.mark.parametrize("values", [["a"] * 10, [None] * 10, [f"rare {index}" for index in range(1_000)]])
def test_a_onehot_feature_in_which_nobody_differs_is_dropped(values) -> None:
    chunk = customers([[float(index)] for index in range(len(values))], [values])
    plan = plan_of([FeatureSpec("g", onehot=True), FeatureSpec("x")], chunk)
    assert [column.position for column in plan.columns if column.column == "g"] == [None] * (len(plan.columns) - 1)
    assert plan.columns[-1].position == 0
    assert "column g " in plan.warnings[0]


def test_a_text_column_with_a_category_for_everyone_keeps_the_frequent_ones() -> None:
    values = [f"only {index}" for index in range(9_000)] + ["often"] * 1_000
    plan = plan_of([FeatureSpec("g", onehot=True)], cut(customers(categories=[values]), 777))
    assert [column.feature for column in plan.columns] == ["g=often", "g=other"]


def test_more_than_128_columns_are_a_configuration_error_with_their_number() -> None:
    specs = [FeatureSpec(f"g{index}", onehot=True) for index in range(4)]
    values = [[f"{index % 32}" for index in range(320)]] * 4
    with pytest.raises(ConfigurationError, match="132 columns after one-hot encoding, and 128"):
        plan_of(specs, customers(categories=values))


def test_no_customers_are_a_data_error() -> None:
    with pytest.raises(DataError, match="no customer"):
        plan_of([FeatureSpec("x")], customers(np.empty((0, 1))))


def test_values_whose_squares_overflow_are_a_data_error_that_names_the_column_only() -> None:
    with pytest.raises(DataError, match="column huge") as caught:
        plan_of([FeatureSpec("huge")], customers([1.0, -1.2345e200]))
    assert "1.2345" not in str(caught.value)


def test_values_beyond_float32_are_placed_like_any_others() -> None:
    values = np.array([1e60, 2e60, 3e60])
    plan = plan_of([FeatureSpec("x")], customers(values))
    expected = StandardScaler().fit_transform(values[:, None])
    np.testing.assert_allclose(plan.transform(customers(values)) * plan.unit + 0.0, expected, atol=plan.unit)


def test_the_grid_holds_every_customer_and_the_farthest_uses_most_of_it() -> None:
    specs = [FeatureSpec("a", scale="standard", weight=7.0), FeatureSpec("b", scale="none")]
    chunk = customers(np.stack([AMOUNTS, -AMOUNTS[::-1]], 1))
    matrix = plan_of(specs, chunk).transform(chunk)
    assert (matrix == np.rint(matrix)).all()
    assert LIMIT / 2 < np.abs(matrix).max() <= LIMIT


def test_an_outlier_of_1e12_is_kept_and_its_column_is_named_as_coarse() -> None:
    values = np.append(np.random.default_rng(0).normal(100, 10, 999), 1e14)
    plan = plan_of(
        [FeatureSpec("income", scale="none"), FeatureSpec("age", scale="none")],
        customers(np.stack([values, values % 90], 1)),
    )
    assert len(plan.warnings) == 2
    assert "column income keeps few digits" in plan.warnings[0]
    assert "column age keeps few digits" in plan.warnings[1]
    assert all("clip or log1p on income" in warning for warning in plan.warnings)
    clipped = [FeatureSpec("income", scale="none", clip=(0.01, 0.99)), FeatureSpec("age", scale="none")]
    assert plan_of(clipped, customers(np.stack([values, values % 90], 1))).warnings == ()


def test_epoch_seconds_without_scaling_keep_their_digits() -> None:
    values = 1.7e9 + np.random.default_rng(0).uniform(0, 100, 500)
    plan = plan_of([FeatureSpec("seen_at", scale="none")], customers(values))
    restored = plan.transform(customers(values))[:, 0] * plan.unit + plan.columns[0].origin
    np.testing.assert_allclose(restored, values, rtol=0, atol=plan.unit)
    assert plan.unit < 1e-3
    assert plan.warnings == ()


def many_kinds() -> tuple[list[FeatureSpec], Chunk]:
    random = np.random.default_rng(3)
    numbers = np.stack([random.lognormal(3, 2, 3_000), random.normal(size=3_000), random.integers(0, 5, 3_000)], 1)
    numbers[random.random(numbers.shape) < 0.1] = NAN
    texts = random.choice(["a", "b", "c", "rare"], 3_000, p=[0.5, 0.3, 0.195, 0.005])
    specs = [
        FeatureSpec("amount", "log1p", "standard", clip=(0.01, 0.99)),
        FeatureSpec("kind", onehot=True, weight=0.5),
        FeatureSpec("score", scale="robust", impute="mean"),
        FeatureSpec("visits", scale="minmax", impute="zero"),
    ]
    return specs, customers(numbers, [[None if text == "c" else str(text) for text in texts]])


@pytest.mark.parametrize("capacity", [2**20, 400])
def test_neither_chunks_nor_the_order_of_rows_change_the_plan(capacity: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "LARGEST_SAMPLE", capacity)
    specs, chunk = many_kinds()
    shuffled = rows_of(chunk, np.random.default_rng(5).permutation(chunk.n_rows))
    assert plan_of(specs, chunk) == plan_of(specs, cut(chunk, 71)) == plan_of(specs, cut(shuffled, 1_000))


def test_the_prepared_matrix_is_the_transformed_one_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    specs, chunk = many_kinds()
    plan = plan_of(specs, chunk)
    monkeypatch.setattr("segjob.clustering.plan.BLOCK", 100)
    prepared = plan.prepare(chunk)
    assert prepared.dtype == np.float32
    np.testing.assert_array_equal(prepared, plan.transform(chunk))


def test_columns_stand_in_the_order_of_the_configuration() -> None:
    specs, chunk = many_kinds()
    plan = plan_of(specs, chunk)
    assert [column.column for column in plan.columns] == ["amount", "kind", "kind", "kind", "score", "visits"]
    assert [column.position for column in plan.clustered] == list(range(6))


def test_features_without_clip_or_standardised_logarithm_need_one_pass_only() -> None:
    for spec, n_passes in [(FeatureSpec("x"), 1), (FeatureSpec("x", "log1p"), 2), (FeatureSpec("x", clip=(0, 0.9)), 2)]:
        population = ListPopulation([customers(AMOUNTS)])
        planned([spec], ["number"], survey_of([spec], population.chunks), population)
        assert population.n_passes == n_passes


def test_a_sample_without_any_value_of_a_rare_column_still_has_a_median() -> None:
    column = columns.described(FeatureSpec("x"), "number", (4.0, 4.0), 9, Moments(0, 1, 4, 16), np.empty(0))
    assert (column.impute_value, column.population_median) == (4.0, 4.0)
