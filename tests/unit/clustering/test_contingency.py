"""The model of the version before, asked about today's customers: exactly what it would have said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segjob.clustering.contingency import Contingency, Predecessor, cross, nearest
from segjob.clustering.features import grid_matrix
from segjob.clustering.labels import nearest_two
from segjob.clustering.model_features import answers_for
from segjob.clustering.plan import FeaturePlan
from segjob.clustering.survey import survey_chunk
from segjob.records.model import Model
from segjob.records.population import Chunk
from segjob.records.source import FeatureFamily, FeatureSpec
from tests.unit.clustering.conftest import ListPopulation, customers, cut, planned, rows_of

SPECS = (
    FeatureSpec("amount", transform="log1p"),
    FeatureSpec("colour", onehot=True),
    FeatureSpec("age", clip=(0.1, 0.9)),
)
FAMILIES: tuple[FeatureFamily, ...] = ("number", "text", "number")


def people(n: int, seed: int) -> Chunk:
    rng = np.random.default_rng(seed)
    numbers = np.column_stack([np.exp(rng.normal(3, 1, n)), rng.integers(18, 90, n)])
    numbers[rng.random((n, 2)) < 0.05] = np.nan
    return customers(numbers, [rng.choice(["red", "green", "blue"], n).tolist()])


def plan_for(chunk: Chunk, specs: tuple[FeatureSpec, ...] = SPECS) -> FeaturePlan:
    return planned(specs, FAMILIES, survey_chunk(specs, chunk), ListPopulation([chunk]))


def model_of(plan: FeaturePlan, chunk: Chunk, k: int) -> Model:
    return Model(plan.columns, plan.grid_exponent, tuple(range(1, k + 1)), plan.prepare(chunk)[:k].astype(np.int64))


@pytest.mark.parametrize("k", [1, 2, 5, 300])
@pytest.mark.parametrize("d", [1, 3, 100])
def test_the_nearest_is_that_of_the_labels_ties_included(k: int, d: int) -> None:
    rng = np.random.default_rng(k * d)
    centers, matrix = (rng.integers(-3, 4, (n, d)) for n in (k, 2000))
    for scale in (1, 2**18):
        found = nearest(centers * scale, (matrix * scale).astype(np.float32), "cpu")
        assert found.tolist() == nearest_two(centers * scale, (matrix * scale).astype(np.float32), "cpu").index.tolist()


def test_the_nearest_is_so_where_coordinates_are_as_large_as_they_can_be() -> None:
    rng = np.random.default_rng(1)
    centers, matrix = (rng.integers(-(2**20), 2**20, (n, 120)) for n in (40, 500))
    found = nearest(centers, matrix.astype(np.float32), "cpu")
    assert found.tolist() == nearest_two(centers, matrix.astype(np.float32), "cpu").index.tolist()


@pytest.mark.parametrize("other", [5, 6])
def test_the_old_model_places_customers_with_its_own_constants(other: int) -> None:
    before, today = people(500, 5), people(800, other)
    plan, model = plan_for(today), model_of(plan_for(before), before, 4)
    asked = Predecessor(model, plan, SPECS, "cpu")
    matrix = grid_matrix(model.columns, model.grid_exponent, today.numbers, today.categories, clamp=True)
    expected = nearest_two(model.centers, matrix.astype(np.float32), "cpu").index
    assert asked.positions(today, plan.prepare(today)).tolist() == expected.tolist()


def test_on_the_same_grid_today_s_coordinates_are_used_and_the_same_centres_need_no_question() -> None:
    chunk = people(500, 5)
    plan = plan_for(chunk)
    model = model_of(plan, chunk, 4)
    asked = Predecessor(model, plan, SPECS, "cpu")
    assert asked.on_the_same_grid
    assert asked.gives_the_same(model.centers)
    assert not asked.gives_the_same(model.centers + 1)
    apart = Predecessor(replace(model, grid_exponent=model.grid_exponent + 1), plan, SPECS, "cpu")
    assert not apart.on_the_same_grid
    matrix = plan.prepare(chunk)
    assert asked.positions(chunk, matrix).tolist() == nearest_two(model.centers, matrix, "cpu").index.tolist()


def test_chunks_and_their_order_change_nothing() -> None:
    before, today = people(500, 5), people(900, 6)
    plan, model = plan_for(today), model_of(plan_for(before), before, 4)
    asked = Predecessor(model, plan, SPECS, "cpu")
    centers = plan.prepare(today)[:6].astype(np.int64)

    def count(chunk: Chunk) -> Contingency:
        matrix = plan.prepare(chunk)
        return cross(asked.positions(chunk, matrix), nearest(centers, matrix, "cpu"), 4, 6)

    whole = count(today).shared
    assert whole.sum() == 900
    for size in (1, 7, 400):
        parts = ListPopulation(cut(rows_of(today, np.arange(900)[::-1]), size))
        assert np.array_equal(parts.reduce(count).shared, whole)


def test_features_in_another_order_are_the_same_features() -> None:
    before, today = people(500, 5), people(800, 6)
    model = model_of(plan_for(before), before, 4)
    reordered = (SPECS[2], SPECS[0], SPECS[1])
    turned = Chunk(today.keys, today.numbers[:, ::-1], today.categories)
    families: tuple[FeatureFamily, ...] = ("number", "number", "text")
    plan = planned(reordered, families, survey_chunk(reordered, turned), ListPopulation([turned]))
    assert answers_for(model, reordered, families)
    found = Predecessor(model, plan, reordered, "cpu").positions(turned, plan.prepare(turned))
    straight = plan_for(today)
    assert (
        found.tolist() == Predecessor(model, straight, SPECS, "cpu").positions(today, straight.prepare(today)).tolist()
    )


def test_a_model_is_asked_only_about_features_that_it_has_read_the_same_way() -> None:
    chunk = people(500, 5)
    model = model_of(plan_for(chunk), chunk, 4)
    assert answers_for(model, [replace(SPECS[0], transform="none", weight=2.0), *SPECS[1:]], FAMILIES)
    assert not answers_for(model, SPECS[:2], FAMILIES[:2])
    assert not answers_for(model, [*SPECS, FeatureSpec("more")], [*FAMILIES, "number"])
    assert not answers_for(model, [replace(SPECS[0], column="other"), *SPECS[1:]], FAMILIES)
    assert not answers_for(model, SPECS, ("date", *FAMILIES[1:]))
    assert not answers_for(model, [SPECS[0], SPECS[1], replace(SPECS[2], onehot=True)], FAMILIES)


def test_a_model_that_left_customers_out_can_not_be_asked_once_they_are_in() -> None:
    excluding = (replace(SPECS[0], impute="exclude"), *SPECS[1:])
    chunk = people(500, 5)
    present = rows_of(chunk, np.flatnonzero(~np.isnan(chunk.numbers[:, 0])))
    model = model_of(plan_for(present, excluding), present, 4)
    assert answers_for(model, excluding, FAMILIES)
    assert not answers_for(model, SPECS, FAMILIES)
    assert not answers_for(model, [replace(excluding[0], transform="none"), *SPECS[1:]], FAMILIES)
