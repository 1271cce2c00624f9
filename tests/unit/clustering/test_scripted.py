"""What torch runs by itself gives the bits that Python gives."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np
import pytest
import torch

from segjob.clustering import kernels, kmeans, nearest
from segjob.clustering.kmeans import Fit, fit
from segjob.clustering.labels import label_blocks
from segjob.clustering.near import two_nearest_of_all
from segjob.clustering.scripted import SLOWER, is_compiled, scripted
from segjob.clustering.squared_silhouette import means_of
from segjob.clustering.summing import NumberSteps, place_sums_of_all
from segjob.clustering.swap_kernels import swap_changes, swap_sums
from segjob.clustering.swaps import nearest_two
from segjob.preload import TRIED
from tests.unit.clustering.conftest import ListPopulation

P = ParamSpec("P")
T = TypeVar("T")
KERNELS = (
    kernels.tally_blocks,
    kernels.nearest_positions,
    kernels.moment_sums,
    two_nearest_of_all,
    place_sums_of_all,
    label_blocks,
    swap_sums,
    swap_changes,
)

tried = pytest.mark.skipif(torch.__version__ not in TRIED, reason="other builds of torch may have no TorchScript")


def double(values: torch.Tensor) -> torch.Tensor:
    return values * 2.0


def same(one, other) -> bool:
    return all(
        torch.equal(mine, theirs) if isinstance(mine, torch.Tensor) else mine == theirs
        for mine, theirs in zip(one, other, strict=True)
    )


def ways(kernel: Callable[P, T]) -> tuple[Callable[P, T], Callable[P, T]]:
    """Compiled, and as it is written."""
    return kernel, inspect.unwrap(kernel)


@tried
def test_the_kernels_are_compiled_and_nothing_is_warned_of() -> None:
    assert all(is_compiled(kernel) for kernel in KERNELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_compiled(scripted(double))


@pytest.mark.parametrize("coordinates", [3, 2**20])
@pytest.mark.parametrize("at_once", [1, 7, 1_000])
def test_who_is_nearest_is_the_same_compiled_or_not(coordinates: int, at_once: int) -> None:
    draw = np.random.default_rng(coordinates)
    rows = torch.from_numpy(draw.integers(-coordinates, coordinates, (300, 4)).astype(np.float32))
    centers = torch.from_numpy(draw.integers(-coordinates, coordinates, (2 * 5, 4)).astype(np.float64))
    for by_member in (False, True):
        asked = rows, centers, 2, at_once, by_member
        assert same(kernels.tally_blocks(*asked), inspect.unwrap(kernels.tally_blocks)(*asked))
    found = kernels.nearest_positions(rows, centers, at_once)
    assert torch.equal(found, inspect.unwrap(kernels.nearest_positions)(rows, centers, at_once))


@pytest.mark.parametrize("least", [None, -1.0])
@pytest.mark.parametrize("at_once", [1, 7, 1_000])
def test_sums_of_numbers_are_the_same_compiled_or_not(least: float | None, at_once: int) -> None:
    values = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 300)))
    if least is not None:
        values[0, :5] = torch.tensor([np.nan, np.inf, -np.inf, -1.0, -2.0])
    bounds = None if least is None else torch.full((3, 1), least, dtype=torch.float64)
    asked = values, torch.full((3, 1), 2.0**58, dtype=torch.float64), bounds, at_once
    found = kernels.moment_sums(*asked)
    assert torch.equal(found, inspect.unwrap(kernels.moment_sums)(*asked))
    assert found[0, 0] == (0 if least is None else int((~(values[0] > least) | values[0].isinf()).sum()))


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("at_once", [1, 7, 1_000])
def test_labels_and_all_that_is_summed_beside_are_the_same_compiled_or_not(k: int, at_once: int) -> None:
    """Many rows are as near to one centre as to another, and some numbers are missing."""
    draw = np.random.default_rng(k)
    rows = torch.from_numpy(draw.integers(-3, 3, (300, 2)).astype(np.float32))
    centers = draw.integers(-3, 3, (k, 2))
    numbers = torch.from_numpy(np.where(draw.random((3, 300)) < 0.1, np.nan, draw.normal(size=(3, 300))))
    steps = NumberSteps(*(torch.full((3, 1), value, dtype=torch.float64) for value in (2.0**58, -1.0)))
    means = means_of(nearest.tally(rows, centers[None], by_member=True), "cpu")
    places = torch.from_numpy(centers.astype(np.float64))
    found = label_blocks(rows, numbers, places, steps, means, at_once)
    assert same(found, inspect.unwrap(label_blocks)(rows, numbers, places, steps, means, at_once))
    assert same(found, label_blocks(rows, numbers, places, steps, means, 64))
    for kernel, expected in ((two_nearest_of_all, found[0]), (place_sums_of_all, found[1])):
        assert torch.equal(kernel(rows, places, at_once), expected)
        assert torch.equal(inspect.unwrap(kernel)(rows, places, at_once), expected)


@pytest.mark.parametrize("steps", [1.0, 8.0])
def test_what_swaps_change_is_the_same_compiled_or_not_and_for_any_blocks(steps: float) -> None:
    """Many rows are as near to one centre as to another."""
    draw = np.random.default_rng(5)
    rows = torch.from_numpy(draw.integers(-9, 9, (300, 2)).astype(np.float32))
    centers = draw.integers(-9, 9, (4, 2))
    near, incoming = nearest_two(rows, centers), torch.from_numpy(draw.integers(-9, 9, (3, 2)).astype(np.float64))
    costs = [one(rows, near, incoming, 4, steps, n) for one in ways(swap_sums) for n in (1, 7, 1_000)]
    assert same(costs[1:], costs[:1] * 5)
    moves = [one(rows, near, incoming, [2, 0, 2], 4, n) for one in ways(swap_changes) for n in (1, 7, 1_000)]
    assert all(same(one, moves[0]) for one in moves)


def test_where_torch_compiles_no_more_the_function_itself_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.jit, "script")
    assert scripted(double) is double
    assert torch.equal(double(torch.ones(2)), torch.full((2,), 2.0))


def test_what_can_not_be_compiled_runs_as_it_is() -> None:
    def of_its_size(values: torch.Tensor) -> int:
        return sys.getsizeof(values)

    assert scripted(of_its_size) is of_its_size


@tried
def test_an_error_in_a_compiled_function_is_told_with_its_cause() -> None:
    rows, centers = torch.zeros(4, 3), torch.zeros(2, 5, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        kernels.tally_blocks(rows, centers, 1, 2, False)


@tried
def test_an_error_that_lost_its_cause_is_memory_that_gave_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was once told, when address space gave out in `memberships`."""

    def cut_short(values: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(
            "The following operation failed in the TorchScript interpreter.\n"
            "Traceback of TorchScript (most recent call last):\n"
            '  File "kernels.py", line 92, in tally_blocks\n'
            "        members = center_scores(block, centers)  # note: the scores as yet\n"
            "        _, found, block_tied = memberships(by_set, by_set)\n"
            "                               ~~~~~~~~~~~ <--- HERE\n"
            "        counts += found\n"
            "  \n"
        )

    monkeypatch.setattr(torch.jit, "script", lambda _: cut_short)
    with pytest.raises(MemoryError):
        scripted(double)(torch.ones(2))


def test_a_fit_that_is_slower_than_it_could_be_says_so_and_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(2).integers(-1_000, 1_000, (500, 3)).astype(np.float32)

    def found() -> Fit:
        return fit(rows, ListPopulation([rows]), 4, seed=1, unit=1.0, device="cpu")

    usual = found()
    for module in (kmeans, nearest):
        monkeypatch.setattr(module, "tally_blocks", inspect.unwrap(kernels.tally_blocks))
    slower = found()
    assert SLOWER in slower.warnings
    assert np.array_equal(slower.centers, usual.centers)
    assert slower.inertia == usual.inertia


@tried
def test_a_fit_that_is_not_says_nothing() -> None:
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    assert fit(rows, ListPopulation([rows]), 2, seed=1, unit=1.0, device="cpu").warnings == ()
