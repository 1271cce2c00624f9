"""The label of every customer: the nearest centre, how far it is, and the next nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segjob.clustering.features import Rows
from segjob.clustering.nearest import Assignment, as_rows, assign, resolve_device
from segjob.clustering.plan import FeaturePlan
from segjob.clustering.summary import SegmentSummary, summarise
from segjob.records.model import Labels


@dataclass(frozen=True)
class LabelPass:
    """The last pass over the chunks, with frozen centres: labels, and a summary of the segments.

    Attributes
    ----------
    centers : (k, d) int64 grid units, in the order of `segment_ids`
    segment_ids : ascending, so that ties go to the lowest
    device : `auto`, `cpu` or `cuda`
    """

    plan: FeaturePlan
    centers: np.ndarray
    segment_ids: tuple[int, ...]
    device: str = "auto"

    def __call__(self, rows: Rows, matrix: np.ndarray) -> tuple[Labels, SegmentSummary]:
        """Label the customers of one chunk, given raw and as (n, d) grid coordinates."""
        found = nearest_two(self.centers, matrix, self.device)
        summary = summarise(self.plan.columns, rows, matrix, found, len(self.centers))
        return as_labels(found, self.plan.unit, self.segment_ids), summary


def label(
    centers: np.ndarray, matrix: np.ndarray, unit: float, segment_ids: Sequence[int], device: str = "auto"
) -> Labels:
    """Label customers with frozen centres; the same in a fit, in `score` and in `predict`.

    Parameters
    ----------
    centers : (k, d) int64 grid units, in the order of `segment_ids`
    matrix : (n, d) grid coordinates
    unit : of the grid; distances are in the clustered space
    segment_ids : ascending, so that ties go to the lowest
    """
    return as_labels(nearest_two(centers, matrix, device), unit, segment_ids)


def nearest_two(centers: np.ndarray, matrix: np.ndarray, device: str = "auto") -> Assignment:
    """The nearest and the second nearest centre of each row, by position, with exact squared distances."""
    return assign(as_rows(matrix, resolve_device(device)[0]), centers)


def as_labels(found: Assignment, unit: float, segment_ids: Sequence[int]) -> Labels:
    """The business' view of an assignment: ids, distances in the clustered space, simplified silhouettes."""
    ids = np.array([*segment_ids, 0], np.int32)  # the runner-up of a single segment is the last element
    own, next_nearest = np.sqrt(found.squared), np.sqrt(found.runner_up_squared)
    return Labels(
        ids[found.index], own * unit, ids[found.runner_up], simplified_silhouettes(own, next_nearest, len(segment_ids))
    )


def simplified_silhouettes(own: np.ndarray, next_nearest: np.ndarray, n_segments: int) -> np.ndarray:
    """1 - own distance / next distance, float32; 0 where both are 0, NaN where there is no next."""
    if n_segments == 1:
        return np.full(len(own), np.nan, np.float32)
    ratio = np.divide(own, next_nearest, out=np.ones_like(own), where=next_nearest > 0.0)
    return np.asarray(1.0 - ratio, np.float32)
