"""Scores and profiles from the sums of a label pass."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, calinski_harabasz_score, davies_bouldin_score

from segjob.clustering.agreement import adjusted_rand_index
from segjob.clustering.kernels import in_halves
from segjob.clustering.nearest import from_halves, whole
from segjob.clustering.profile import centroids, column_means, sample_rows, segment_medians
from segjob.clustering.scores import calinski_harabasz, davies_bouldin, spreads_about_centers
from segjob.clustering.summary import number_exponent
from segjob.clustering.summing import as_summary, number_steps, number_sums
from segjob.records.model import ModelColumn
from segjob.records.source import FeatureSpec
from tests.unit.clustering.conftest import Segmented, blobs, customers, cut, plain, rows_of, segment

NAN = float("nan")


def shop() -> tuple[list[FeatureSpec], Segmented, np.ndarray, list[str | None]]:
    random = np.random.default_rng(4)
    numbers = np.stack([random.lognormal(3, 1, 900), random.normal(50, 10, 900)], 1)
    numbers[::7, 0] = NAN
    texts = [None if index % 11 == 0 else "fm"[index % 2] for index in range(900)]
    specs = [
        FeatureSpec("amount", "log1p", clip=(0.0, 0.95)),
        FeatureSpec("gender", onehot=True, weight=2.0),
        FeatureSpec("age", scale="robust"),
    ]
    return specs, segment(specs, cut(customers(numbers, [texts]), 100), 4), numbers, texts


def davies_bouldin_of(found: Segmented) -> float | None:
    return davies_bouldin(found.summary, found.fit.centers, spreads_about_centers(found.summary))


def test_davies_bouldin_agrees_with_scikit_learn_where_the_fit_has_settled() -> None:
    matrix, _ = blobs(2_000, 3, 5, apart=8.0)
    found = segment(plain(3), customers(matrix), 5)
    oracle = davies_bouldin_score(found.matrix.astype(np.float64), found.labels.segment_id)
    assert davies_bouldin_of(found) == pytest.approx(oracle, rel=1e-6)


def test_davies_bouldin_is_its_definition_on_three_points_a_side() -> None:
    found = segment(plain(1), customers([0.0, 1.0, 2.0, 10.0, 11.0, 12.0]), 2)
    assert davies_bouldin_of(found) == pytest.approx((2 / 3 + 2 / 3) / 10, rel=1e-6)


@pytest.mark.parametrize("n_clusters", [2, 3, 7])
def test_calinski_harabasz_agrees_with_scikit_learn_on_the_grid(n_clusters: int) -> None:
    matrix, _ = blobs(1_000, 3, 5, apart=2.0)
    found = segment(plain(3), customers(matrix), n_clusters)
    oracle = calinski_harabasz_score(found.matrix.astype(np.float64), found.labels.segment_id)
    assert calinski_harabasz(found.summary, found.fit.centers) == pytest.approx(oracle, rel=1e-9)


def test_one_segment_has_neither_score() -> None:
    found = segment(plain(1), customers([1.0, 2.0, 4.0]), 1)
    assert davies_bouldin_of(found) is None
    assert calinski_harabasz(found.summary, found.fit.centers) is None


def test_customers_all_on_their_centres_have_no_calinski_harabasz_and_davies_bouldin_zero() -> None:
    found = segment(plain(1), customers([1.0, 1.0, 9.0, 9.0]), 2)
    assert calinski_harabasz(found.summary, found.fit.centers) is None
    assert davies_bouldin_of(found) == 0.0


def test_segment_means_are_the_average_of_the_values_that_are_there() -> None:
    _, found, numbers, _ = shop()
    means = column_means(found.plan.columns, found.summary)
    for position, name in enumerate(["amount", "age"]):
        for index in range(4):
            values = numbers[found.labels.segment_id == index + 1, position]
            values = values[~np.isnan(values)]
            assert means[name][index] == pytest.approx(math.fsum(values) / len(values), rel=1e-15)


def test_segment_means_of_categories_are_their_shares() -> None:
    _, found, _, texts = shop()
    means = column_means(found.plan.columns, found.summary)
    for index in range(4):
        members = [text for text, one in zip(texts, found.labels.segment_id, strict=True) if one == index + 1]
        for name, text in [("gender=f", "f"), ("gender=m", "m"), ("gender=other", None)]:
            assert means[name][index] == members.count(text) / len(members)


def test_a_segment_in_which_all_values_are_missing_has_no_mean_and_no_median() -> None:
    specs = [FeatureSpec("x", scale="none", impute="zero"), FeatureSpec("y", scale="none")]
    found = segment(specs, customers([[5, 0], [6, 0], [NAN, 900], [NAN, 901], [NAN, 902]]), 2)
    medians = segment_medians(found.plan.columns, found.sample, found.scored.index, 2)
    told = centroids(found.plan.columns, found.plan.unit, found.fit.centers, (1, 2), found.summary, medians)
    by_name = {(one.segment_id, one.feature): one for one in told}
    assert (by_name[1, "x"].segment_mean, by_name[1, "x"].segment_median) == (None, None)
    assert (by_name[2, "x"].segment_mean, by_name[2, "x"].segment_median) == (5.5, 5.5)
    assert by_name[1, "y"].segment_mean == 901.0


def test_medians_are_exact_when_everybody_is_sampled() -> None:
    _, found, numbers, _ = shop()
    medians = segment_medians(found.plan.columns, found.sample, found.scored.index, 4)
    for position in range(2):
        for index in range(4):
            assert medians[position, index] == np.nanmedian(numbers[found.labels.segment_id == index + 1, position])


def test_centroids_are_told_in_the_clustered_space_and_in_source_units() -> None:
    _, found, _, _ = shop()
    medians = segment_medians(found.plan.columns, found.sample, found.scored.index, 4)
    ids = (2, 3, 5, 9)
    told = centroids(found.plan.columns, found.plan.unit, found.fit.centers, ids, found.summary, medians)
    assert [one.segment_id for one in told] == [each for each in ids for _ in found.plan.clustered]
    for one, grid in zip(told, found.fit.centers.flatten().tolist(), strict=True):
        column = next(column for column in found.plan.columns if column.feature == one.feature)
        assert one.grid_value == grid
        assert one.scaled_value == column.origin + grid * found.plan.unit
        if column.category is not None:
            assert one.segment_mean == pytest.approx(one.value, abs=0.01)
            assert one.segment_median is None
        if one.feature == "age":
            assert one.segment_mean == pytest.approx(one.value, abs=0.5)


def test_the_sample_for_the_report_shows_values_as_they_are_in_the_source() -> None:
    _, found, numbers, texts = shop()
    shown = sample_rows(
        found.plan.columns, found.plan.unit, found.sample, found.plan.prepare(found.sample), (1, 2, 3, 4), found.scored
    )
    assert len(shown) == 900
    assert len({row.key_hash for row in shown}) == 900
    source = sorted(zip(np.nan_to_num(numbers[:, 0], nan=-1.0), numbers[:, 1], map(str, texts), strict=True))
    found_values = [(row.values["amount"], row.values["age"], row.values["gender"]) for row in shown]
    assert sorted((-1.0 if a is None else a, b, str(c)) for a, b, c in found_values) == source
    for row, value in zip(shown, found.scored.values, strict=True):
        assert row.silhouette == value
        assert len(row.scaled) == len(found.plan.clustered)
        assert -(2**63) <= row.key_hash < 2**63


def test_the_sample_for_the_report_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segjob.clustering.profile.MOST_SAMPLE_ROWS", 10)
    found = segment(plain(1), customers(np.arange(30.0)), 1)
    shown = sample_rows(found.plan.columns, found.plan.unit, found.sample, found.matrix, (1,), found.scored)
    assert len(shown) == 10
    assert {row.silhouette for row in shown} == {None}


def test_summaries_do_not_depend_on_chunks_or_order() -> None:
    specs, _, numbers, texts = shop()
    chunk = customers(numbers, [texts])
    shuffled = rows_of(chunk, np.random.default_rng(0).permutation(900))
    one, other = segment(specs, chunk, 4).summary, segment(specs, cut(shuffled, 37), 4).summary
    for name in ("counts", "inertia", "distances", "coordinates", "totals", "n_values"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.categories[0], other.categories[0])


def test_a_summary_counts_everyone_once() -> None:
    _, found, _, _ = shop()
    assert found.summary.counts.tolist() == np.bincount(found.labels.segment_id)[1:].tolist()
    assert found.summary.total_inertia == found.fit.inertia
    assert found.inertia == pytest.approx((found.labels.distance**2).sum(), rel=1e-12)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-(2**62), 2**62)), max_size=60))
def test_segment_sums_are_exact(pairs: list[tuple[int, int]]) -> None:
    index = np.array([one for one, _ in pairs], np.int64)
    values = np.array([value for _, value in pairs], np.float64)
    members = torch.from_numpy((index == np.arange(3)[:, None]).astype(np.float64))
    expected = [sum(int(value) for value in values[index == each]) for each in range(3)]
    halves = torch.stack(in_halves(torch.from_numpy(values))) @ members.T
    assert from_halves(whole(halves)).tolist() == expected


def test_missing_values_are_in_no_sum() -> None:
    """NULL, the infinities, and under log1p what has no logarithm; the sums of others lose nothing by them."""
    values = np.array([[1.5, -2.0], [np.nan, 0.25], [np.inf, -1.0], [4.0, -np.inf], [-0.5, 7.0]])
    columns = [ModelColumn("a", "a", 0, "number", minimum=-0.5, maximum=4.0)]
    columns.append(ModelColumn("b", "b", 1, "number", transform="log1p", minimum=0.25, maximum=7.0))
    members = torch.tensor([[1.0, 1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, 0.0, 1.0]], dtype=torch.float64)
    sums = number_sums(torch.from_numpy(values.T), members, number_steps(columns, "cpu")).numpy()
    found = as_summary(np.zeros((2, 7), np.int64), sums)
    steps = [2.0 ** number_exponent(column) for column in columns]
    assert (found.totals * np.array(steps)[:, None]).tolist() == [[5.5, -0.5], [0.25, 7.0]]
    assert found.n_values.tolist() == [[2, 1], [1, 1]]


labelings = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(labelings)
def test_the_adjusted_rand_index_agrees_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs).T
    assert adjusted_rand_index(first, second) == pytest.approx(adjusted_rand_score(first, second), abs=1e-12)


def test_the_names_of_the_labels_do_not_matter_to_the_agreement() -> None:
    assert adjusted_rand_index(np.array([1, 1, 2, 3]), np.array(["b", "b", "c", "a"])) == 1.0
