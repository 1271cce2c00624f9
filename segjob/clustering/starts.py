"""Greedy k-means++ starts and their refinement, many sets of centres side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.cores import at_once, tally_at_once
from segjob.clustering.kernels import squared_distances
from segjob.clustering.nearest import Tally

SEEDED_AT_ONCE = 4  # starts: their distances to 2**14 rows still lie in the caches
SAME = 1e-5
"""Starts whose inertias differ by less, relatively, count as one."""


@dataclass(frozen=True)
class Level:
    """One round: so many starts on so many rows, refined until an iteration gains at most `gain` of the inertia.

    With `patience`, a start is also left alone once so many of its last gains would not bring it up to the best one.
    """

    n_rows: int
    n_starts: int
    gain: float
    iterations: int
    patience: int | None = None


def seed_centers(rows: Tensor, n_clusters: int, n_starts: int, generator: torch.Generator) -> np.ndarray:
    """Greedy k-means++ (Arthur, Vassilvitskii 2007; 2 + ln k candidates a step), all starts at once.

    Returns
    -------
    (n_starts, k, d) int64: rows; k is smaller where there are fewer distinct ones
    """
    rows = rows.to(torch.float64)
    first = torch.randint(len(rows), (n_starts,), generator=generator)
    shape = (n_clusters - 1, n_starts, 2 + int(math.log(n_clusters)))  # (k - 1, R, T)
    chances = torch.rand(shape, generator=generator, dtype=torch.float64)
    starts = torch.arange(n_starts).chunk(max(n_starts // SEEDED_AT_ONCE, 1))
    chosen = at_once(lambda some: seed_some(rows, first[some], chances[:, some]), starts)
    return rows[torch.cat(chosen)].to(torch.int64).cpu().numpy()


def seed_some(rows: Tensor, first: Tensor, chances: Tensor) -> Tensor:
    """The rows (R, k) that a few starts choose, from their first ones (R,) and the chances (k - 1, R, T) of all."""
    chosen = [first.to(rows.device)]
    closest = squared_distances(rows, rows[chosen[0]]).to(torch.int64)  # (R, n)
    for chance in chances:
        if not bool(closest.any()):
            break
        picked, closest = best_candidates(rows, closest, draw_candidates(closest, chance))
        chosen.append(picked)
    return torch.stack(chosen, dim=1)


def draw_candidates(closest: Tensor, chance: Tensor) -> Tensor:
    """Draw rows with a chance in proportion to their squared distance from what is chosen already.

    Parameters
    ----------
    closest : (R, n) int64
    chance : (R, T) in [0, 1)
    """
    cumulated = closest.cumsum(1)
    total = cumulated[:, -1:]
    drawn = torch.minimum((chance.to(closest.device) * total).to(torch.int64), total - 1)
    return torch.searchsorted(cumulated, drawn, right=True)


def best_candidates(rows: Tensor, closest: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """Of each start's candidates the one that leaves the least inertia, and the squared distances it leaves."""
    n_starts, n_candidates = candidates.shape
    distances = squared_distances(rows, rows[candidates.flatten()]).to(torch.int64).view(n_starts, n_candidates, -1)
    remaining = torch.minimum(distances, closest[:, None], out=distances)
    best = remaining.sum(2).argmin(1)
    each = torch.arange(n_starts, device=rows.device)
    return candidates[each, best], remaining[each, best]


@dataclass(frozen=True)
class Refined:
    """Several starts after Lloyd's iterations: their centres (k, d), tallies and inertias, and the inertias before."""

    centers: list[np.ndarray]
    tallies: list[Tally]
    inertias: list[int]
    inertias_before: tuple[int, ...]
    iterations: int

    @property
    def ranking(self) -> list[int]:
        """The starts by inertia, best first; ties by their number."""
        return sorted(range(len(self.centers)), key=self.inertias.__getitem__)

    @property
    def different(self) -> list[int]:
        """The ranking without starts that ended where a better one did, as far as their inertia tells."""
        kept: list[int] = []
        for start in self.ranking:
            inertia = self.inertias[start]
            if not kept or inertia - self.inertias[kept[-1]] > SAME * inertia:
                kept.append(start)
        return kept


def refine(
    rows: Tensor, centers: np.ndarray, level: Level, to_beat: int | None = None, before: Tally | None = None
) -> Refined:
    """Lloyd's iterations for all starts at once; each is left alone once one gains too little for the level.

    Parameters
    ----------
    rows : (n, d) whole numbers
    centers : (R, k, d) int64
    to_beat : an inertia that the starts race against, besides one another, where the level has patience
    before : the tally of these centres, where it is known
    """
    before = tally_at_once(rows, centers) if before is None else before
    tallies, inertias = [before.one(start) for start in range(len(centers))], list(before.inertia)
    found, gaining, iterations = before, np.arange(len(centers)), 0
    while len(gaining) and iterations < level.iterations:
        found = tally_at_once(rows, lloyd_step(rows, found), before.squares)
        gains = [inertias[start] - new for start, new in zip(gaining, found.inertia, strict=True)]
        for place, start in enumerate(gaining):
            tallies[start], inertias[start] = found.one(place), found.inertia[place]
        best = min(inertias) if to_beat is None else min(*inertias, to_beat)
        going = [goes_on(new, gained, best, level) for new, gained in zip(found.inertia, gains, strict=True)]
        found, gaining = found.only(np.flatnonzero(going)), gaining[going]
        iterations += 1
    return Refined([one.centers[0] for one in tallies], tallies, inertias, before.inertia, iterations)


def goes_on(inertia: int, gained: int, best: int, level: Level) -> bool:
    """Whether a start that has just gained so much is worth another iteration."""
    hopeless = level.patience is not None and inertia - level.patience * gained > best
    return gained > level.gain * (inertia + gained) and not hopeless


def lloyd_step(rows: Tensor, found: Tally) -> np.ndarray:
    """One step of Lloyd's algorithm, from the tally of R starts to their next centres (R, k, d)."""
    moved: np.ndarray = means(found)
    for start in np.flatnonzero((found.counts == 0).any(axis=1)):
        moved[start] = repair(rows, moved[start], found.counts[start])
    return moved


def means(found: Tally) -> np.ndarray:
    """The members' means rounded to the grid, (R, k, d) int64; a centre without members stays."""
    counts = found.counts[..., None]
    moved = np.rint(found.sums / np.maximum(counts, 1)).astype(np.int64)
    return np.where(counts > 0, moved, found.centers)


def repair(rows: Tensor, centers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Move each centre (k, d) without members to the row farthest from all others, while any row is off a centre."""
    empty = np.flatnonzero(counts == 0)
    if not len(empty):
        return centers
    found = farthest_rows(rows, centers[counts > 0], len(empty))
    centers = centers.copy()
    centers[empty[: len(found)]] = found
    return centers


def farthest_rows(rows: Tensor, centers: np.ndarray, n_wanted: int) -> np.ndarray:
    """Rows far from the centres (k, d) and from one another, farthest first; fewer where all others are on a centre."""
    rows = rows.to(torch.float64)
    closest = squared_distances(rows, torch.from_numpy(centers).to(rows)).amin(dim=0)
    found: list[Tensor] = []
    while len(found) < n_wanted and bool(closest.any()):
        found.append(rows[closest.argmax()])
        closest = torch.minimum(closest, squared_distances(rows, found[-1][None])[0])
    return torch.stack(found).to(torch.int64).cpu().numpy() if found else np.empty((0, centers.shape[1]), np.int64)


def extend(rows: Tensor, centers: np.ndarray, n_clusters: int) -> np.ndarray:
    """Where a smaller sample had too few distinct rows, add far ones of this one to each set of centres (R, k, d)."""
    if centers.shape[1] == n_clusters:
        return centers
    added = [farthest_rows(rows, center, n_clusters - len(center)) for center in centers]
    n_added = min(len(found) for found in added)
    return np.stack([np.vstack([center, found[:n_added]]) for center, found in zip(centers, added, strict=True)])
