"""The label of every customer: the nearest centre, how far it is, and the next nearest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from segjob.clustering.features import Rows
from segjob.clustering.nearest import Assignment, Tally, as_rows, assign, assignment, near, resolve_device, row_blocks
from segjob.clustering.plan import FeaturePlan
from segjob.clustering.squared_silhouette import SquaredSilhouettes, SquaredTotals
from segjob.clustering.summary import SegmentSummary
from segjob.clustering.summing import BESIDE, NumberSums, as_summary, category_sums, place_sums
from segjob.records.model import Labels


class LabelPass:
    """The last pass over the chunks, with frozen centres: labels, a summary of the segments, and silhouettes.

    Parameters
    ----------
    found : of the centres over everyone, R = 1, with `member_squares`; in the order of `segment_ids`
    segment_ids : ascending, so that ties go to the lowest
    device : `auto`, `cpu` or `cuda`
    """

    def __init__(self, plan: FeaturePlan, found: Tally, segment_ids: tuple[int, ...], device: str = "auto") -> None:
        self._plan, self._segment_ids = plan, segment_ids
        self._device = resolve_device(device)[0]
        self._centers = torch.from_numpy(found.centers[0]).to(self._device, torch.float64)
        self._number_sums = NumberSums(plan.columns, self._device)
        self._squared = SquaredSilhouettes(found, self._device)

    def __call__(self, rows: Rows, matrix: np.ndarray) -> tuple[Labels, SegmentSummary, SquaredTotals]:
        """Label the customers of one chunk, given raw and as (n, d) grid coordinates."""
        raw, k = as_rows(rows.numbers.T, self._device), len(self._centers)
        shapes = (k, matrix.shape[1] + BESIDE), (3, len(raw), k), (4, k)
        places, numbers, squared = (torch.zeros(one, dtype=torch.int64, device=self._device) for one in shapes)
        found, end = [], 0
        for block in row_blocks(as_rows(matrix, self._device), k):
            placed, begin, end = near(block, self._centers), end, end + len(block)
            places += place_sums(placed)
            numbers += self._number_sums(raw[:, begin:end], placed.members)
            squared += self._squared.steps(placed)
            found.append(placed.two)
        both = assignment(found)
        categories = category_sums(self._plan.columns, rows, both.index, k)
        summary = as_summary(places.cpu().numpy(), numbers.cpu().numpy(), categories)
        return as_labels(both, self._plan.unit, self._segment_ids), summary, SquaredTotals.of(squared)


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
