"""Scores that need no pairs of customers, from the exact sums of a label pass."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from segjob.clustering.grid import DISTANCE_STEPS
from segjob.clustering.summary import SegmentSummary


def davies_bouldin(summary: SegmentSummary, centers: np.ndarray, spreads: np.ndarray) -> float | None:
    """The mean over the segments of the worst (s_i + s_j) / |μ_i - μ_j|; lower is better; None with one segment.

    s is the mean distance of the members from their mean μ (Davies, Bouldin 1979). Segments with one mean are not
    compared, as in scikit-learn.

    Parameters
    ----------
    centers : (k, d) int64 grid units, with which the pass labelled
    spreads : (k,) mean distances of the members from their mean, from a `SquaredPass`
    """
    if len(centers) < 2:
        return None
    apart = apart_from_each_other(summary, centers)
    apart[apart == 0.0] = np.inf
    return float(((spreads[:, None] + spreads[None]) / apart).max(axis=1).mean())


def spreads_about_centers(summary: SegmentSummary) -> np.ndarray:
    """(k,) the mean distances of the members from the centre, in grid units.

    They stand in for those from the mean where several numbers of segments are tried: the means are known after the
    pass that gave everyone a segment, and another pass for every number costs more than the difference is worth.
    """
    return np.asarray(summary.distances.astype(np.float64) / DISTANCE_STEPS / np.maximum(summary.counts, 1))


def apart_from_each_other(summary: SegmentSummary, centers: np.ndarray) -> np.ndarray:
    """The distances of the members' means, (k, k) grid units."""
    counts = np.maximum(summary.counts, 1)[:, None]
    offsets = (summary.coordinates - summary.counts[:, None] * centers) / counts
    apart = centers[:, None] - centers[None] + (offsets[:, None] - offsets[None])
    return np.asarray(np.sqrt(np.square(apart).sum(axis=2)))


def calinski_harabasz(summary: SegmentSummary, centers: np.ndarray) -> float | None:
    """Variance between the segments over variance within, each by its degrees of freedom (Caliński, Harabasz 1974).

    Higher is better. About the members' means, exact until the last division. None with one segment, and where every
    customer lies on the own segment's mean.
    """
    n_rows, n_clusters = int(summary.counts.sum()), len(centers)
    within = within_squares(summary, centers)
    if n_clusters < 2 or not within:
        return None
    overall = Fraction(squares(summary.coordinates.sum(axis=0)), n_rows)
    between = sum(map(Fraction, *segment_squares(summary.coordinates, summary.counts)), -overall)
    return float(between * (n_rows - n_clusters) / (within * (n_clusters - 1)))


def within_squares(summary: SegmentSummary, centers: np.ndarray) -> Fraction:
    """The squared distances of all customers from the means of their segments, in squared grid units."""
    offsets = summary.coordinates - summary.counts[:, None] * centers
    return summary.total_inertia - sum(map(Fraction, *segment_squares(offsets, summary.counts)), Fraction(0))


def segment_squares(sums: np.ndarray, counts: np.ndarray) -> tuple[list[int], list[int]]:
    """Numerators and denominators of |sum|² / count of each segment."""
    return [squares(row) for row in sums], np.maximum(counts, 1).tolist()


def squares(sums: np.ndarray) -> int:
    return sum(value * value for value in sums.tolist())
