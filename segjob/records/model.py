"""What gives a customer a segment, and what it gives.

Arrays are numpy; `n` stands for customers, `d` for clustered columns, `k` for segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from segjob.records.source import FeatureFamily, Impute, Scale, Transform

if TYPE_CHECKING:
    import numpy as np

OTHER = "other"
"""The category that takes NULL, rare and unseen ones."""


@dataclass(frozen=True)
class ModelColumn:
    """One dimension of the space that is clustered, and all constants that lead to it.

    `scaled = (transform(clip(impute(x))) - center) / scale * weight`, and on the grid
    `rint((scaled - origin) / unit)`. A one-hot dimension has a `category` (`other` takes the rest), center 0, scale 1.
    `position` is None for a constant column, which is kept for the record and not clustered.
    """

    feature: str
    column: str
    position: int | None
    family: FeatureFamily
    transform: Transform = "none"
    scaling: Scale = "none"
    impute: Impute = "median"
    impute_value: float | None = None
    clip_low: float | None = None
    clip_high: float | None = None
    center: float = 0.0
    scale: float = 1.0
    weight: float = 1.0
    origin: float = 0.0
    category: str | None = None
    n_missing: int = 0
    n_clipped: int = 0
    minimum: float | None = None
    maximum: float | None = None
    population_mean: float | None = None
    population_std: float | None = None
    population_median: float | None = None


@dataclass(frozen=True)
class Model:
    """What is needed to give a customer a segment; kept with the version.

    Attributes
    ----------
    columns : every clustered or dropped column
    grid_exponent : e; the grid's unit is 2**(e - 16) in the scaled space
    segment_ids : (k,) the id of each centre, ascending
    centers : (k, d) int64, grid units
    """

    columns: tuple[ModelColumn, ...]
    grid_exponent: int
    segment_ids: tuple[int, ...]
    centers: np.ndarray

    @property
    def unit(self) -> float:
        return float(2.0 ** (self.grid_exponent - 16))

    @property
    def clustered(self) -> tuple[ModelColumn, ...]:
        return tuple(column for column in self.columns if column.position is not None)


@dataclass(frozen=True)
class Labels:
    """The label pass over one chunk; all arrays have n elements, in the order of the chunk.

    With one segment there is no runner-up (0) and no silhouette (NaN). `carried_segment_id` is what the parent's model
    says of the same customers on the same day; None without a parent of the same features.
    """

    segment_id: np.ndarray  # int32
    distance: np.ndarray  # float64, to the own centre, in the clustered space
    runner_up_segment_id: np.ndarray  # int32
    simplified_silhouette: np.ndarray  # float32
    carried_segment_id: np.ndarray | None = None  # int32
