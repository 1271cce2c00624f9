"""Exact passes over every customer: the end of every fit, and all of a warm one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from torch import Tensor

from segjob.clustering.cores import tally_at_once
from segjob.clustering.nearest import Tally, as_rows, tally
from segjob.clustering.starts import farthest_rows, means
from segjob.clustering.tournament import START_ROWS
from segjob.records.population import Population

MOST_PASSES = 300
SMALLEST_GAIN = 100_000  # a pass that gains less than one part in so many of the inertia ends the fit
WITH_SIDES = 2
"""What a pass gains at most, in gains of the centres' moves alone.

With everybody kept where they are, the inertia is a parabola over the centres, and a pass goes to its lowest point.
Those who change sides make it flatter, near a minimum no flatter than a plane, which doubles the gain.
"""

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


def warm_passes(sample: Tensor, population: Population[np.ndarray], centers: np.ndarray, device: str) -> Settled:
    """Exact passes from the centres of a parent, which are kept where the first of them shows that they still hold.

    Where they do not, it would take many: those centres go through Lloyd's iterations on the sample first.
    """
    seen, begun = sample[:START_ROWS], Placed(centers, np.arange(len(centers)))
    found = tally_all(population, centers, device)
    following = next_centers(seen, begun, found)
    n_passes = 1
    if holds(found, following.centers):
        return Settled(begun, found, n_passes, found.inertia[0], converged=True)
    if found.counts.all() and not surely_gains(found, following.centers):
        n_passes = 2
        gained = tally_all(population, following.centers, device)
        if gains_too_little(found, gained):
            return Settled(begun, found, n_passes, found.inertia[0], converged=True)
    near = following.centers
    for rows in (seen, sample):
        near = sample_passes(rows, near).centers
    settled = exact_passes(seen, population, replace(following, centers=near), device)
    return replace(settled, n_passes=n_passes + settled.n_passes, inertia_before=found.inertia[0])


def surely_gains(found: Tally, following: np.ndarray) -> bool:
    """Whether centres (k, d) gain enough to be followed even if nobody changes sides, which only adds to the gain."""
    return not too_little(gain_of_moves(found, following), found)


def holds(found: Tally, following: np.ndarray) -> bool:
    """Whether a pass with the centres (k, d) that follow need not be made, since it would gain too little."""
    return bool(found.counts.all()) and too_little(WITH_SIDES * gain_of_moves(found, following), found)


def gain_of_moves(found: Tally, following: np.ndarray) -> int:
    """What centres (k, d) gain if nobody changes sides, squared grid units."""
    return found.inertia[0] - replace(found, centers=following[None]).inertia[0]


def too_little(gain: int, found: Tally) -> bool:
    return gain * SMALLEST_GAIN < max(found.inertia[0], 1)


def sample_passes(rows: Tensor, centers: np.ndarray) -> Settled:
    """Lloyd's iterations on some rows, by the same rule as passes over everyone: where these are few, or come later.

    A centre without members among these rows stays where it is.
    """
    placed, found = Placed(centers, np.arange(len(centers))), tally_at_once(rows, centers[None])
    inertia_before = found.inertia[0]
    for n_passes in range(1, MOST_PASSES):
        following = replace(placed, centers=means(found)[0])
        if holds(found, following.centers):
            return Settled(placed, found, n_passes, inertia_before, converged=True)
        gained = tally_at_once(rows, following.centers[None], found.squares)
        if gains_too_little(found, gained):
            return Settled(placed, found, n_passes + 1, inertia_before, converged=True)
        placed, found = following, gained
    return Settled(placed, found, MOST_PASSES, inertia_before, converged=False)


def exact_passes(
    sample: Tensor,
    population: Population[np.ndarray],
    centers: np.ndarray | Placed,
    device: str,
) -> Settled:
    """Lloyd's passes over everyone: keep the first centres whose next pass gains less than 1e-5 of the inertia.

    That pass is made only where it can not be told before (`holds`).
    """
    placed = centers if isinstance(centers, Placed) else Placed(centers, np.arange(len(centers)))
    found = tally_all(population, placed.centers, device)
    inertia_before = found.inertia[0]
    for n_passes in range(1, MOST_PASSES):
        following = next_centers(sample, placed, found)
        if holds(found, following.centers):
            return Settled(placed, found, n_passes, inertia_before, converged=True)
        gained = tally_all(population, following.centers, device)
        if found.counts.all() and gains_too_little(found, gained):
            return Settled(placed, found, n_passes + 1, inertia_before, converged=True)
        placed, found = following, gained
    return Settled(placed, found, MOST_PASSES, inertia_before, converged=False)


def ordered_passes(sample: Tensor, population: Population[np.ndarray], centers: np.ndarray, device: str) -> Settled:
    """The same with the largest segment first.

    Rows that are as far from two centres go to the first, so another order may give them others: where there are such
    rows and the order changes, the passes begin again from there, and what is kept holds in the order in which it is
    kept.
    """
    settled = exact_passes(sample, population, centers, device)
    for _ in range(MOST_ORDERINGS):
        ordered = in_order(settled)
        if not (settled.converged and settled.tally.tied) or np.array_equal(ordered.centers, settled.centers):
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


def gains_too_little(found: Tally, following: Tally) -> bool:
    return too_little(found.inertia[0] - following.inertia[0], found)


def tally_all(population: Population[np.ndarray], centers: np.ndarray, device: str) -> Tally:
    """One pass over everyone with these centres (k, d), which finds the squares of their members as well."""
    return population.reduce(partial(tally_chunk, centers=centers, device=device))


def tally_chunk(matrix: np.ndarray, centers: np.ndarray, device: str) -> Tally:
    return tally(as_rows(matrix, device), centers[None], by_member=True)


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
