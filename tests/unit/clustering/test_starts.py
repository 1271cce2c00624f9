"""Where the fit begins."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from segjob.clustering import tournament
from segjob.clustering.cores import use_threads
from segjob.clustering.starts import Level, extend, farthest_rows, refine, repair, seed_centers
from segjob.clustering.tournament import find_start
from tests.unit.clustering.conftest import blobs


def rows_from(matrix: object) -> torch.Tensor:
    return torch.from_numpy(np.asarray(matrix, np.float32))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_seeds_are_rows_and_differ_within_a_start() -> None:
    rows = rows_from(np.rint(blobs(500, 3, 5)[0] * 100))
    seeds = seed_centers(rows, 6, 4, generator())
    assert seeds.shape == (4, 6, 3)
    known = set(map(tuple, rows.tolist()))
    for start in seeds:
        assert len(set(map(tuple, start.tolist()))) == 6
        assert set(map(tuple, start.tolist())) <= known


def test_greedy_seeding_finds_every_separated_cloud() -> None:
    matrix, truth = blobs(3_000, 4, 10, apart=40.0)
    seeds = seed_centers(rows_from(np.rint(matrix * 1000)), 10, 32, generator())
    found = [len({truth[np.abs(matrix * 1000 - seed).sum(1).argmin()] for seed in start}) for start in seeds]
    assert np.mean(np.array(found) == 10) > 0.9


def test_with_fewer_distinct_rows_there_are_fewer_seeds() -> None:
    assert seed_centers(rows_from([[1, 1], [2, 2], [1, 1]] * 5), 4, 8, generator()).shape == (8, 2, 2)


def test_one_cluster_starts_at_the_mean() -> None:
    start = find_start(rows_from([[0, 0], [10, 20], [20, 10]]), 1, generator())
    assert start.centers.tolist() == [[10, 10]]


def test_the_best_start_is_as_good_as_scikit_learn_with_thirty() -> None:
    matrix = np.rint(blobs(1_500, 2, 9, apart=3.0)[0] * 1000)
    start = find_start(rows_from(matrix), 9, generator())
    oracle = KMeans(9, n_init=30, tol=1e-8, random_state=0).fit(matrix)
    assert start.tally.inertia[0] <= oracle.inertia_ * 1.0005


def test_more_rows_lose_no_start_but_the_worse_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = (Level(200, 16, 1e-3, 20), Level(800, 4, 1e-4, 20), Level(3_000, 2, 1e-5, 100))
    monkeypatch.setattr(tournament, "LEVELS", levels)
    matrix = np.rint(blobs(5_000, 3, 7, apart=4.0)[0] * 1000)
    start = find_start(rows_from(matrix), 7, generator())
    assert start.n_rows == 3_000
    assert start.tally.counts.sum() == 3_000
    oracle = KMeans(7, n_init=20, random_state=0).fit(matrix[:3_000])
    assert start.tally.inertia[0] <= oracle.inertia_ * 1.001
    assert start.inertia_before >= start.tally.inertia[0]


def test_a_larger_sample_supplies_the_centres_that_a_small_one_had_no_rows_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tournament, "LEVELS", (Level(10, 4, 0.0, 9), Level(20, 2, 0.0, 9), Level(40, 2, 0.0, 9)))
    rows = rows_from([[0, 0]] * 10 + [[5, 5]] * 10 + [[9, 0]] * 20)
    assert sorted(find_start(rows, 3, generator()).centers.tolist()) == [[0, 0], [5, 5], [9, 0]]


def test_lloyd_never_raises_the_inertia_beyond_the_rounding_to_the_grid() -> None:
    rows = rows_from(np.rint(blobs(2_000, 3, 6, apart=2.0)[0] * 1000))
    centers = seed_centers(rows, 6, 8, generator())
    refined = [refine(rows, centers, Level(0, 0, 0.0, iterations)) for iterations in range(1, 12)]
    for earlier, later in pairwise(refined):
        pairs = zip(earlier.tallies, later.tallies, strict=True)
        assert all(b.inertia[0] <= a.inertia[0] + 2_000 for a, b in pairs)


def test_a_centre_without_members_moves_to_the_farthest_row() -> None:
    rows = rows_from([[0, 0], [1, 0], [0, 1], [50, 50], [90, 90]])
    moved = repair(rows, np.array([[0, 0], [-900, 0], [-800, 0]]), np.array([5, 0, 0]))
    assert moved.tolist() == [[0, 0], [90, 90], [50, 50]]


def test_where_every_row_is_on_a_centre_an_empty_one_stays() -> None:
    rows = rows_from([[0, 0], [0, 0]])
    assert repair(rows, np.array([[0, 0], [7, 7]]), np.array([2, 0])).tolist() == [[0, 0], [7, 7]]
    assert farthest_rows(rows, np.array([[0, 0]]), 3).shape == (0, 2)
    assert extend(rows, np.zeros((2, 1, 2), np.int64), 4).shape == (2, 1, 2)


def test_the_same_generator_gives_the_same_start_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tournament, "LEVELS", tuple(Level(8_000, 4, 0.0, 3) for _ in range(3)))
    rows = rows_from(np.rint(blobs(9_000, 4, 5, apart=3.0)[0] * 10_000))
    found = []
    for n_threads in (2, 1):
        use_threads(n_threads)
        found.append(find_start(rows, 5, generator(7)))
    assert found[0].tally.inertia == found[1].tally.inertia
    np.testing.assert_array_equal(found[0].centers, found[1].centers)
