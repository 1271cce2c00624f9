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
from segjob.clustering.kernels import block_rows
from segjob.clustering.near import two_nearest_of_all
from segjob.clustering.nearest import Tally, near_at_once, whole
from segjob.clustering.starts import Level, draw_candidates, refine
from segjob.clustering.swap_kernels import Neighbours, swap_changes, swap_sums

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
        swapped, before_refining = promising_swaps(rows, centers, found, generator)
        refined = refine(rows, swapped, REFINED, found.inertia[0], before_refining)
        best = refined.ranking[0]
        rounds, fruitless = rounds + 1, fruitless + 1
        if refined.inertias[best] < found.inertia[0] * (1.0 - LEAST_GAIN):
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
    swaps = different_swaps(costs, neighbours.home.cpu().numpy()[drawn])
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


def nearest_two(rows: Tensor, centers: np.ndarray) -> Neighbours:
    stacked, n_rows = torch.from_numpy(centers).to(rows.device, torch.float64), near_at_once(len(centers))
    found = at_once(lambda part: two_nearest_of_all(part, stacked, n_rows), row_parts(rows))
    return Neighbours(*torch.cat(found, dim=1))


def parts_of(rows: Tensor, neighbours: Neighbours) -> list[tuple[Tensor, Neighbours]]:
    """The rows in one part a core, each with its neighbours."""
    parts = row_parts(rows)
    sizes = [len(part) for part in parts]
    near = zip(*(torch.split(one, sizes) for one in neighbours), strict=True)
    return [(part, Neighbours(*own)) for part, own in zip(parts, near, strict=True)]


def swap_costs(rows: Tensor, neighbours: Neighbours, incoming: Tensor, n_clusters: int) -> Tensor:
    """The inertia (T, k) that each incoming centre (T, d) leaves in place of each old one, before any refinement.

    Sums are exact as long as they stay below 2**53; beyond, all distances lose the same last bits, so that the result
    does not depend on the order of the rows either way.
    """
    farthest = int(neighbours.next_squared.max())
    steps = 2.0 ** max(math.frexp(float(farthest))[1] + len(rows).bit_length() - EXACT_BITS, 0)
    n_rows = block_rows(2 * len(incoming) + n_clusters)

    def costs_in(part: tuple[Tensor, Neighbours]) -> Tensor:
        return swap_sums(*part, incoming, n_clusters, steps, n_rows)

    return torch.stack(at_once(costs_in, parts_of(rows, neighbours))).sum(0)


def tally_swapped(
    rows: Tensor, neighbours: Neighbours, found: Tally, sets: np.ndarray, outgoing: Sequence[int]
) -> Tally:
    """What `tally` gives of sets of centres (R, k, d) that differ from those of `found` in the one at `outgoing` each.

    The tally without swaps changes by the few rows that move.
    """
    incoming = torch.from_numpy(sets[range(len(sets)), outgoing]).to(rows.device, torch.float64)
    n_rows = block_rows(2 * len(sets))

    def changes_in(part: tuple[Tensor, Neighbours]) -> Tally:
        counts, sums = swap_changes(*part, incoming, [*outgoing], sets.shape[1], n_rows)
        return Tally(sets, whole(counts), whole(sums), 0)

    counts, sums = (np.repeat(of_one, len(sets), axis=0) for of_one in (found.counts, found.sums))
    unswapped = Tally(sets, counts, sums, found.squares)
    return reduce(Tally.merge, at_once(changes_in, parts_of(rows, neighbours)), unswapped)
