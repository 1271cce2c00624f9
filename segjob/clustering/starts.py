"""Where the fit begins: many greedy k-means++ starts on a small sample, and ever fewer of them on larger ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.nearest import Tally, squared_distances, tally


@dataclass(frozen=True)
class Level:
    """One round: so many starts on so many rows, refined until an iteration gains at most `gain` of the inertia."""

    n_rows: int
    n_starts: int
    gain: float
    iterations: int


LEVELS = (
    Level(n_rows=2**14, n_starts=32, gain=1e-3, iterations=20),
    Level(n_rows=2**16, n_starts=8, gain=1e-4, iterations=30),
    Level(n_rows=2**18, n_starts=3, gain=1e-5, iterations=100),
)
SMALL_LEVELS = (
    replace(LEVELS[0], gain=1e-4, iterations=50),
    replace(LEVELS[1], gain=1e-5, iterations=100),
    replace(LEVELS[2], gain=0.0, iterations=300),
)
"""Where all levels see the same few rows, the last starts are followed to their end."""

START_ROWS = LEVELS[-1].n_rows
"""How many rows of the sample, in hash order, the starts see."""


@dataclass(frozen=True)
class Start:
    """The best start with its tally on the rows of the last level.

    Attributes
    ----------
    centers : (k, d) int64; fewer than asked for where the rows have fewer distinct values
    tally : of these centres, R = 1
    n_rows : rows of the last level
    iterations : of Lloyd's algorithm, over all levels
    inertia_before : on the rows of the last level, before they were refined there
    """

    centers: np.ndarray
    tally: Tally
    n_rows: int
    iterations: int
    inertia_before: int


def find_start(sample: Tensor, n_clusters: int, generator: torch.Generator) -> Start:
    """Play the tournament.

    Parameters
    ----------
    sample : (s, d) whole numbers in the order of the hashes, on any device
    generator : on the CPU; the only source of chance
    """
    centers = seed_centers(sample[: LEVELS[0].n_rows], n_clusters, LEVELS[0].n_starts, generator)
    iterations = 0
    for level in LEVELS if len(sample) > LEVELS[0].n_rows else SMALL_LEVELS:
        rows = sample[: level.n_rows]
        refined = refine(rows, extend(rows, centers[: level.n_starts], n_clusters), level)
        centers = np.stack([refined.centers[start] for start in refined.ranking])
        iterations += refined.iterations
    best = refined.ranking[0]
    return Start(centers[0], refined.tallies[best], len(rows), iterations, refined.inertias_before[best])


def seed_centers(rows: Tensor, n_clusters: int, n_starts: int, generator: torch.Generator) -> np.ndarray:
    """Greedy k-means++ (Arthur, Vassilvitskii 2007; 2 + ln k candidates a step), all starts at once.

    Returns
    -------
    (n_starts, k, d) int64: rows; k is smaller where there are fewer distinct ones
    """
    rows = rows.to(torch.float64)
    chosen = [torch.randint(len(rows), (n_starts,), generator=generator).to(rows.device)]
    closest = squared_distances(rows, rows[chosen[0]]).to(torch.int64)  # (R, n)
    while len(chosen) < n_clusters and bool(closest.any()):
        candidates = draw_candidates(closest, 2 + int(math.log(n_clusters)), generator)  # (R, T)
        picked, closest = best_candidates(rows, closest, candidates)
        chosen.append(picked)
    return rows[torch.stack(chosen, dim=1)].to(torch.int64).cpu().numpy()


def draw_candidates(closest: Tensor, n_candidates: int, generator: torch.Generator) -> Tensor:
    """Draw rows with a chance in proportion to their squared distance from what is chosen already."""
    cumulated = closest.cumsum(1)
    total = cumulated[:, -1:]
    chance = torch.rand(len(closest), n_candidates, generator=generator, dtype=torch.float64).to(closest.device)
    drawn = torch.minimum((chance * total).to(torch.int64), total - 1)
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
    """Several starts after Lloyd's iterations: their centres (k, d) and tallies, and their inertias before."""

    centers: list[np.ndarray]
    tallies: list[Tally]
    inertias_before: tuple[int, ...]
    iterations: int

    @property
    def ranking(self) -> list[int]:
        """The starts by inertia, best first; ties by their number."""
        return sorted(range(len(self.centers)), key=lambda start: self.tallies[start].inertia[0])


def refine(rows: Tensor, centers: np.ndarray, level: Level) -> Refined:
    """Lloyd's iterations for all starts at once; each is left alone once one gains too little for the level."""
    before = tally(rows, centers)
    current, tallies = list(centers), [before.one(start) for start in range(len(centers))]
    gaining, iterations = list(range(len(centers))), 0
    while gaining and iterations < level.iterations:
        following = np.stack([lloyd_step(rows, current[start], tallies[start]) for start in gaining])
        found = tally(rows, following)
        gained = [
            tallies[start].inertia[0] - new > level.gain * tallies[start].inertia[0]
            for start, new in zip(gaining, found.inertia, strict=True)
        ]
        for place, start in enumerate(gaining):
            current[start], tallies[start] = following[place], found.one(place)
        gaining = [start for start, more in zip(gaining, gained, strict=True) if more]
        iterations += 1
    return Refined(current, tallies, before.inertia, iterations)


def lloyd_step(rows: Tensor, centers: np.ndarray, found: Tally) -> np.ndarray:
    """One step of Lloyd's algorithm for one start, (k, d)."""
    moved: np.ndarray = means(found, centers[None])[0]
    return repair(rows, moved, found.counts[0])


def means(found: Tally, centers: np.ndarray) -> np.ndarray:
    """The members' means rounded to the grid, (R, k, d) int64; a centre without members stays."""
    counts = found.counts[..., None]
    moved = np.rint(found.sums / np.maximum(counts, 1)).astype(np.int64)
    return np.where(counts > 0, moved, centers)


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
