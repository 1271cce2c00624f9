"""Exact passes over every customer: the end of every fit, and all of a warm one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from torch import Tensor

from segjob.clustering.nearest import Tally, as_rows, tally
from segjob.clustering.starts import farthest_rows, means
from segjob.records.population import Population

MOST_PASSES = 300
SMALLEST_GAIN = 100_000  # a pass that gains less than one part in so many of the inertia ends the fit
MOST_ORDERINGS = 4


@dataclass(frozen=True)
class Placed:
    """Centres (k, d), and for each the position (k,) of the one it began as; -1 for one that was moved away since."""

    centers: np.ndarray
    origins: np.ndarray

    def take(self, positions: np.ndarray) -> Placed:
        return Placed(self.centers[positions], self.origins[positions])


@dataclass(frozen=True)
class Settled:
    """Where the exact passes ended: the centres that are kept, with the tally of the pass that measured them."""

    placed: Placed
    tally: Tally
    n_passes: int
    inertia_before: int
    converged: bool

    @property
    def centers(self) -> np.ndarray:
        return self.placed.centers

    @property
    def inertia(self) -> int:
        return self.tally.inertia[0]

    @property
    def counts(self) -> np.ndarray:
        """Members of each centre, (k,) int64."""
        return np.asarray(self.tally.counts[0])


def exact_passes(
    sample: Tensor, population: Population[np.ndarray], centers: np.ndarray | Placed, device: str
) -> Settled:
    """Lloyd's passes over everyone: keep the first centres whose next pass gains less than 1e-5 of the inertia."""
    placed = centers if isinstance(centers, Placed) else Placed(centers, np.arange(len(centers)))
    passes = lloyd_passes(sample, population, placed, device)
    kept, found = next(passes)
    inertia_before = found.inertia[0]
    for n_passes, (following, following_tally) in enumerate(passes, start=2):
        if found.counts.all() and gains_too_little(found.inertia[0], following_tally.inertia[0]):
            return Settled(kept, found, n_passes, inertia_before, converged=True)
        kept, found = following, following_tally
    return Settled(kept, found, MOST_PASSES, inertia_before, converged=False)


def ordered_passes(sample: Tensor, population: Population[np.ndarray], centers: np.ndarray, device: str) -> Settled:
    """The same with the largest segment first.

    Rows that are as far from two centres go to the first, so another order may give other members: where the order
    changes, the passes begin again from there, and what is kept holds in the order in which it is kept.
    """
    settled = exact_passes(sample, population, centers, device)
    for _ in range(MOST_ORDERINGS):
        ordered = in_order(settled)
        if not settled.converged or np.array_equal(ordered.centers, settled.centers):
            return ordered
        again = exact_passes(sample, population, ordered.placed, device)
        n_passes = settled.n_passes + again.n_passes
        settled = replace(again, n_passes=n_passes, inertia_before=settled.inertia_before)
    return in_order(settled)


def in_order(settled: Settled) -> Settled:
    """The same centres, the largest first, without those that have no members."""
    order = largest_first(settled.centers, settled.counts)
    return replace(settled, placed=settled.placed.take(order), tally=settled.tally.take(order))


def largest_first(centers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The order of the segments: by size, ties by the centres; those without members are left out."""
    order = np.lexsort([*centers.T[::-1], -counts])
    return np.asarray(order[counts[order] > 0])


def gains_too_little(inertia: int, following: int) -> bool:
    return (inertia - following) * SMALLEST_GAIN < max(inertia, 1)


def lloyd_passes(
    sample: Tensor, population: Population[np.ndarray], placed: Placed, device: str
) -> Iterator[tuple[Placed, Tally]]:
    """Centres and their exact tally, pass after pass."""
    squares: int | None = None
    for _ in range(MOST_PASSES):
        found = tally_all(population, placed.centers, device, squares)
        squares = found.squares
        yield placed, found
        placed = next_centers(sample, placed, found)


def tally_all(
    population: Population[np.ndarray], centers: np.ndarray, device: str, squares: int | None = None
) -> Tally:
    """One pass over everyone with these centres (k, d); what an earlier one found of `squares` saves it some work."""
    found = population.reduce(partial(tally_chunk, centers=centers, device=device, squared=squares is None))
    return found if squares is None else replace(found, squares=squares)


def tally_chunk(matrix: np.ndarray, centers: np.ndarray, device: str, squared: bool) -> Tally:
    return tally(as_rows(matrix, device), centers[None], None if squared else 0)


def next_centers(sample: Tensor, placed: Placed, found: Tally) -> Placed:
    """The members' means. A centre without members goes to the farthest sample row, or away where all are on one."""
    moved: np.ndarray = means(found)[0]
    empty = np.flatnonzero(found.counts[0] == 0)
    if not len(empty):
        return replace(placed, centers=moved)
    far = farthest_rows(sample, np.delete(moved, empty, axis=0), len(empty))
    filled, origins = empty[: len(far)], placed.origins.copy()
    moved[filled], origins[filled] = far, -1
    kept = np.setdiff1d(np.arange(len(moved)), empty[len(far) :])
    return Placed(moved, origins).take(kept)
