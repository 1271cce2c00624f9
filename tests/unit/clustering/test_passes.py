"""Exact passes over everyone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from segjob.clustering import passes
from segjob.clustering.kmeans import fit
from segjob.clustering.nearest import Tally
from tests.unit.clustering.conftest import ListPopulation, blobs, on_grid


def lloyd_passes(rows: torch.Tensor, population: ListPopulation, start: np.ndarray, n_passes: int) -> list[Tally]:
    """So many passes from these centres, whatever they gain."""
    placed, tallies = passes.Placed(start, np.arange(len(start))), []
    for _ in range(n_passes):
        tallies.append(passes.tally_all(population, placed.centers, "cpu"))
        placed = passes.next_centers(rows, placed, tallies[-1])
    return tallies


def test_the_inertia_never_rises_from_pass_to_pass_and_the_kept_pass_is_the_last_that_pays() -> None:
    matrix = on_grid(blobs(6_000, 3, 6, apart=3.0)[0])
    rows, population = torch.from_numpy(matrix), ListPopulation([matrix])
    start = matrix[:6].astype(np.int64)
    inertias = [found.inertia[0] for found in lloyd_passes(rows, population, start, 60)]
    assert all(after <= before for before, after in pairwise(inertias))
    settled = passes.exact_passes(rows, population, start, "cpu")
    gains = [(before - after) / before for before, after in pairwise(inertias)]
    kept = next(index for index, gain in enumerate(gains) if gain < 1e-5)
    assert settled.tally.inertia[0] == inertias[kept]
    assert settled.n_passes == kept + 1  # the one after it is not made


def crowds() -> dict[str, np.ndarray]:
    """Customers of several kinds, 20,000 of each."""
    random, size = np.random.default_rng(3), (20_000, 4)
    return {
        "blobs": blobs(20_000, 4, 9, apart=3.0)[0],
        "one bell": random.normal(size=size),
        "a cube": random.random(size),
        "long tails": random.lognormal(size=size),
        "correlated": random.normal(size=size).cumsum(axis=1),
    }


@pytest.mark.parametrize("kind", crowds())
@pytest.mark.parametrize("n_clusters", [2, 5, 12])
def test_a_pass_gains_once_to_twice_what_the_moves_alone_gain(kind: str, n_clusters: int) -> None:
    """What `holds` rests on: where a fit ends, that is, while a pass still gains 1e-4 to 5e-6 of the inertia."""
    matrix = on_grid(crowds()[kind])
    rows = torch.from_numpy(matrix)
    start = matrix[:n_clusters].astype(np.int64)
    tallies = lloyd_passes(rows, ListPopulation([matrix]), start, 80)
    ratios = [
        (found.inertia[0] - after.inertia[0]) / passes.gain_of_moves(found, after.centers[0])
        for found, after in pairwise(tallies)
        if 5e-6 < 1 - after.inertia[0] / found.inertia[0] < 1e-4
    ]
    assert ratios
    assert min(ratios) >= 1
    assert np.median(ratios) <= passes.WITH_SIDES
    assert max(ratios) < 1.5 * passes.WITH_SIDES  # those who change sides are whole customers, and few by then


def test_the_pass_that_would_gain_too_little_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = on_grid(crowds()["blobs"])
    rows, population, start = torch.from_numpy(matrix), ListPopulation([matrix]), matrix[:9].astype(np.int64)
    told = passes.exact_passes(rows, population, start, "cpu")
    monkeypatch.setattr(passes, "holds", lambda *_: False)
    looked = passes.exact_passes(rows, population, start, "cpu")
    assert told.n_passes == looked.n_passes - 1
    np.testing.assert_array_equal(told.centers, looked.centers)


def test_a_fit_that_starts_from_its_own_result_keeps_it() -> None:
    matrix = on_grid(blobs(6_000, 3, 6, apart=1.0)[0])
    found = fit(matrix, ListPopulation([matrix]), 6, seed=1, unit=1.0, device="cpu")
    again = passes.exact_passes(torch.from_numpy(matrix), ListPopulation([matrix]), found.centers, "cpu")
    np.testing.assert_array_equal(again.centers, found.centers)
    assert again.n_passes == 1


@pytest.mark.parametrize("seed", range(12))
def test_what_is_kept_holds_in_the_order_in_which_it_is_kept(seed: int) -> None:
    """Of rows as far from two centres, the first of the two has all: sorting the centres at the end would move them."""
    random = np.random.default_rng(seed)
    matrix = random.integers(0, 6, size=(60, 2)).astype(np.float32)
    start = random.permutation(np.unique(matrix, axis=0))[:4].astype(np.int64)
    settled = passes.ordered_passes(torch.from_numpy(matrix), ListPopulation([matrix]), start, "cpu")
    assert settled.counts.tolist() == sorted(settled.counts.tolist(), reverse=True)
    again = passes.exact_passes(torch.from_numpy(matrix), ListPopulation([matrix]), settled.centers, "cpu")
    np.testing.assert_array_equal(again.centers, settled.centers)
    np.testing.assert_array_equal(again.counts, settled.counts)


def test_another_order_of_the_centres_costs_no_pass_where_nobody_is_as_near_to_two() -> None:
    matrix = on_grid(blobs(6_000, 3, 4, apart=6.0)[0])
    rows, population = torch.from_numpy(matrix), ListPopulation([matrix])
    largest = passes.ordered_passes(rows, population, matrix[:4].astype(np.int64), "cpu").centers
    smallest = passes.exact_passes(rows, population, largest[::-1].copy(), "cpu")
    settled = passes.ordered_passes(rows, population, largest[::-1].copy(), "cpu")
    assert settled.n_passes == smallest.n_passes
    np.testing.assert_array_equal(settled.centers, largest)
    np.testing.assert_array_equal(settled.counts, smallest.counts[::-1])


def test_a_centre_that_loses_its_members_among_all_customers_is_moved() -> None:
    sample = torch.tensor([[0.0], [100.0], [200.0]])
    population = ListPopulation([np.array([[0], [1], [100], [200]], np.float32)])
    settled = passes.exact_passes(sample, population, np.array([[0], [10_000], [120]]), "cpu")
    assert settled.tally.counts.min() > 0
    assert settled.tally.inertia[0] <= 1


@pytest.mark.parametrize("apart", [0.5, 3.0])
def test_passes_over_the_sample_are_those_over_everyone_who_is_in_it(apart: float) -> None:
    matrix = on_grid(blobs(6_000, 3, 6, apart=apart)[0])
    rows, start = torch.from_numpy(matrix), matrix[:6].astype(np.int64)
    seen = passes.sample_passes(rows, start)
    everyone = passes.exact_passes(rows, ListPopulation([matrix]), start, "cpu")
    np.testing.assert_array_equal(seen.centers, everyone.centers)
    assert (seen.inertia, seen.inertia_before) == (everyone.inertia, everyone.inertia_before)
    assert seen.n_passes == everyone.n_passes > 2


def test_passes_over_the_sample_say_whether_they_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = on_grid(blobs(6_000, 3, 6, apart=0.5)[0])
    rows, start = torch.from_numpy(matrix), matrix[:6].astype(np.int64)
    assert passes.sample_passes(rows, start).converged
    monkeypatch.setattr(passes, "MOST_PASSES", 2)
    cut_short = passes.sample_passes(rows, start)
    assert (cut_short.converged, cut_short.n_passes) == (False, 2)


def test_a_centre_without_members_in_the_sample_waits_there() -> None:
    seen = passes.sample_passes(torch.tensor([[0.0], [2.0], [10.0]]), np.array([[0], [9], [900]]))
    assert seen.centers.tolist() == [[1], [10], [900]]


def test_a_parent_that_no_longer_holds_goes_through_the_sample_and_not_through_many_passes() -> None:
    population = on_grid(blobs(40_000, 3, 6, apart=1.0)[0])
    sample = torch.from_numpy(population[:20_000].copy())
    parent = population[:6].astype(np.int64)
    plainly = passes.exact_passes(sample, ListPopulation([population]), parent, "cpu")
    settled = passes.warm_passes(sample, ListPopulation([population]), parent, "cpu")
    assert settled.n_passes < plainly.n_passes / 2
    assert settled.inertia < 1.01 * plainly.inertia
    assert settled.inertia_before == plainly.inertia_before
    again = passes.warm_passes(sample, ListPopulation([population]), settled.centers, "cpu")
    np.testing.assert_array_equal(again.centers, settled.centers)
    assert again.n_passes == 1


def test_a_segment_that_is_not_in_the_sample_stays_itself() -> None:
    crowd = on_grid(blobs(5_000, 2, 2, apart=8.0)[0])
    few = np.array([[900_000, 900_000], [900_002, 900_002]], np.float32)
    sample, population = torch.from_numpy(crowd), ListPopulation([crowd, few])
    parent = np.array([crowd[0] + 30_000, [900_010, 900_010], crowd[1] + 30_000], np.int64)
    settled = passes.warm_passes(sample, population, parent, "cpu")
    assert settled.placed.origins.tolist() == [0, 1, 2]
    assert settled.centers[1].tolist() == [900_001, 900_001]
    assert settled.counts[1] == 2


def test_a_parent_that_moves_is_told_from_its_first_pass_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.random.default_rng(5).integers(-500, 500, size=(900, 2)).astype(np.float32)
    sample, parent = torch.from_numpy(matrix), np.array([[-400, 0], [0, 0], [400, 400]])
    at_once = passes.warm_passes(sample, ListPopulation([matrix]), parent, "cpu")
    monkeypatch.setattr(passes, "surely_gains", lambda *_: False)
    by_looking = passes.warm_passes(sample, ListPopulation([matrix]), parent, "cpu")
    assert at_once.n_passes == by_looking.n_passes - 1
    assert (at_once.inertia, at_once.inertia_before) == (by_looking.inertia, by_looking.inertia_before)
    np.testing.assert_array_equal(at_once.centers, by_looking.centers)
    np.testing.assert_array_equal(at_once.counts, by_looking.counts)
