"""What a label pass sums up of the segments, exactly and mergeably; scores and profiles are made of nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from segjob.clustering.features import Rows, group_codes, missing, number_columns, onehot_groups
from segjob.clustering.grid import distance_steps
from segjob.clustering.moments import exponent_for, fixed_point
from segjob.records.model import ModelColumn

if TYPE_CHECKING:
    from segjob.clustering.nearest import Assignment

BLOCK = 2**16  # rows: float64 then sums halves of 36 bits exactly
HALF_BITS = 26


@dataclass(frozen=True)
class SegmentSummary:
    """Exact sums over the members of each of k segments, in the order of the centres.

    Attributes
    ----------
    counts : (k,) int64
    inertia : (k,) Python integers, squared grid units from the own centre
    distances : (k,) Python integers, steps of 2**-24 grid unit from the own centre
    coordinates : (k, d) int64, sums of grid coordinates
    totals : (m, k) Python integers, sums of the numeric features as the source has them, without missing values, in
        steps of 2**`number_exponent(column)`
    n_values : (m, k) int64, how many values `totals` holds
    categories : for each one-hot feature (its columns, k) int64
    """

    counts: np.ndarray
    inertia: np.ndarray
    distances: np.ndarray
    coordinates: np.ndarray
    totals: np.ndarray
    n_values: np.ndarray
    categories: tuple[np.ndarray, ...]

    def merge(self, other: SegmentSummary) -> SegmentSummary:
        return SegmentSummary(
            self.counts + other.counts,
            self.inertia + other.inertia,
            self.distances + other.distances,
            self.coordinates + other.coordinates,
            self.totals + other.totals,
            self.n_values + other.n_values,
            tuple(mine + theirs for mine, theirs in zip(self.categories, other.categories, strict=True)),
        )

    @property
    def total_inertia(self) -> int:
        """Squared grid units; the version's inertia is this times `unit ** 2`."""
        return int(self.inertia.sum())


def summarise(
    columns: Sequence[ModelColumn], rows: Rows, matrix: np.ndarray, found: Assignment, n_clusters: int
) -> SegmentSummary:
    """Sum up the members of each segment among the customers of one chunk, raw (`rows`) and on the grid (`matrix`)."""
    index = found.index
    counts = np.bincount(index, minlength=n_clusters)
    numbers = [
        number_totals(column, values, index, counts)
        for column, values in zip(number_columns(columns), rows.numbers.T, strict=True)
    ]
    coordinates = [np.bincount(index, weights=column, minlength=n_clusters) for column in matrix.T]
    return SegmentSummary(
        counts,
        segment_sums(index, found.squared.astype(np.float64), n_clusters),
        segment_sums(index, distance_steps(found.squared), n_clusters),
        np.stack(coordinates, axis=1).astype(np.int64),
        np.array([totals for totals, _ in numbers], object).reshape(-1, n_clusters),
        np.array([n_values for _, n_values in numbers], np.int64).reshape(-1, n_clusters),
        tuple(
            category_totals(group, values, index, n_clusters)
            for group, values in zip(onehot_groups(columns), rows.categories, strict=True)
        ),
    )


def segment_sums(index: np.ndarray, values: np.ndarray, n_clusters: int) -> np.ndarray:
    """Sums by segment of float64 values that are whole numbers of up to 62 bits, (k,) Python integers."""
    totals = np.zeros(n_clusters, object)
    for first in range(0, len(values), BLOCK):
        members, block = index[first : first + BLOCK], values[first : first + BLOCK]
        high = np.floor(block * 2.0**-HALF_BITS)
        low = block - high * 2.0**HALF_BITS
        for half, bits in ((high, HALF_BITS), (low, 0)):
            sums = np.bincount(members, weights=half, minlength=n_clusters)
            totals += sums.astype(np.int64).astype(object) * 2**bits
    return totals


def number_exponent(column: ModelColumn) -> int:
    """The exponent of the steps in which a numeric feature is summed, from its extremes over the population."""
    return exponent_for(column.minimum or 0.0, column.maximum or 0.0)


def number_totals(
    column: ModelColumn, values: np.ndarray, index: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sums and numbers of the values of one feature that are not missing, (k,) each, of segments with these members."""
    absent = missing(column, values)
    if absent.any():
        values, index = values[~absent], index[~absent]
        counts = np.bincount(index, minlength=len(counts))
    steps = fixed_point(values, number_exponent(column))
    return segment_sums(index, steps, len(counts)), counts


def category_totals(group: Sequence[ModelColumn], values: pa.Array, index: np.ndarray, n_clusters: int) -> np.ndarray:
    """How many members of each segment each column of a one-hot feature stands for, (columns, k) int64."""
    codes = group_codes(group, values).astype(np.int64)
    counts = np.bincount(codes * n_clusters + index, minlength=len(group) * n_clusters)
    return counts.reshape(len(group), n_clusters)
