"""What is computed of rows and centres, block by block, in the part of Python that torch can run by itself.

All are whole numbers, exact in sum: in float64, which holds their products, or in int64. A constant is the default of
an argument that nobody gives, because TorchScript sees no global but functions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segjob.clustering.moments import HALF_BITS, WORD
from segjob.clustering.scripted import scripted

HALF = 2**26
LOW_WORD = 2**WORD - 1
LOW_HALF = 2**HALF_BITS - 1
BLOCK_ELEMENTS = 2**17  # that are held of a block of rows: 1 MB, which a core's own cache still likes
LARGEST_BLOCK = 2**16  # rows


def block_rows(width: int) -> int:
    """How many rows to work on at a time, where so many elements a row are held meanwhile."""
    return min(max(BLOCK_ELEMENTS // width, 1), LARGEST_BLOCK)


def squared_norms(rows: Tensor) -> Tensor:
    """Of rows (n, d), (n,); as a product, which is twice as fast as a sum along short rows."""
    return (rows * rows) @ rows.new_ones(rows.shape[1])


def in_halves(values: Tensor, half: int = HALF) -> tuple[Tensor, Tensor]:
    """Whole numbers of up to 62 bits as multiples of 2**26 and what is left, whose sums float64 holds exactly."""
    high = (values * (1.0 / half)).floor_()
    return high, torch.sub(values, high, alpha=half)


def center_scores(rows: Tensor, centers: Tensor) -> Tensor:
    """Squared distances less the row's own square, (k, n): what decides which centre is nearest."""
    return torch.addmm(squared_norms(centers)[:, None], centers, rows.T, alpha=-2)


def squared_distances(rows: Tensor, centers: Tensor) -> Tensor:
    """All squared distances (k, n) in grid units, exact."""
    return center_scores(rows, centers).add_(squared_norms(rows))


def memberships(scores: Tensor, out: Tensor) -> tuple[Tensor, Tensor, bool]:
    """The lowest scores (R, n), the counts (R, k) of those that have them, and whether there were equals.

    Of equals the first one counts.

    Parameters
    ----------
    scores : (R, k, n)
    out : takes a 1 where the lowest are, else 0, (R, k, n); it may be the scores themselves
    """
    lowest = scores.amin(dim=1)
    torch.eq(scores, lowest[:, None], out=out)
    counts = out.sum(2)
    if int(counts.sum()) == lowest.numel():
        return lowest, counts, False
    free = 1.0 - out[:, 0]
    for index in range(1, out.shape[1]):
        out[:, index] *= free
        free -= out[:, index]
    return lowest, out.sum(2), True


@scripted
def tally_blocks(
    rows: Tensor, centers: Tensor, n_sets: int, at_once: int, by_member: bool
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Give every row to the nearest centre of each set.

    Parameters
    ----------
    rows : (n, d) of any type
    centers : (R * k, d) float64, set by set
    n_sets : R
    at_once : how many rows are worked on at a time
    by_member : whether to sum up the members' squares

    Returns
    -------
    float64: counts (R, k); the sums (R * k, d) of the members' coordinates; both halves (2, R * k) of their squares, or
    zeros; and whether a row may be as near to two centres of a set
    """
    counts = torch.zeros(n_sets, len(centers) // n_sets, dtype=torch.float64, device=rows.device)
    sums = torch.zeros(centers.shape, dtype=torch.float64, device=rows.device)
    halves = torch.zeros(2, len(centers), dtype=torch.float64, device=rows.device)
    tied = False
    for part in torch.split(rows, at_once):
        block = part.to(torch.float64)
        members = center_scores(block, centers)  # the scores as yet, whose memory the members take
        by_set = members.view(n_sets, counts.shape[1], -1)
        _, found, block_tied = memberships(by_set, by_set)
        tied |= block_tied
        counts += found
        sums.addmm_(members, block)
        if by_member:
            halves.addmm_(torch.stack(in_halves(squared_norms(block))), members.T)
    return counts, sums, halves, tied


@scripted
def nearest_positions(rows: Tensor, centers: Tensor, at_once: int) -> Tensor:
    """The position of the nearest of the centres (k, d) float64 for each row (n, d), (n,) int64."""
    numbers = torch.arange(len(centers), dtype=torch.float64, device=rows.device)
    positions = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    for begin in range(0, len(rows), at_once):
        members = center_scores(rows[begin : begin + at_once].to(torch.float64), centers)[None]
        memberships(members, members)
        positions[begin : begin + at_once] = numbers @ members[0]
    return positions


def exact_sums(values: Tensor, half_bits: int = HALF_BITS, low_half: int = LOW_HALF) -> Tensor:
    """Sums of int64 of any size along rows (m, n): (2, m), those of the upper and of the lower 32 bits."""
    return torch.stack([(values >> half_bits).sum(1), (values & low_half).sum(1)])


def is_present(values: Tensor, least: Tensor) -> Tensor:
    """Which values are not missing: neither NaN nor infinite nor at most `features.least`."""
    return (values > least) & (values < float("inf"))


@scripted
def moment_sums(
    values: Tensor, factors: Tensor, least: Tensor | None, at_once: int, word: int = WORD, low_word: int = LOW_WORD
) -> Tensor:
    """Sums of numbers and of their squares, as whole numbers of up to 62 bits in words of 31.

    Parameters
    ----------
    values : (m, n) float64, m columns
    factors : (m, 1) that make a column's values whole numbers, after rounding
    least : (m, 1), where values may be missing: what is no number, infinite or at most so large is left out
    at_once : of how many rows

    Returns
    -------
    (9, m) int64: how many were left out; the sums of the upper words and of the lower; and, each as `exact_sums`, those
    of the upper word's square, of both words' product, of the lower word's square
    """
    found = torch.zeros(9, len(values), dtype=torch.int64)
    for part in torch.split(values, at_once, dim=1):
        if least is not None:
            present = is_present(part, least)
            found[0] += part.shape[1] - present.sum(1)
            part = torch.where(present, part, 0.0)
        steps = (part * factors).round_().to(torch.int64)
        high, low = steps >> word, steps & low_word
        words = torch.stack([high.sum(1), low.sum(1)])
        found[1:] += torch.cat([words, exact_sums(high * high), exact_sums(high * low), exact_sums(low * low)])
    return found
