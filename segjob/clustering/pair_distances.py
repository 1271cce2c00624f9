"""Sums of Euclidean distances from some rows to groups of others, as integers: no trace of tiles, threads or device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.kernels import squared_norms

TILE_COLUMNS = 512
STEPS_BITS = 24  # distances are rounded to 2**-24 of a grid unit


@dataclass(frozen=True)
class Groups:
    """References in groups of one size within a segment; they lie segment by segment, group by group.

    Attributes
    ----------
    numbers : (k,) groups of each segment
    sizes : (k,) references of each of them
    """

    numbers: np.ndarray
    sizes: np.ndarray

    @property
    def references(self) -> np.ndarray:
        """(k,) references of each segment."""
        return np.asarray(self.numbers * self.sizes)


def distance_sums(
    rows: Tensor, evaluated: np.ndarray, references: np.ndarray, groups: Groups, tile_rows: int
) -> Iterator[tuple[slice, np.ndarray, float]]:
    """Tile by tile of evaluated rows, the sums of their distances to each group of references.

    Parameters
    ----------
    rows : (s, d) grid coordinates
    evaluated : (e,) positions in `rows`
    references : (m,) positions in `rows`, as they lie in `groups`
    tile_rows : how many are evaluated at once

    Yields
    ------
    which of the evaluated rows; (rows of the tile, all groups) int64 sums; the length of their steps, in grid units
    """
    left, right = pair_factors(rows, evaluated, references)
    bits, width = resolution(rows, int(groups.references.max(initial=1)))
    left *= 4.0**bits
    tiles = list(column_tiles(groups, width))
    for first in range(0, len(evaluated), tile_rows):
        tile = slice(first, min(first + tile_rows, len(evaluated)))
        yield tile, tile_sums(left[tile], right, tiles, int(groups.numbers.sum())).cpu().numpy(), 2.0**-bits


def tile_sums(left: Tensor, right: Tensor, tiles: list[ColumnTile], n_groups: int) -> Tensor:
    """Sums in steps of the rounded distances, (rows, groups) int64."""
    sums = torch.zeros(len(left), n_groups, dtype=torch.int64, device=left.device)
    for tile in tiles:
        distances = (left @ right[:, tile.columns]).sqrt_().round_()
        sums[:, tile.groups] += distances.view(len(left), tile.n_groups, -1).sum(2).to(torch.int64)
    return sums


def pair_factors(rows: Tensor, evaluated: np.ndarray, references: np.ndarray) -> tuple[Tensor, Tensor]:
    """Two matrices whose product is the exact squared distances: (x, |x|², 1) and, upright, (-2 y, 1, |y|²)."""
    x, y = (rows[torch.from_numpy(chosen).to(rows.device)].to(torch.float64) for chosen in (evaluated, references))
    left = torch.cat([x, squared_norms(x)[:, None], torch.ones_like(x[:, :1])], dim=1)
    right = torch.cat([-2.0 * y, torch.ones_like(y[:, :1]), squared_norms(y)[:, None]], dim=1)
    return left, right.T.contiguous()


def resolution(rows: Tensor, largest_segment: int) -> tuple[int, int]:
    """To how many bits below a grid unit distances are rounded, and how many of them float64 then sums exactly."""
    extent = (rows.amax(0).to(torch.float64) - rows.amin(0).to(torch.float64)).square().sum()
    diameter_bits = math.ceil(math.log2(math.sqrt(float(extent)) + 1.0))
    bits = min(STEPS_BITS, 62 - diameter_bits - largest_segment.bit_length())
    return bits, max(1, min(TILE_COLUMNS, 2 ** (53 - bits - diameter_bits)))


@dataclass(frozen=True)
class ColumnTile:
    """References that are worked on at once: some whole groups, or a part of one."""

    columns: slice
    groups: slice

    @property
    def n_groups(self) -> int:
        return int(self.groups.stop - self.groups.start)


def column_tiles(groups: Groups, width: int) -> Iterator[ColumnTile]:
    """No group of a tile has more than `width` references in it."""
    column = group = 0
    for number, size in zip(groups.numbers.tolist(), groups.sizes.tolist(), strict=True):
        at_once = max(1, TILE_COLUMNS // size) if 0 < size <= width else 1
        for first in range(0, number if size else 0, at_once):
            some = min(at_once, number - first)
            end = column + some * size
            for start in range(column, end, max(some * size, 1) if size <= width else width):
                stop = end if size <= width else min(start + width, end)
                yield ColumnTile(slice(start, stop), slice(group + first, group + first + some))
            column = end
        group += number
