"""Exact passes over everyone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from segjob.clustering import passes
from segjob.clustering.kmeans import fit
from tests.unit.clustering.conftest import ListPopulation, blobs, on_grid


def test_the_inertia_never_rises_from_pass_to_pass_and_the_kept_pass_is_the_last_that_pays() -> None:
    matrix = on_grid(blobs(6_000, 3, 6, apart=3.0)[0])
    rows = torch.from_numpy(matrix)
    start = matrix[:6].astype(np.int64)
    passed = passes.lloyd_passes(rows, ListPopulation([matrix]), passes.Placed(start, np.arange(6)), "cpu")
    inertias = [found.inertia[0] for _, (_, found) in zip(range(60), passed, strict=False)]
    assert all(after <= before for before, after in pairwise(inertias))
    settled = passes.exact_passes(rows, ListPopulation([matrix]), start, "cpu")
    gains = [(before - after) / before for before, after in pairwise(inertias)]
    kept = next(index for index, gain in enumerate(gains) if gain < 1e-5)
    assert settled.tally.inertia[0] == inertias[kept]
    assert settled.n_passes == kept + 2


def test_a_fit_that_starts_from_its_own_result_keeps_it() -> None:
    matrix = on_grid(blobs(6_000, 3, 6, apart=1.0)[0])
    found = fit(matrix, ListPopulation([matrix]), 6, seed=1, unit=1.0, device="cpu")
    again = passes.exact_passes(torch.from_numpy(matrix), ListPopulation([matrix]), found.centers, "cpu")
    np.testing.assert_array_equal(again.centers, found.centers)
    assert again.n_passes == 2


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


def test_a_centre_that_loses_its_members_among_all_customers_is_moved() -> None:
    sample = torch.tensor([[0.0], [100.0], [200.0]])
    population = ListPopulation([np.array([[0], [1], [100], [200]], np.float32)])
    settled = passes.exact_passes(sample, population, np.array([[0], [10_000], [120]]), "cpu")
    assert settled.tally.counts.min() > 0
    assert settled.tally.inertia[0] <= 1
