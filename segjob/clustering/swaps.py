"""Out of a local optimum: centres that cost little are moved to where they gain much, and kept there if it pays.

Local search by single swaps (Lattanzi, Sohler 2019; Choo et al. 2020), with two changes: all pairs of a centre and a
drawn row are weighed exactly at once, as in FastPAM (Schubert, Rousseeuw 2019), and the most promising are refined by
Lloyd's iterations before they are compared with what there was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.cores import at_once
from segjob.clustering.nearest import Tally, row_blocks, squared_distances, two_nearest
from segjob.clustering.starts import Level, draw_candidates, refine

MOST_CANDIDATES = 64
MOST_TRIED = 12
LEAST_GAIN = 1e-4
MOST_ROUNDS_PER_CENTER = 2
REFINED = Level(n_rows=0, n_starts=MOST_TRIED, gain=3e-4, iterations=12, patience=1)
EXACT_BITS = 53


@dataclass(frozen=True)
class Swapped:
    """Where the swaps ended: centres (k, d) with their tally, R = 1, the rounds it took and the inertia before."""

    centers: np.ndarray
    tally: Tally
    n_rows: int
    rounds: int
    inertia_before: int


def swap_centers(rows: Tensor, centers: np.ndarray, found: Tally, generator: torch.Generator) -> Swapped:
    """Swap until nothing that is tried lowers the inertia by 1e-4 of itself.

    One fruitless round ends it up to eight centres, more need as many as there are eights among them.

    Parameters
    ----------
    rows : (n, d) whole numbers
    centers, found : (k, d) int64 and their tally on these rows
    generator : on the CPU; the only source of chance
    """
    before, rounds, fruitless = found.inertia[0], 0, 0
    while (
        len(centers) > 1
        and found.inertia[0] > 0
        and fruitless < max(len(centers) // 8, 1)
        and rounds < MOST_ROUNDS_PER_CENTER * len(centers)
    ):
        refined = refine(rows, promising_swaps(rows, centers, generator), REFINED, to_beat=found.inertia[0])
        best = refined.ranking[0]
        rounds, fruitless = rounds + 1, fruitless + 1
        if refined.tallies[best].inertia[0] < found.inertia[0] * (1.0 - LEAST_GAIN):
            centers, found, fruitless = refined.centers[best], refined.tallies[best], 0
    return Swapped(centers, found, len(rows), rounds, before)


def promising_swaps(rows: Tensor, centers: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Draw rows that may become centres; the sets (R, k, d) with one centre swapped that leave the least inertia."""
    neighbours = nearest_two(rows, centers)
    wanted = min(3 * len(centers), MOST_CANDIDATES)
    chance = torch.rand(1, wanted, generator=generator, dtype=torch.float64)
    drawn = np.unique(draw_candidates(neighbours.squared[None], chance)[0].cpu().numpy())
    incoming = rows[torch.from_numpy(drawn).to(rows.device)].to(torch.float64)
    costs = swap_costs(rows, neighbours, incoming, len(centers)).cpu().numpy()
    sets = []
    for place, outgoing in different_swaps(costs, neighbours.index.cpu().numpy()[drawn]):
        swapped = centers.copy()
        swapped[outgoing] = incoming[place].to(torch.int64).cpu().numpy()
        sets.append(swapped)
    return np.stack(sets)


def different_swaps(costs: np.ndarray, homes: np.ndarray) -> list[tuple[int, int]]:
    """The cheapest swaps as (incoming, outgoing), of those from one cluster (`homes`) to one other the cheapest only.

    Others of the same pair of clusters would mostly be refined to the same centres.
    """
    chosen: dict[tuple[int, int], tuple[int, int]] = {}
    for flat in np.argsort(costs, axis=None, kind="stable").tolist():
        incoming, outgoing = divmod(flat, costs.shape[1])
        chosen.setdefault((int(homes[incoming]), outgoing), (incoming, outgoing))
        if len(chosen) == min(MOST_TRIED, costs.shape[1]):
            break
    return list(chosen.values())


@dataclass(frozen=True)
class Neighbours:
    """The nearest centre of every row, and the squared distances to it and to the next nearest; int64, (n,)."""

    index: Tensor
    squared: Tensor
    next_squared: Tensor


def nearest_two(rows: Tensor, centers: np.ndarray) -> Neighbours:
    stacked = torch.from_numpy(centers).to(rows.device, torch.float64)
    found = at_once(partial(two_nearest, centers=stacked), list(row_blocks(rows, len(centers))))
    index, squared, _, next_squared = (torch.cat(parts).to(torch.int64) for parts in zip(*found, strict=True))
    return Neighbours(index, squared, next_squared)


def swap_costs(rows: Tensor, neighbours: Neighbours, incoming: Tensor, n_clusters: int) -> Tensor:
    """The inertia (T, k) that each incoming centre (T, d) leaves in place of each old one, before any refinement.

    Sums are exact as long as they stay below 2**53; beyond, all distances lose the same last bits, so that the result
    does not depend on the order of the rows either way.
    """
    farthest = int(neighbours.next_squared.max())
    steps = 2.0 ** max(math.frexp(float(farthest))[1] + len(rows).bit_length() - EXACT_BITS, 0)
    blocks = list(row_blocks(rows, len(incoming)))
    ends = np.cumsum([len(block) for block in blocks])

    def costs_in(place: int) -> Tensor:
        part = slice(ends[place] - len(blocks[place]), ends[place])
        own, following = neighbours.squared[part] / steps, neighbours.next_squared[part] / steps
        members = torch.nn.functional.one_hot(neighbours.index[part], n_clusters).to(torch.float64)
        distances = squared_distances(blocks[place], incoming) / steps
        kept = torch.minimum(distances, own).floor()
        return kept.sum(1)[:, None] + (torch.minimum(distances, following).floor() - kept) @ members

    return torch.stack(at_once(costs_in, range(len(blocks)))).sum(0)
