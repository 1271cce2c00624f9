"""The centres that are near to a block of rows, and what is summed up by the nearest; all of it for torch to run.

It is in the part of Python that `scripted` can have compiled, as `kernels` is, on which it builds.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from segjob.clustering.kernels import center_scores, memberships, squared_norms
from segjob.clustering.scripted import scripted

FARTHER = 2.0**60  # than any squared distance


class Near(NamedTuple):
    """A block of rows, and the centres that are near.

    Attributes
    ----------
    rows : (n, d) float64
    members : (k, n) a 1 at the nearest centre
    position : (n,) float64, of the nearest centre
    squared : (n,) squared distances from it
    others : (k, n) squared distances from all others; in the place of the nearest is more than any
    """

    rows: Tensor
    members: Tensor
    position: Tensor
    squared: Tensor
    others: Tensor


def near(rows: Tensor, centers: Tensor, farther: float = FARTHER) -> Near:
    """Give every row of a block to the nearest of the centres (k, d); ties go to the lowest."""
    scores, norms = center_scores(rows, centers), squared_norms(rows)
    members = torch.empty_like(scores)
    lowest, _, _ = memberships(scores[None], members[None])
    others = scores.add_(norms).add_(members, alpha=farther)
    return Near(rows, members, positions_of(members), lowest[0] + norms, others)


def positions_of(members: Tensor) -> Tensor:
    """Where each column of (k, n) has its 1, (n,) float64."""
    return torch.arange(len(members), dtype=torch.float64, device=members.device) @ members


def two_nearest(block: Near) -> Tensor:
    """The fields of a `nearest.Assignment`, (4, n) float64."""
    if len(block.members) == 1:
        second, next_index = torch.zeros_like(block.squared), torch.full_like(block.squared, -1)
    else:
        members = torch.empty_like(block.others)
        lowest, _, _ = memberships(block.others[None], members[None])
        second, next_index = lowest[0], positions_of(members)
    return torch.stack([block.position, block.squared, next_index, second])


def of_nearest(block: Near, values: Tensor) -> Tensor:
    """What (k, n) holds for the nearest centre of each row, (n,)."""
    return values.gather(0, block.position.to(torch.int64)[None])[0]


def sums_by_nearest(block: Near, values: list[Tensor]) -> Tensor:
    """Of whole numbers (n,) each, by nearest centre; (their number, k), exact up to 2**53."""
    return torch.stack(values) @ block.members.T


@scripted
def two_nearest_of_all(rows: Tensor, centers: Tensor, at_once: int) -> Tensor:
    """`two_nearest` of rows (n, d) of any type, so many at once; (4, n) int64."""
    found = torch.empty(4, len(rows), dtype=torch.int64, device=rows.device)
    for begin in range(0, len(rows), at_once):
        block = near(rows[begin : begin + at_once].to(torch.float64), centers)
        found[:, begin : begin + at_once] = two_nearest(block)
    return found
