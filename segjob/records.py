"""What crosses from room to room: frozen records, no behaviour that needs a database or torch.

Arrays are numpy; `n` stands for customers, `d` for clustered columns, `k` for segments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Transform = Literal["none", "log1p"]
Scale = Literal["standard", "robust", "minmax", "none"]
Impute = Literal["median", "mean", "zero", "exclude"]
KeyFamily = Literal["integer", "uuid", "text"]
Verdict = Literal["passed", "warned", "refused", "skipped"]
Origin = Literal["kept", "split", "merged", "new"]
FeatureFamily = Literal["number", "boolean", "date", "timestamp", "text"]

OTHER = "other"
"""The category that takes NULL, rare and unseen ones."""


# What is asked for


@dataclass(frozen=True)
class SourceSpec:
    """Where the customers are: exactly one of `relation` and `query`."""

    relation: str | None = None
    query: str | None = None
    where: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    parallel_safe: bool = False


@dataclass(frozen=True)
class FeatureSpec:
    """One feature as the configuration asks for it."""

    column: str
    transform: Transform = "none"
    scale: Scale = "standard"
    impute: Impute = "median"
    clip: tuple[float, float] | None = None
    weight: float = 1.0
    onehot: bool = False


# What the source has


@dataclass(frozen=True)
class KeyColumn:
    """A key column with the source's own name and type, such as `bigint` or `character varying(20)`."""

    name: str
    type: str
    family: KeyFamily


@dataclass(frozen=True)
class FeatureColumn:
    """A feature column with the source's own name and type, and how it is read."""

    name: str
    type: str
    family: FeatureFamily


# What travels in chunks


@dataclass(frozen=True)
class Chunk:
    """Some customers as they were read.

    Attributes
    ----------
    keys : the key columns, n rows, in the order of the configuration
    numbers : (n, number of numeric features) float64; NaN is missing (NULL, NaN and the infinities alike)
    categories : one string array a one-hot feature, in the order of the configuration; null is missing
    """

    keys: pa.RecordBatch
    numbers: np.ndarray
    categories: tuple[pa.Array, ...]

    @property
    def n_rows(self) -> int:
        return int(self.numbers.shape[0])


class Summary(Protocol):
    """What a pass makes of one chunk; merging is associative and does not depend on the order."""

    def merge(self, other: Self) -> Self: ...


C = TypeVar("C", covariant=True)
T = TypeVar("T")
S = TypeVar("S", bound=Summary)


class Population(Protocol[C]):
    """All customers of a snapshot in chunks, visited as often as needed; every pass over the data is one of these."""

    @property
    def n_rows(self) -> int: ...

    def reduce(self, summarise: Callable[[C], S]) -> S:
        """Summarise every chunk and merge the summaries. There is at least one chunk."""
        ...

    def map(self, compute: Callable[[C], T]) -> Iterator[T]:
        """Compute something of every chunk, in the order of the chunks."""
        ...


# The model


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


# The result


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

    stage: Literal["starts", "swaps", "minibatches", "full_passes", "warm_start"]
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


@dataclass(frozen=True)
class Transition:
    """How many customers went from one segment to another, or stayed; None for those who came or left.

    `n_features_moved` of them the old model would give another segment today, of `n_model_moved` the two models
    think differently; None where that is not known, and for those who stayed, came or left.
    """

    from_segment_id: int | None
    to_segment_id: int | None
    n_customers: int
    n_features_moved: int | None = None
    n_model_moved: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Who moved between two versions; customers without a segment count as not there."""

    transitions: tuple[Transition, ...]

    @property
    def n_shared(self) -> int:
        """Customers with a segment in both."""
        return sum(
            one.n_customers
            for one in self.transitions
            if one.from_segment_id is not None and one.to_segment_id is not None
        )

    @property
    def n_stayed(self) -> int:
        """Customers with the same segment in both."""
        return sum(one.n_customers for one in self.transitions if one.from_segment_id == one.to_segment_id)

    @property
    def n_came(self) -> int:
        """Customers with a segment in the second version only."""
        return sum(one.n_customers for one in self.transitions if one.from_segment_id is None)

    @property
    def n_left(self) -> int:
        """Customers with a segment in the first version only."""
        return sum(one.n_customers for one in self.transitions if one.to_segment_id is None)

    @property
    def n_moved(self) -> int:
        """Customers whose segment differs, with those who came and those who left."""
        return sum(one.n_customers for one in self.transitions) - self.n_stayed

    @property
    def label_churn(self) -> float | None:
        """The share of shared customers whose segment differs; None if no customer is in both."""
        return (self.n_shared - self.n_stayed) / self.n_shared if self.n_shared else None
