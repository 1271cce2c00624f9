"""Where the fit begins: many starts on a small sample, swaps of centres, and ever fewer starts on larger samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.nearest import Tally
from segjob.clustering.starts import Level, Refined, extend, refine, seed_centers
from segjob.clustering.swaps import Swapped, swap_centers

LEVELS = (
    Level(n_rows=2**14, n_starts=32, gain=1e-3, iterations=20, patience=8),
    Level(n_rows=2**16, n_starts=10, gain=1e-4, iterations=30, patience=8),
    Level(n_rows=2**18, n_starts=3, gain=1e-5, iterations=100, patience=8),
)
SMALL_LEVELS = (
    replace(LEVELS[0], gain=1e-4, iterations=50),
    replace(LEVELS[1], gain=1e-5, iterations=100),
    replace(LEVELS[2], gain=0.0, iterations=300),
)
"""Where all levels see the same few rows, the last starts are followed to their end."""

STARTS_PER_CENTER = 4
FEW_CENTERS = 12
SHARE_FOR_FEW = 0.6

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
    iterations : of Lloyd's algorithm, over all levels, without those of the swaps
    inertia_before : on the rows of the last level, before they were refined there
    swapped : what the swaps did before the last level
    """

    centers: np.ndarray
    tally: Tally
    n_rows: int
    iterations: int
    inertia_before: int
    swapped: Swapped


def find_start(sample: Tensor, n_clusters: int, generator: torch.Generator) -> Start:
    """Play the tournament.

    Parameters
    ----------
    sample : (s, d) whole numbers in the order of the hashes, on any device
    generator : on the CPU; the only source of chance
    """
    many, fewer, last = levels_for(n_clusters) if len(sample) > LEVELS[0].n_rows else SMALL_LEVELS
    seeds = seed_centers(sample[: many.n_rows], n_clusters, many.n_starts, generator)
    qualified = play(sample, seeds, n_clusters, many)
    semifinal = play(sample, contenders(qualified), n_clusters, fewer)
    swapped = swap_best(sample[: fewer.n_rows], semifinal, generator)
    final = play(sample, np.stack([swapped.centers, *contenders(semifinal)[1:]]), n_clusters, last)
    winner = final.ranking[0]
    return Start(
        final.centers[winner],
        final.tallies[winner],
        min(last.n_rows, len(sample)),
        qualified.iterations + semifinal.iterations + final.iterations,
        final.inertias_before[winner],
        swapped,
    )


def levels_for(n_clusters: int) -> tuple[Level, Level, Level]:
    """Few centres have few ways to lie wrong, so on many rows they are given fewer starts than the levels have."""
    many, fewer, last = LEVELS
    if n_clusters <= FEW_CENTERS:
        fewer, last = (replace(level, n_starts=math.ceil(level.n_starts * SHARE_FOR_FEW)) for level in (fewer, last))
    n_starts = min(max(STARTS_PER_CENTER * n_clusters, fewer.n_starts), many.n_starts)
    return replace(many, n_starts=n_starts), fewer, last


def swap_best(rows: Tensor, refined: Refined, generator: torch.Generator) -> Swapped:
    """Swap centres of the best start, unless all starts ended in the same place, where there is nothing to gain."""
    best = refined.ranking[0]
    centers, found = refined.centers[best], refined.tallies[best]
    if len(refined.different) == 1:
        return Swapped(centers, found, len(rows), 0, found.inertia[0])
    return swap_centers(rows, centers, found, generator)


def play(sample: Tensor, centers: np.ndarray, n_clusters: int, level: Level) -> Refined:
    """Refine the first of these sets of centres (R, k, d) on the rows of a level."""
    rows = sample[: level.n_rows]
    return refine(rows, extend(rows, centers[: level.n_starts], n_clusters), level)


def contenders(refined: Refined) -> np.ndarray:
    """The sets of centres that differ, best first, (R, k, d)."""
    return np.stack([refined.centers[start] for start in refined.different])
