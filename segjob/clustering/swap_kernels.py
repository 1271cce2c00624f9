"""What swaps of one centre would change, block by block, in the part of Python that torch can run by itself.

A row changes only to the incoming centre, or from the outgoing one to its next nearest. So each row and incoming centre
take one distance, and not one to every centre of every set that a swap makes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from segjob.clustering.kernels import squared_distances
from segjob.clustering.scripted import scripted


class Neighbours(NamedTuple):
    """The nearest and the next nearest centre of every row, and the squared distances to them; int64, (n,)."""

    home: Tensor
    squared: Tensor
    next_home: Tensor
    next_squared: Tensor


@scripted
def swap_sums(rows: Tensor, near: Neighbours, incoming: Tensor, n_clusters: int, steps: float, at_once: int) -> Tensor:
    """The inertia, in steps, that each incoming centre (T, d) leaves in place of each old one, (T, k) float64.

    Each distance is rounded down to whole steps.
    """
    found = torch.zeros(len(incoming), n_clusters, dtype=torch.float64, device=rows.device)
    for begin in range(0, len(rows), at_once):
        end = begin + at_once
        block = rows[begin:end].to(torch.float64)
        distances = squared_distances(block, incoming).div_(steps).floor_()
        own = (near.squared[begin:end].to(torch.float64) / steps).floor_()
        following = (near.next_squared[begin:end].to(torch.float64) / steps).floor_()
        members = torch.zeros(len(block), n_clusters, dtype=torch.float64, device=rows.device)
        members.scatter_(1, near.home[begin:end, None], 1.0)
        kept = torch.minimum(distances, own)
        found += kept.sum(1)[:, None] + torch.minimum(distances, following, out=distances).sub_(kept) @ members
    return found


@scripted
def swap_changes(
    rows: Tensor, near: Neighbours, incoming: Tensor, outgoing: list[int], n_clusters: int, at_once: int
) -> tuple[Tensor, Tensor]:
    """By how much counts (R, k) and sums (R, k, d) differ once each incoming centre (R, d) takes the place of another.

    Of centres that are as near as each other the first one counts.

    Parameters
    ----------
    outgoing : R positions, of the centres that go
    """
    counts = torch.zeros(len(outgoing), n_clusters, dtype=torch.int64, device=rows.device)
    sums = torch.zeros(len(outgoing), n_clusters, rows.shape[1], dtype=torch.float64, device=rows.device)
    for begin in range(0, len(rows), at_once):
        end = begin + at_once
        block = rows[begin:end].to(torch.float64)
        distances = squared_distances(block, incoming)
        home, squared = near.home[begin:end], near.squared[begin:end]
        next_home, next_squared = near.next_home[begin:end], near.next_squared[begin:end]
        for place, goes in enumerate(outgoing):
            leaves = home == goes
            changed = torch.nonzero(leaves | (distances[place] <= squared))[:, 0]
            leaves, before, distance, moved = leaves[changed], home[changed], distances[place, changed], block[changed]
            stays = torch.where(leaves, next_home[changed], before)
            other = torch.where(leaves, next_squared[changed], squared[changed])
            comes = (distance < other) | ((distance == other) & (goes < stays))
            after = torch.where(comes, goes, stays)
            counts[place] += torch.bincount(after, minlength=n_clusters) - torch.bincount(before, minlength=n_clusters)
            sums[place].index_add_(0, after, moved).index_add_(0, before, moved, alpha=-1)
    return counts, sums
