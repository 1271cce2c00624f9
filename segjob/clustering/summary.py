"""What a label pass sums up of the segments, exactly and mergeably; scores and profiles are made of nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segjob.clustering.moments import exponent_for
from segjob.records.model import ModelColumn


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


def number_exponent(column: ModelColumn) -> int:
    """The exponent of the steps in which a numeric feature is summed, from its extremes over the population."""
    return exponent_for(column.minimum or 0.0, column.maximum or 0.0)
