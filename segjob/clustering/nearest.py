"""Which centre is nearest, in exact arithmetic: what the starts, the passes, the labels and the scores ask the kernels.

Coordinates and centres are whole numbers, held in float64, in which products and their sums are exact. So the result
is the same for any blocks, threads, device or order of summation, and ties go to the lowest index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.kernels import HALF, block_rows, tally_blocks
from segjob.clustering.near import two_nearest_of_all


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


def as_rows(matrix: np.ndarray | Tensor, device: str) -> Tensor:
    """Rows as a tensor on the device, in the type in which they came."""
    if isinstance(matrix, Tensor):
        return matrix.to(device)
    return torch.from_numpy(np.require(matrix, requirements="W")).to(device)


def row_blocks(rows: Tensor, width: int) -> Iterator[Tensor]:
    """Float64 blocks (b, d) of the rows, so many that b * width elements stay in bounds; no rows make none."""
    for block in torch.split(rows, block_rows(width)) if len(rows) else ():
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
    member_squares : (R, k) Python integers, the part of `squares` that is the members'; where it was asked for
    """

    centers: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    squares: int
    tied: bool = True
    member_squares: np.ndarray | None = None

    @cached_property
    def inertia(self) -> tuple[int, ...]:
        """R integers, squared grid units: for rows x of centres c, the sum of |x|² - 2 c x + |c|²."""
        return tuple(self.squares - one for one in self._nearer.sum(axis=1).tolist())

    @property
    def inertias(self) -> np.ndarray:
        """The same by centre, (R, k) Python integers, where `member_squares` are known."""
        assert self.member_squares is not None
        return np.asarray(self.member_squares - self._nearer)

    @property
    def _nearer(self) -> np.ndarray:
        """By how much the members' squares are more than their squared distances, (R, k) Python integers."""
        centers, sums, counts = (values.astype(object) for values in (self.centers, self.sums, self.counts))
        return np.asarray((centers * (2 * sums - counts[..., None] * centers)).sum(axis=2))

    def merge(self, other: Tally) -> Tally:
        """The tally of the rows of both, with the same centres."""
        members = None
        if self.member_squares is not None and other.member_squares is not None:
            members = self.member_squares + other.member_squares
        counts, sums, squares = self.counts + other.counts, self.sums + other.sums, self.squares + other.squares
        return Tally(self.centers, counts, sums, squares, self.tied or other.tied, members)

    def one(self, index: int) -> Tally:
        """The tally of one set of centres, R = 1."""
        return self._part((slice(index, index + 1),))

    def only(self, chosen: np.ndarray) -> Tally:
        """The tally of some of the sets of centres."""
        return self._part((chosen,))

    def take(self, positions: np.ndarray) -> Tally:
        """The same with the centres of each set in another order; those left out have no members."""
        return self._part((slice(None), positions))

    def _part(self, chosen: tuple[slice | np.ndarray, ...]) -> Tally:
        members = None if self.member_squares is None else self.member_squares[chosen]
        return Tally(self.centers[chosen], self.counts[chosen], self.sums[chosen], self.squares, self.tied, members)


def tally(rows: Tensor, centers: np.ndarray, squares: int | None = None, *, by_member: bool = False) -> Tally:
    """Give every row to its nearest centre.

    Parameters
    ----------
    rows : (n, d) whole numbers
    centers : (R, k, d) int64
    squares : of the rows' coordinates, in sum, where that is known
    by_member : find out how much of `squares` is whose
    """
    n_sets, n_clusters, n_columns = centers.shape
    stacked = torch.from_numpy(centers.reshape(-1, n_columns)).to(rows.device, torch.float64)  # (R * k, d)
    at_once = block_rows(2 * n_columns + len(stacked))
    counts, sums, halves, tied = tally_blocks(rows, stacked, n_sets, at_once, by_member)
    member_squares = from_halves(whole(halves)).reshape(n_sets, n_clusters) if by_member else None
    if squares is None:
        squares = sum_of_squares(rows) if member_squares is None else int(member_squares[0].sum())
    return Tally(centers, whole(counts), whole(sums).reshape(centers.shape), squares, tied, member_squares)


def sum_of_squares(rows: Tensor) -> int:
    """Of all coordinates, exactly."""
    blocks = row_blocks(rows, max(rows.shape[1], 1))
    return sum(int((block * block).to(torch.int64).sum()) for block in blocks)


def whole(values: Tensor) -> np.ndarray:
    return np.asarray(values.to(torch.int64).cpu().numpy())


def from_halves(sums: np.ndarray) -> np.ndarray:
    """What the sums of both halves (2, ...) are together, (...) Python integers."""
    high, low = sums.astype(object)
    return np.asarray(high * HALF + low)


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
    return Assignment(*two_nearest_of_all(rows, stacked, near_at_once(len(centers))).cpu().numpy())


def near_at_once(n_clusters: int) -> int:
    """Of how many rows to find at a time which of so many centres are near."""
    return block_rows(2 * n_clusters)
