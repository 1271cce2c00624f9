"""Swaps of centres out of local optima."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from segjob.clustering.nearest import tally
from segjob.clustering.swaps import different_swaps, nearest_two, swap_centers, swap_costs, tally_swapped
from tests.unit.clustering.conftest import blobs, on_grid


def swapped_from(rows: torch.Tensor, centers: np.ndarray, seed: int = 0):
    return swap_centers(rows, centers, tally(rows, centers[None]), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scale", [100, 100_000])
def test_the_cost_of_a_swap_is_the_inertia_that_it_leaves(scale: int) -> None:
    rows = torch.from_numpy(on_grid(blobs(500, 2, 4)[0], scale))
    centers, incoming = rows[:4].numpy().astype(np.int64), rows[10:13].to(torch.float64)
    costs = swap_costs(rows, nearest_two(rows, centers), incoming, 4)
    for place in range(3):
        for outgoing in range(4):
            swapped = centers.copy()
            swapped[outgoing] = incoming[place].numpy()
            assert costs[place, outgoing] == tally(rows, swapped[None]).inertia[0]


def test_the_tally_of_a_swap_is_that_of_a_pass_with_the_swapped_centres() -> None:
    """On few places, so that many rows are as far from one centre as from another, or lie on the same."""
    random = np.random.default_rng(2)
    for n_columns in (1, 2, 5):
        rows = torch.from_numpy(random.integers(-4, 5, size=(40_000, n_columns)).astype(np.float32))
        centers = rows[:6].numpy().astype(np.int64)
        found, neighbours = tally(rows, centers[None]), nearest_two(rows, centers)
        swapped = np.repeat(centers[None], 6, axis=0)
        swapped[range(6), range(6)] = rows[100:106].numpy()
        told, expected = tally_swapped(rows, neighbours, found, swapped, range(6)), tally(rows, swapped)
        assert told.inertia == expected.inertia
        np.testing.assert_array_equal(told.counts, expected.counts)
        np.testing.assert_array_equal(told.sums, expected.sums)


def test_two_centres_in_one_cloud_and_one_for_two_clouds_are_put_right() -> None:
    random = np.random.default_rng(0)
    clouds = np.array([[0, 0], [9_000, 0], [10_000, 0]])
    matrix = (clouds[np.arange(900) % 3] + random.normal(scale=50, size=(900, 2))).round().astype(np.float32)
    stuck = np.array([[-50, 0], [50, 0], [9_500, 0]])
    found = swapped_from(torch.from_numpy(matrix), stuck)
    assert found.tally.inertia[0] < found.inertia_before / 10
    assert found.tally.counts.tolist() == [[300, 300, 300]] or sorted(found.tally.counts[0]) == [300, 300, 300]


def test_swaps_never_raise_the_inertia_and_the_tally_is_that_of_the_centres() -> None:
    rows = torch.from_numpy(on_grid(blobs(2_000, 3, 9, apart=2.0)[0]))
    for seed in range(3):
        found = swapped_from(rows, rows[seed : seed + 12].numpy().astype(np.int64), seed)
        assert found.tally.inertia[0] <= found.inertia_before
        assert found.tally.inertia == tally(rows, found.centers[None]).inertia


def test_a_single_start_with_swaps_is_as_good_as_scikit_learn_with_thirty() -> None:
    matrix = on_grid(blobs(2_000, 3, 15, apart=3.0)[0])
    found = swapped_from(torch.from_numpy(matrix), matrix[:15].astype(np.int64))
    oracle = KMeans(15, n_init=30, random_state=0).fit(matrix.astype(np.float64))
    assert found.tally.inertia[0] <= oracle.inertia_ * 1.003


def test_nothing_is_swapped_with_one_centre_or_where_every_row_is_on_one() -> None:
    rows = torch.tensor([[0.0], [4.0], [4.0]])
    assert swapped_from(rows, np.array([[3]])).rounds == 0
    assert swapped_from(rows, np.array([[0], [4]])).rounds == 0


def test_of_swaps_between_two_clusters_only_the_cheapest_is_tried() -> None:
    costs = np.array([[1, 9, 9], [2, 8, 9], [4, 3, 9]])
    assert different_swaps(costs, np.array([0, 0, 1])) == [(0, 0), (2, 1), (2, 0)]


def test_the_order_of_rows_does_not_matter_to_the_costs_even_beyond_exact_sums() -> None:
    random = np.random.default_rng(1)
    matrix = random.integers(-(2**20), 2**20, size=(3_000, 60)).astype(np.float32)
    centers, incoming = matrix[:5].astype(np.int64), torch.from_numpy(matrix[7:9]).to(torch.float64)
    shuffled = random.permutation(matrix)
    costs = [
        swap_costs(rows, nearest_two(rows, centers), incoming, 5) for rows in map(torch.from_numpy, (matrix, shuffled))
    ]
    assert torch.equal(costs[0], costs[1])
