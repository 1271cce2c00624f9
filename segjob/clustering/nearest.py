"""Which centre is nearest, in exact arithmetic: the one kernel of the starts, the passes, the labels and the scores.

Coordinates and centres are whole numbers, held in float64, in which products and their sums are exact. So the result
is the same for any blocks, threads, device or order of summation, and ties go to the lowest index.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

BLOCK_ELEMENTS = 2**17  # of the largest temporary, 1 MB, which a core's own cache still likes
FARTHER = 2.0**60  # than any squared distance
LARGEST_BLOCK = 2**16  # rows
HALF = 2**26


def resolve_device(asked: str) -> tuple[str, str | None]:
    """The device to compute on, and a sentence where it is not the one that was asked for.

    Parameters
    ----------
    asked : `auto` takes a GPU where there is one, `cuda` wants it and falls back to the CPU, `cpu` never looks
    """
    if asked == "cpu":
        return "cpu", None
    if torch.cuda.is_available():
        return "cuda", None
    return "cpu", "there is no CUDA device, so the CPU does the work" if asked == "cuda" else None


def use_threads(n_threads: int) -> None:
    """Compute with so many threads: torch would take every core that it sees, and a container may use fewer."""
    torch.set_num_threads(n_threads)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """For passes over several chunks at once: torch computes in the threads that call it and starts no others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def as_rows(matrix: np.ndarray | Tensor, device: str) -> Tensor:
    """Rows as a tensor on the device, in the type in which they came."""
    if isinstance(matrix, Tensor):
        return matrix.to(device)
    return torch.from_numpy(np.require(matrix, requirements="W")).to(device)


def row_blocks(rows: Tensor, width: int) -> Iterator[Tensor]:
    """Float64 blocks (b, d) of the rows, so many that b * width elements stay in bounds."""
    size = min(max(BLOCK_ELEMENTS // width, 1), LARGEST_BLOCK)
    for block in torch.split(rows, size):
        yield block.to(torch.float64)


@dataclass(frozen=True)
class Tally:
    """What one pass with fixed centres yields, for R sets of k centres side by side; mergeable and exact.

    Attributes
    ----------
    centers : (R, k, d) int64
    counts : (R, k) int64
    sums : (R, k, d) int64, of the members' coordinates
    squares : of all coordinates of the rows, in sum; a Python integer
    tied : whether a row may be as near to two centres of a set, so that the order of these says whose it is
    """

    centers: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    squares: int
    tied: bool = True

    @cached_property
    def inertia(self) -> tuple[int, ...]:
        """R integers, squared grid units: for rows x of centres c, the sum of |x|² - 2 c x + |c|²."""
        centers, sums, counts = (values.astype(object) for values in (self.centers, self.sums, self.counts))
        nearer = (centers * (2 * sums - counts[..., None] * centers)).sum(axis=(1, 2))
        return tuple(self.squares - one for one in nearer.tolist())

    def merge(self, other: Tally) -> Tally:
        """The tally of the rows of both, with the same centres."""
        squares, tied = self.squares + other.squares, self.tied or other.tied
        return Tally(self.centers, self.counts + other.counts, self.sums + other.sums, squares, tied)

    def one(self, index: int) -> Tally:
        """The tally of one set of centres, R = 1."""
        chosen = slice(index, index + 1)
        return Tally(self.centers[chosen], self.counts[chosen], self.sums[chosen], self.squares, self.tied)

    def take(self, positions: np.ndarray) -> Tally:
        """The same with the centres of each set in another order; those left out have no members."""
        counts, sums = self.counts[:, positions], self.sums[:, positions]
        return Tally(self.centers[:, positions], counts, sums, self.squares, self.tied)


def tally(rows: Tensor, centers: np.ndarray, squares: int | None = None) -> Tally:
    """Give every row to its nearest centre.

    Parameters
    ----------
    rows : (n, d) whole numbers
    centers : (R, k, d) int64
    squares : of the rows' coordinates, in sum, where that is known
    """
    n_sets, n_clusters, n_columns = centers.shape
    stacked = torch.from_numpy(centers.reshape(-1, n_columns)).to(rows.device, torch.float64)  # (R * k, d)
    counts = torch.zeros(n_sets, n_clusters, dtype=torch.float64, device=rows.device)
    sums = torch.zeros(len(stacked), n_columns, dtype=torch.float64, device=rows.device)
    tied = False
    for block in row_blocks(rows, len(stacked)):
        scores = center_scores(block, stacked).view(n_sets, n_clusters, -1)
        _, members, members_counted, block_tied = memberships(scores)
        tied |= block_tied
        counts += members_counted
        sums += members.view(len(stacked), -1) @ block
    known = sum_of_squares(rows) if squares is None else squares
    return Tally(centers, whole(counts), whole(sums).reshape(centers.shape), known, tied)


def sum_of_squares(rows: Tensor) -> int:
    """Of all coordinates, exactly."""
    blocks = row_blocks(rows, max(rows.shape[1], 1))
    return sum(int((block * block).to(torch.int64).sum()) for block in blocks)


def whole(values: Tensor) -> np.ndarray:
    return np.asarray(values.to(torch.int64).cpu().numpy())


def squared_norms(rows: Tensor) -> Tensor:
    return (rows * rows).sum(1)


def in_halves(values: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers of up to 62 bits as multiples of 2**26 and what is left, whose sums float64 holds exactly."""
    high = (values / HALF).floor_()
    return high, values - high * HALF


def center_scores(rows: Tensor, centers: Tensor) -> Tensor:
    """Squared distances less the row's own square, (k, n): what decides which centre is nearest."""
    return torch.addmm(squared_norms(centers)[:, None], centers, rows.T, alpha=-2)


def memberships(scores: Tensor) -> tuple[Tensor, Tensor, Tensor, bool]:
    """The lowest scores (R, n), a 1 where they are (R, k, n), the counts (R, k), and whether there were equals.

    Of equals the first one counts.
    """
    lowest = scores.amin(dim=1)
    members = torch.eq(scores, lowest[:, None], out=torch.empty_like(scores))
    counts = members.sum(2)
    if int(counts.sum()) == lowest.numel():
        return lowest, members, counts, False
    free = 1.0 - members[:, 0]
    for index in range(1, members.shape[1]):
        members[:, index] *= free
        free -= members[:, index]
    return lowest, members, members.sum(2), True


@dataclass(frozen=True)
class Assignment:
    """The nearest and the second nearest centre of every row; numpy, (n,).

    With a single centre the runner-up is -1 and its squared distance 0.
    """

    index: np.ndarray  # int64
    squared: np.ndarray  # int64, grid units
    runner_up: np.ndarray  # int64
    runner_up_squared: np.ndarray  # int64


def assign(rows: Tensor, centers: np.ndarray) -> Assignment:
    """Find the two nearest of the centres (k, d) of every row; ties go to the lowest index, for both."""
    stacked = torch.from_numpy(centers).to(rows.device, torch.float64)
    found = [two_nearest(block, stacked) for block in row_blocks(rows, len(centers))]
    if not found:
        return Assignment(*(np.empty(0, np.int64) for _ in range(4)))
    return Assignment(*(whole(torch.cat(parts)) for parts in zip(*found, strict=True)))


def two_nearest(rows: Tensor, centers: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    scores, norms = center_scores(rows, centers)[None], squared_norms(rows)
    positions = torch.arange(len(centers), dtype=torch.float64, device=rows.device)
    lowest, members, *_ = memberships(scores)
    index = positions @ members[0]
    if len(centers) == 1:
        return index, lowest[0] + norms, torch.full_like(index, -1), torch.zeros_like(index)
    second, runners_up, *_ = memberships(scores.add_(members, alpha=FARTHER))
    return index, lowest[0] + norms, positions @ runners_up[0], second[0] + norms


def squared_distances(rows: Tensor, centers: Tensor) -> Tensor:
    """All squared distances (k, n) in grid units, exact."""
    return center_scores(rows, centers) + squared_norms(rows)
