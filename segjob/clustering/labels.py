"""The label of every customer: the nearest centre, how far it is, and the next nearest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.features import Rows
from segjob.clustering.near import near, two_nearest
from segjob.clustering.nearest import Assignment, Tally, as_rows, assign, near_at_once, resolve_device
from segjob.clustering.plan import FeaturePlan
from segjob.clustering.scripted import scripted
from segjob.clustering.squared_silhouette import Means, SquaredTotals, means_of, squared_steps
from segjob.clustering.summary import SegmentSummary
from segjob.clustering.summing import (
    NumberSteps,
    as_summary,
    category_sums,
    no_places,
    number_steps,
    number_sums,
    place_sums,
)
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
        self._numbers = number_steps(plan.columns, self._device)
        self._means = means_of(found, self._device)

    def __call__(self, rows: Rows, matrix: np.ndarray) -> tuple[Labels, SegmentSummary, SquaredTotals]:
        """Label the customers of one chunk, given raw and as (n, d) grid coordinates."""
        k, coordinates, raw = len(self._centers), as_rows(matrix, self._device), as_rows(rows.numbers.T, self._device)
        passed = label_blocks(coordinates, raw, self._centers, self._numbers, self._means, near_at_once(k))
        two, places, numbers, squared = (each.cpu().numpy() for each in passed)
        found = Assignment(*two)
        summary = as_summary(places, numbers, category_sums(self._plan.columns, rows, found.index, k))
        return as_labels(found, self._plan.unit, self._segment_ids), summary, SquaredTotals.of(squared)


@scripted
def label_blocks(
    rows: Tensor, raw: Tensor, centers: Tensor, numbers: NumberSteps, means: Means, at_once: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All that the label pass finds out of rows on the grid (n, d) with their raw numbers (m, n), so many at once.

    Returns
    -------
    int64: `two_nearest` of each row, (4, n); and over all rows `place_sums`, `number_sums` and `squared_steps`
    """
    k, n = len(centers), len(rows)
    two = torch.empty(4, n, dtype=torch.int64, device=rows.device)
    places = no_places(rows, centers)
    totals = torch.zeros(3, len(raw), k, dtype=torch.int64, device=rows.device)
    squared = torch.zeros(4, k, dtype=torch.int64, device=rows.device)
    for begin in range(0, n, at_once):
        end = begin + at_once
        block = near(rows[begin:end].to(torch.float64), centers)
        two[:, begin:end] = two_nearest(block)
        places += place_sums(block)
        totals += number_sums(raw[:, begin:end], block.members, numbers)
        squared += squared_steps(block, means)
    return two, places, totals, squared


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
