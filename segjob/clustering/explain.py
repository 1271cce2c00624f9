"""What sets each segment apart: how far its members lie from all customers, by feature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from segjob.clustering.summary import SegmentSummary
from segjob.records.model import ModelColumn
from segjob.records.version import Centroid


def differences(
    columns: Sequence[ModelColumn], unit: float, summary: SegmentSummary, sample_matrix: np.ndarray
) -> np.ndarray:
    """The members' mean minus the mean of all, in standard deviations of all, after impute, clip and transform.

    So under log1p amounts are compared by their logarithms, where the mean is not that of a few. For a category it is
    the difference of the shares over sqrt(p * (1 - p)). Scale and weight cancel out. Without transform, clipping and
    missing values it is (segment_mean - population_mean) / population_std.

    Parameters
    ----------
    columns : all columns of the model
    summary : of the label pass
    sample_matrix : (s, d) grid coordinates of the sample; where a deviation over all is not known, it is the sample's

    Returns
    -------
    (k, d) in the order of the segments and of the clustered columns
    """
    means = summary.coordinates / np.maximum(summary.counts, 1)[:, None]
    everyone = summary.coordinates.sum(axis=0) / max(int(summary.counts.sum()), 1)
    placed = [column for column in columns if column.position is not None]
    deviations = np.array([deviation(column, unit, sample_matrix[:, i]) for i, column in enumerate(placed)])
    apart = means - everyone
    found: np.ndarray = np.divide(apart, deviations, out=np.zeros_like(apart), where=deviations > 0.0)
    return found


def deviation(column: ModelColumn, unit: float, coordinates: np.ndarray) -> float:
    """The standard deviation of a column over all customers, in grid units."""
    if column.category is not None:
        return (column.population_std or 0.0) * column.weight / unit
    if column.scaling == "standard":
        return column.weight / unit
    values = coordinates.astype(np.int64)  # at most 2**20, and as many of them: the sums are exact
    n, total, squares = len(values), int(values.sum()), int((values * values).sum())
    return math.sqrt(n * squares - total**2) / max(n, 1)


def with_differences(centroids: Sequence[Centroid], apart: np.ndarray) -> tuple[Centroid, ...]:
    """The centroids, segment by segment, each with its difference; `apart` is (k, d)."""
    return tuple(
        replace(centroid, difference=value) for centroid, value in zip(centroids, apart.ravel().tolist(), strict=True)
    )
