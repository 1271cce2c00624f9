"""Scores that need no pairs of customers, from the exact sums of a label pass."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from segjob.clustering.grid import DISTANCE_STEPS
from segjob.clustering.summary import SegmentSummary


def davies_bouldin(summary: SegmentSummary, centers: np.ndarray) -> float | None:
    """The mean over the segments of the worst (s_i + s_j) / |c_i - c_j|; lower is better; None with one segment.

    s is the mean distance of the members from the version's own centre c (Davies, Bouldin 1979), which the
    fit leaves close to their mean.

    Parameters
    ----------
    centers : (k, d) int64 grid units, with which the pass labelled
    """
    if len(centers) < 2:
        return None
    spread = summary.distances.astype(np.float64) / DISTANCE_STEPS / np.maximum(summary.counts, 1)
    apart = np.sqrt(np.square(centers[:, None] - centers[None]).sum(axis=2))
    np.fill_diagonal(apart, np.inf)
    return float(((spread[:, None] + spread[None]) / apart).max(axis=1).mean())


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
