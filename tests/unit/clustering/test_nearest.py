"""The exact kernel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segjob.clustering import kernels
from segjob.clustering.nearest import as_rows, assign, resolve_device, tally

coordinates = st.integers(-(2**20), 2**20)
few = st.integers(-2, 2)


def matrices(elements, max_rows: int):
    return arrays.arrays(np.int64, st.tuples(st.integers(1, max_rows), st.just(3)), elements=elements)


def brute_force(rows: np.ndarray, centers: np.ndarray) -> np.ndarray:
    difference = rows.astype(object)[:, None] - centers.astype(object)[None]
    return np.asarray((difference * difference).sum(axis=2))


@settings(max_examples=80)
@given(matrices(coordinates | few, 30), matrices(coordinates | few, 6))
def test_the_two_nearest_are_those_of_exact_arithmetic_and_ties_go_to_the_lowest(rows, centers) -> None:
    found = assign(as_rows(rows.astype(np.float32), "cpu"), centers)
    for position, distances in enumerate(brute_force(rows, centers)):
        order = sorted(range(len(centers)), key=lambda index: (distances[index], index))
        assert found.index[position] == order[0]
        assert found.squared[position] == distances[order[0]]
        if len(centers) > 1:
            assert found.runner_up[position] == order[1]
            assert found.runner_up_squared[position] == distances[order[1]]
        else:
            assert (found.runner_up[position], found.runner_up_squared[position]) == (-1, 0)


@settings(max_examples=60)
@given(matrices(coordinates | few, 40), arrays.arrays(np.int64, (2, 4, 3), elements=coordinates | few))
def test_a_tally_is_the_sums_of_the_assignment_for_every_set_of_centres(rows, centers) -> None:
    found = tally(as_rows(rows.astype(np.float64), "cpu"), centers)
    for index, one in enumerate(centers):
        distances = brute_force(rows, one)
        labels = np.argmin(distances, axis=1)
        assert found.inertia[index] == distances.min(axis=1).sum()
        assert found.counts[index].tolist() == np.bincount(labels, minlength=4).tolist()
        assert found.sums[index].tolist() == [rows[labels == each].sum(axis=0).tolist() for each in range(4)]


@settings(max_examples=60)
@given(matrices(coordinates | few, 40), matrices(coordinates | few, 5), st.integers(1, 39))
def test_a_tally_knows_the_inertia_of_each_centre_where_it_is_asked(rows, centers, cut) -> None:
    first, second = (
        tally(as_rows(part.astype(np.float64), "cpu"), centers[None], by_member=True) for part in np.split(rows, [cut])
    )
    distances = brute_force(rows, centers)
    expected = [distances[np.argmin(distances, axis=1) == each, each].sum() for each in range(len(centers))]
    found = first.merge(second)
    assert found.inertias.tolist() == [expected]
    assert found.inertia == (sum(expected),)
    order = np.arange(len(centers))[::-1]
    assert found.take(order).inertias.tolist() == [expected[::-1]]


def corners(n_rows: int) -> tuple[torch.Tensor, np.ndarray]:
    random = np.random.default_rng(0)
    rows = random.choice([-(2.0**20), 2.0**20], (n_rows, 128)).astype(np.float32)
    return torch.from_numpy(rows), rows[:7].astype(np.int64)[None]


def test_128_columns_at_the_limit_of_the_grid_are_summed_without_error() -> None:
    rows, centers = corners(4_000)
    found = tally(rows, centers)
    expected = brute_force(rows.numpy().astype(np.int64)[:50], centers[0])
    assert assign(rows[:50], centers[0]).squared.tolist() == expected.min(axis=1).tolist()
    assert found.inertia[0] == int(assign(rows, centers[0]).squared.astype(object).sum())


@pytest.mark.parametrize("elements", [1, 1_000, 2**24])
def test_the_size_of_the_blocks_does_not_change_one_bit(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, centers = corners(300)
    expected = tally(rows, centers)
    monkeypatch.setattr(kernels, "BLOCK_ELEMENTS", elements)
    found = tally(rows, centers)
    assert found.inertia == expected.inertia
    np.testing.assert_array_equal(found.sums, expected.sums)


def test_tallies_merge_to_that_of_all_rows() -> None:
    rows, centers = corners(500)
    merged = tally(rows[:100], centers).merge(tally(rows[100:], centers))
    assert merged.inertia == tally(rows, centers).inertia
    np.testing.assert_array_equal(merged.counts, tally(rows, centers).counts)


def test_read_only_matrices_are_taken_without_a_warning() -> None:
    matrix = np.ones((3, 2), np.float32)
    matrix.flags.writeable = False
    assert as_rows(matrix, "cpu").tolist() == [[1.0, 1.0]] * 3


def test_no_rows_have_no_assignment() -> None:
    assert len(assign(torch.empty(0, 2), np.zeros((3, 2), np.int64)).index) == 0


@pytest.mark.parametrize(
    ("asked", "there", "expected"),
    [
        ("cpu", True, "cpu"),
        ("auto", True, "cuda"),
        ("auto", False, "cpu"),
        ("cuda", True, "cuda"),
        ("cuda", False, "cpu"),
    ],
)
def test_the_device_falls_back_to_the_cpu_and_says_so_when_a_gpu_was_asked_for(
    asked: str, there: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    device, sentence = resolve_device(asked)
    assert device == expected
    assert (sentence is not None) == (asked == "cuda" and not there)
