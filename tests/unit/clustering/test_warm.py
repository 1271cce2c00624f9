"""Fits that go on from the centres of a parent, and those centres on another grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segjob.clustering import kmeans
from segjob.clustering.features import source_value
from segjob.clustering.kmeans import Fit, fit
from segjob.clustering.nearest import Tally
from segjob.clustering.passes import Placed, Settled
from segjob.clustering.warm import warm_centers
from segjob.records.model import Model
from segjob.records.source import FeatureSpec
from tests.unit.clustering.conftest import ListPopulation, blobs, customers, on_grid, plan_of


def fit_from(parent: np.ndarray | None, matrix: np.ndarray, n_clusters: int = 5, seed: int = 1) -> Fit:
    population = ListPopulation([matrix[:700], matrix[700:]])
    return fit(matrix, population, n_clusters, seed=seed, unit=1.0, device="cpu", parent=parent)


@pytest.mark.parametrize("apart", [0.5, 2.0, 6.0])
def test_a_rerun_on_unchanged_customers_changes_not_one_bit(apart: float) -> None:
    matrix = on_grid(blobs(3_000, 3, 5, apart=apart)[0])
    first = fit_from(None, matrix)
    for seed in (1, 2):
        again = fit_from(first.centers, matrix, seed=seed)
        np.testing.assert_array_equal(again.centers, first.centers)
        np.testing.assert_array_equal(again.counts, first.counts)
        assert (again.inertia, again.warm_start, again.n_full_passes) == (first.inertia, True, 1)


def test_a_cold_fit_that_can_not_win_is_left_before_it_goes_over_everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = on_grid(blobs(3_000, 3, 5)[0])
    parent = fit_from(None, matrix).centers
    monkeypatch.setattr(kmeans, "tally_all", None)
    assert fit_from(parent, matrix + np.float32(500)).warm_start


def test_a_rerun_changes_nothing_where_many_customers_are_as_far_from_two_centres() -> None:
    matrix = np.random.default_rng(3).integers(0, 4, size=(2_000, 2)).astype(np.float32)
    first = fit_from(None, matrix)
    again = fit_from(first.centers, matrix)
    np.testing.assert_array_equal(again.centers, first.centers)
    assert again.counts.tolist() == first.counts.tolist() == sorted(first.counts.tolist(), reverse=True)


def test_centres_of_a_warm_fit_keep_the_order_of_the_parent() -> None:
    matrix = on_grid(blobs(3_000, 3, 5)[0])
    order = [3, 1, 4, 0, 2]
    parent = fit_from(None, matrix).centers[order]
    again = fit_from(parent, matrix)
    np.testing.assert_array_equal(again.centers, parent)
    assert again.parents is not None
    assert again.parents.tolist() == [0, 1, 2, 3, 4]


def test_customers_that_moved_a_little_move_the_centres_of_the_parent() -> None:
    matrix = on_grid(blobs(3_000, 3, 5)[0])
    parent = fit_from(None, matrix).centers
    again = fit_from(parent, matrix + np.float32(500))
    assert again.warm_start
    assert np.abs(again.centers - (parent + 500)).max() <= 2
    assert [stage.stage for stage in again.stages] == ["warm_start"]
    assert again.stages[0].inertia_after < (again.stages[0].inertia_before or 0.0)


def test_a_parent_that_no_longer_describes_the_customers_loses_to_a_cold_fit() -> None:
    """Two of its centres share one cloud now and the third has two clouds, which no step of Lloyd's puts right."""
    random = np.random.default_rng(0)
    clouds = np.array([[0, 0], [9_000, 0], [10_000, 0]])
    matrix = on_grid(clouds[np.arange(900) % 3] + random.normal(scale=50, size=(900, 2)), 1)
    again = fit_from(np.array([[-50, 0], [50, 0], [9_500, 0]]), matrix, 3)
    assert not again.warm_start
    assert again.parents is None
    np.testing.assert_array_equal(again.centers, fit_from(None, matrix, 3).centers)
    assert [stage.stage for stage in again.stages] == ["starts", "full_passes"]


def candidate(inertia: int, warm: bool) -> kmeans.Candidate:
    found = Tally(np.zeros((1, 1, 1), np.int64), np.array([[1]]), np.array([[[0]]]), squares=inertia)
    placed = Placed(np.zeros((1, 1), np.int64), np.zeros(1, np.int64))
    return kmeans.Candidate(Settled(placed, found, 2, inertia, converged=True), (), 0, warm)


def test_a_cold_fit_must_be_more_than_half_a_percent_better() -> None:
    warm = candidate(1_000, warm=True)
    assert kmeans.choose(warm, candidate(995, warm=False)).warm
    assert not kmeans.choose(warm, candidate(994, warm=False)).warm
    assert kmeans.choose(warm, None).warm


def test_a_centre_of_the_parent_that_lost_all_its_customers_is_placed_anew_and_marked() -> None:
    matrix = on_grid(blobs(2_000, 2, 4, apart=9.0)[0])
    parent = fit_from(None, matrix, 4).centers
    parent[2] = [2**19, 2**19]
    again = fit_from(parent, matrix, 4)
    assert again.warm_start
    assert again.parents is not None
    assert again.parents.tolist() == [0, 1, -1, 3]
    assert again.counts.min() > 100


def test_a_parent_with_another_number_of_centres_is_left_aside() -> None:
    matrix = on_grid(blobs(1_000, 2, 4)[0])
    assert not fit_from(fit_from(None, matrix, 4).centers, matrix, 3).warm_start


SPECS = [FeatureSpec("money", transform="log1p"), FeatureSpec("age", weight=2.0), FeatureSpec("kind", onehot=True)]


def shop(money: float = 1.0, seed: int = 0, kinds: tuple[str, ...] = ("a", "b")):
    random = np.random.default_rng(seed)
    numbers = np.stack([random.lognormal(3, 1, 400) * money, random.normal(40, 9, 400)], axis=1)
    return customers(numbers, [random.choice(kinds, 400).tolist()])


def model_on(chunk) -> Model:
    plan = plan_of(SPECS, chunk)
    centers = plan.prepare(chunk)[:3].astype(np.int64)
    return Model(plan.columns, plan.grid_exponent, (1, 2, 3), centers)


def test_with_unchanged_constants_the_centres_are_copied_bit_for_bit() -> None:
    model = model_on(shop())
    found = warm_centers(model, plan_of(SPECS, shop()))
    np.testing.assert_array_equal(found, model.centers)


def test_centres_stay_where_they_are_in_source_units_when_the_constants_change() -> None:
    model, plan = model_on(shop()), plan_of(SPECS, shop(money=3.0, seed=1))
    found = warm_centers(model, plan)
    assert found is not None
    assert not np.array_equal(found, model.centers)
    for old, new in zip(model.clustered, plan.clustered, strict=True):
        for center, moved in zip(model.centers, found, strict=True):
            before = source_value(old, int(center[old.position or 0]), model.unit)
            assert source_value(new, int(moved[new.position or 0]), plan.unit) == pytest.approx(before, abs=0.01)


def test_other_features_categories_or_transforms_have_no_warm_centres() -> None:
    model = model_on(shop())
    assert warm_centers(model, plan_of(SPECS, shop(kinds=("a", "c")))) is None
    assert warm_centers(model, plan_of([replace(SPECS[0], transform="none"), *SPECS[1:]], shop())) is None


def test_a_centre_beyond_the_new_grid_is_brought_to_its_edge() -> None:
    model, plan = model_on(shop()), plan_of(SPECS, shop())
    found = warm_centers(replace(model, grid_exponent=model.grid_exponent + 12), plan)
    assert found is not None
    assert np.abs(found).max() == 2**20
