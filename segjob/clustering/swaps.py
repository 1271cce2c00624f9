"""Out of a local optimum: centres that cost little are moved to where they gain much, and kept there if it pays.

Local search by single swaps (Lattanzi, Sohler 2019; Choo et al. 2020), with two changes: all pairs of a centre and a
drawn row are weighed exactly at once, as in FastPAM (Schubert, Rousseeuw 2019), and the most promising are refined by
Lloyd's iterations before they are compared with what there was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.cores import at_once, row_parts
from segjob.clustering.near import two_nearest_of_all
from segjob.clustering.nearest import Tally, near_at_once, row_blocks, squared_distances, whole
from segjob.clustering.starts import Level, draw_candidates, refine

MOST_CANDIDATES = 64
MOST_TRIED = 12
LEAST_GAIN = 1e-4
MOST_ROUNDS_PER_CENTER = 2
REFINED = Level(n_rows=0, n_starts=MOST_TRIED, gain=3e-4, iterations=12, patience=1)
EXACT_BITS = 53
FINER = 4  # blocks than for the distances alone, so that cores end at about the same time


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
        swapped, before_refining = promising_swaps(rows, centers, found, generator)
        refined = refine(rows, swapped, REFINED, found.inertia[0], before_refining)
        best = refined.ranking[0]
        rounds, fruitless = rounds + 1, fruitless + 1
        if refined.tallies[best].inertia[0] < found.inertia[0] * (1.0 - LEAST_GAIN):
            centers, found, fruitless = refined.centers[best], refined.tallies[best], 0
    return Swapped(centers, found, len(rows), rounds, before)


def promising_swaps(
    rows: Tensor, centers: np.ndarray, found: Tally, generator: torch.Generator
) -> tuple[np.ndarray, Tally]:
    """Draw rows that may become centres; the sets (R, k, d) with one centre swapped that leave the least inertia."""
    neighbours = nearest_two(rows, centers)
    wanted = min(3 * len(centers), MOST_CANDIDATES)
    chance = torch.rand(1, wanted, generator=generator, dtype=torch.float64)
    drawn = np.unique(draw_candidates(neighbours.squared[None], chance)[0].cpu().numpy())
    incoming = rows[torch.from_numpy(drawn).to(rows.device)].to(torch.float64)
    costs = swap_costs(rows, neighbours, incoming, len(centers)).cpu().numpy()
    swaps = different_swaps(costs, neighbours.index.cpu().numpy()[drawn])
    places, outgoing = map(list, zip(*swaps, strict=True))
    sets = np.repeat(centers[None], len(swaps), axis=0)
    sets[range(len(swaps)), outgoing] = incoming[places].to(torch.int64).cpu().numpy()
    return sets, tally_swapped(rows, neighbours, found, sets, outgoing)


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
    """The nearest and the next nearest centre of every row, and the squared distances to them; int64, (n,)."""

    index: Tensor
    squared: Tensor
    next_index: Tensor
    next_squared: Tensor

    def part(self, chosen: slice | Tensor) -> Neighbours:
        """Those of some rows."""
        each = (self.index, self.squared, self.next_index, self.next_squared)
        return Neighbours(*(one[chosen] for one in each))


def nearest_two(rows: Tensor, centers: np.ndarray) -> Neighbours:
    stacked, n_rows = torch.from_numpy(centers).to(rows.device, torch.float64), near_at_once(len(centers))
    found = at_once(lambda part: two_nearest_of_all(part, stacked, n_rows), row_parts(rows))
    return Neighbours(*torch.cat(found, dim=1))


def tally_swapped(
    rows: Tensor, neighbours: Neighbours, found: Tally, sets: np.ndarray, outgoing: Sequence[int]
) -> Tally:
    """What `tally` gives of sets of centres (R, k, d) that differ from those of `found` in the one at `outgoing` each.

    A row changes only to the incoming centre, or from the outgoing one to its next nearest. So there is one distance
    to compute for each row and set, and the tally without swaps changes by the few rows that move.
    """
    places = range(len(sets))
    incoming = torch.from_numpy(sets[places, outgoing]).to(rows.device, torch.float64)
    blocks = list(row_blocks(rows, FINER * len(sets)))
    ends = np.cumsum([len(block) for block in blocks])

    def changes_in(place: int) -> Tally:
        block, part = blocks[place], slice(ends[place] - len(blocks[place]), ends[place])
        near, distances = neighbours.part(part), squared_distances(block, incoming)
        each = (changes(block, near, one, out, sets.shape[1]) for one, out in zip(distances, outgoing, strict=True))
        counts, sums = (whole(torch.stack(parts)) for parts in zip(*each, strict=True))
        return Tally(sets, counts, sums, 0)

    counts, sums = (np.repeat(of_one, len(sets), axis=0) for of_one in (found.counts, found.sums))
    return reduce(Tally.merge, at_once(changes_in, range(len(blocks))), Tally(sets, counts, sums, found.squares))


def changes(rows: Tensor, near: Neighbours, distances: Tensor, outgoing: int, n_clusters: int) -> tuple[Tensor, Tensor]:
    """By how much counts (k,) and sums (k, d) differ once a centre at these distances takes the place of another."""
    leaves = near.index == outgoing
    changed = torch.nonzero(leaves | (distances <= near.squared))[:, 0]
    near, leaves, distances, moved = near.part(changed), leaves[changed], distances[changed], rows[changed]
    stays = torch.where(leaves, near.next_index, near.index)
    squared = torch.where(leaves, near.next_squared, near.squared)
    comes = (distances < squared) | ((distances == squared) & (outgoing < stays))
    after = torch.where(comes, outgoing, stays)
    counts = torch.bincount(after, minlength=n_clusters) - torch.bincount(near.index, minlength=n_clusters)
    sums = torch.zeros(n_clusters, rows.shape[1], dtype=torch.float64, device=rows.device)
    return counts, sums.index_add_(0, after, moved).index_add_(0, near.index, moved, alpha=-1)


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
