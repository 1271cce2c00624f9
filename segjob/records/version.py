"""What a fit leaves: the version with its segments, centroids, scores and gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from segjob.records.model import Model

Verdict = Literal["passed", "warned", "refused", "skipped"]
Origin = Literal["kept", "split", "merged", "new"]


@dataclass(frozen=True)
class Score:
    """A silhouette with how it was come by. `value` is None where there is none, as with one segment."""

    value: float | None
    low: float | None
    high: float | None
    method: str
    n_sampled: int
    exact: bool


@dataclass(frozen=True)
class Candidate:
    """One number of segments that was tried, with its scores.

    Attributes
    ----------
    stability : the mean adjusted Rand index between its segments and those of bootstrap samples
    suggested : the scores speak for this number; for none of them where no number is clear
    """

    n_clusters: int
    inertia: float
    silhouette: Score
    davies_bouldin: float | None = None
    calinski_harabasz: float | None = None
    smallest_share: float | None = None
    stability: float | None = None
    suggested: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage of the fit: how many steps it took, and the inertia of the rows it saw before and after."""

    stage: Literal["starts", "swaps", "minibatches", "sample_passes", "full_passes", "warm_start"]
    n_rows: int
    steps: int
    inertia_before: float | None
    inertia_after: float


@dataclass(frozen=True)
class Centroid:
    """One segment in one clustered column; `value` and the means are in source units.

    `difference` is how far the members' mean lies from that of all customers, in standard deviations of all, after
    impute, clip and transform.
    """

    segment_id: int
    feature: str
    value: float
    scaled_value: float
    grid_value: int
    segment_mean: float | None
    segment_median: float | None
    difference: float | None = None


@dataclass(frozen=True)
class Segment:
    """One cluster of a version.

    `rule` is a SQL predicate over source columns that tells the segment from the others. Over all labelled customers,
    `rule_precision` is the share of its customers that are in the segment, `rule_recall` the share of the segment's
    customers that it finds. `origin` and `from_segment_ids` say how it continues segments of the parent. At the fit,
    one in a hundred is farther than `distance_p99` from the centre.
    """

    segment_id: int
    name: str
    color: str
    n_customers: int
    share: float
    inertia: float
    silhouette: Score
    squared_silhouette: Score
    distance_p99: float = 0.0
    rule: str | None = None
    rule_precision: float | None = None
    rule_recall: float | None = None
    origin: Origin = "new"
    from_segment_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class SampleRow:
    """One customer kept for the report: features in source units by name, None where missing; a hash for the key."""

    segment_id: int
    values: Mapping[str, float | str | None]
    scaled: tuple[float, ...]
    silhouette: float | None
    key_hash: int = 0


@dataclass(frozen=True)
class GateResult:
    """What a gate measured, and what follows from it; `value` is None where there was nothing to measure."""

    gate: str
    value: float | None
    warn: float | None
    refuse: float | None
    result: Verdict


@dataclass(frozen=True)
class Version:
    """The result of a successful fit."""

    segmentation: str
    version_id: int
    parent_version_id: int | None
    run_id: int
    created_at: datetime
    data_as_of: datetime
    n_customers: int
    n_unlabelled: int
    inertia: float
    silhouette: Score
    squared_silhouette: Score
    davies_bouldin: float | None
    calinski_harabasz: float | None
    seed: int
    config_hash: str
    stages: tuple[Stage, ...]
    model: Model
    segments: tuple[Segment, ...]
    centroids: tuple[Centroid, ...]
    sample: tuple[SampleRow, ...]
    status: str = "staged"
    published_at: datetime | None = None
    scope_hash: str = ""
    gates: tuple[GateResult, ...] = ()
    watermark: str | None = None
