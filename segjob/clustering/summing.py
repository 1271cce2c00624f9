"""Sums over the members of each segment: products of whole numbers with a 1 at every customer's segment.

What is too large for float64 to sum exactly is cut in halves, and they are summed apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from segjob.clustering.features import Rows, group_codes, least, number_columns, onehot_groups
from segjob.clustering.grid import DISTANCE_STEPS
from segjob.clustering.kernels import in_halves, is_present
from segjob.clustering.near import Near, near, sums_by_nearest
from segjob.clustering.nearest import from_halves
from segjob.clustering.scripted import scripted
from segjob.clustering.summary import SegmentSummary, number_exponent
from segjob.records.model import ModelColumn

BESIDE = 5
"""How many sums a segment has besides those of its members' coordinates."""


def place_sums(block: Near, distance_steps: float = DISTANCE_STEPS) -> Tensor:
    """Where the members of each segment are, summed up over at most 2**16 rows.

    Returns
    -------
    (k, d + 5) int64: the coordinates, both halves of squared distances and of distances, and the number of rows
    """
    squares = in_halves(block.squared)
    distances = in_halves((block.squared.sqrt() * distance_steps).round_())
    beside = sums_by_nearest(block, [*squares, *distances, torch.ones_like(block.squared)])
    return torch.cat([block.members @ block.rows, beside.T], dim=1).to(torch.int64)


def no_places(rows: Tensor, centers: Tensor, beside: int = BESIDE) -> Tensor:
    """`place_sums` of no rows."""
    return torch.zeros(len(centers), rows.shape[1] + beside, dtype=torch.int64, device=rows.device)


@scripted
def place_sums_of_all(rows: Tensor, centers: Tensor, at_once: int) -> Tensor:
    """`place_sums` of rows (n, d) of any type by the nearest of the centres (k, d) float64, so many at once."""
    total = no_places(rows, centers)
    for part in torch.split(rows, at_once):
        total += place_sums(near(part.to(torch.float64), centers))
    return total


class NumberSteps(NamedTuple):
    """How numeric features, as the source has them, are summed up.

    Attributes
    ----------
    factors : (m, 1) that make of values steps of 2**`number_exponent`, after rounding
    least : (m, 1) what is no number, infinite or at most so large is missing
    """

    factors: Tensor
    least: Tensor


def number_steps(columns: Sequence[ModelColumn], device: str) -> NumberSteps:
    """Those of all columns of a model, on `cpu` or `cuda`."""
    numbers = number_columns(columns)
    a_unit = [2.0 ** -number_exponent(column) for column in numbers]
    bounds = [least(column) for column in numbers]
    return NumberSteps(*torch.tensor([a_unit, bounds], dtype=torch.float64, device=device)[..., None])


def number_sums(numbers: Tensor, members: Tensor, wanted: NumberSteps) -> Tensor:
    """The sums over a block of at most 2**16 customers.

    Parameters
    ----------
    numbers : (m, b) float64 raw values
    members : (k, b) a 1 at the segment of each

    Returns
    -------
    (3, m, k) int64: both halves of the values in steps, and how many values there are
    """
    lowest, highest = numbers.amin(dim=1, keepdim=True), numbers.amax(dim=1, keepdim=True)
    steps, counts = (numbers * wanted.factors).round_(), members.sum(1).expand(len(numbers), -1)
    if not bool(((lowest > wanted.least) & (highest < float("inf"))).all()):
        present = is_present(numbers, wanted.least)
        steps, counts = torch.where(present, steps, 0.0), present.to(torch.float64) @ members.T
    high, low = in_halves(steps)
    return torch.stack([high @ members.T, low @ members.T, counts]).to(torch.int64)


def as_summary(places: np.ndarray, numbers: np.ndarray, categories: tuple[np.ndarray, ...] = ()) -> SegmentSummary:
    """The summary from the sums (k, d + 5) and (3, m, k) of any number of blocks, and what is counted of categories."""
    coordinates, beside = places[:, :-BESIDE], places[:, -BESIDE:].T
    return SegmentSummary(
        beside[4],
        from_halves(beside[:2]),
        from_halves(beside[2:4]),
        coordinates,
        from_halves(numbers[:2]),
        numbers[2],
        categories,
    )


def category_sums(columns: Sequence[ModelColumn], rows: Rows, index: np.ndarray, k: int) -> tuple[np.ndarray, ...]:
    """How many members of each segment each column of a one-hot feature stands for, (columns, k) int64 a feature."""
    groups = zip(onehot_groups(columns), rows.categories, strict=True)
    return tuple(category_totals(group, values, index, k) for group, values in groups)


def category_totals(group: Sequence[ModelColumn], values: pa.Array, index: np.ndarray, n_clusters: int) -> np.ndarray:
    codes = group_codes(group, values).astype(np.int64)
    counts = np.bincount(codes * n_clusters + index, minlength=len(group) * n_clusters)
    return counts.reshape(len(group), n_clusters)
