"""From the customers that were read to a version: plan, fit, labels, scores. All of it on the spools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from segjob.clustering.kmeans import Fit, fit
from segjob.clustering.labels import LabelPass
from segjob.clustering.nearest import one_thread_each, use_threads
from segjob.clustering.plan import FeaturePlan, plan_features
from segjob.clustering.profile import centroids, sample_rows, segment_medians
from segjob.clustering.scores import calinski_harabasz, davies_bouldin
from segjob.clustering.silhouette import Silhouette, silhouette
from segjob.clustering.summary import SegmentSummary
from segjob.config.resources import available_cores
from segjob.config.segmentation import Segmentation
from segjob.engine.chunks import decode_matrix, matrix_batch, matrix_schema
from segjob.engine.local import LocalPopulation, zip_populations
from segjob.engine.spool import Spool
from segjob.job.customers import Customers
from segjob.palette import color_of
from segjob.postgres.columns import ReadPlan
from segjob.records import Chunk, Labels, Model, Segment, Version

PIECE_ROWS = 65_536


@dataclass(frozen=True)
class Identity:
    """Which version it will be."""

    segmentation: str
    version_id: int
    parent_version_id: int | None
    run_id: int


@dataclass(frozen=True)
class Fitted:
    """The centres, and all that is needed to label and score with them."""

    plan: FeaturePlan
    fit: Fit
    prepared: LocalPopulation[np.ndarray]
    sample: np.ndarray  # (s, d) float32 grid coordinates

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of the features and of the fit."""
        return (*self.plan.warnings, *self.fit.warnings)

    @property
    def segment_ids(self) -> tuple[int, ...]:
        """From 1, the largest segment first."""
        return tuple(range(1, len(self.fit.centers) + 1))


def plan_customers(customers: Customers, segmentation: Segmentation, plan: ReadPlan) -> FeaturePlan:
    """The constants of every feature."""
    families = [column.family for column in plan.features]
    return plan_features(segmentation.feature_specs(), families, customers.survey, customers.labelled)


def prepare(customers: Customers, plan: FeaturePlan, spool: Spool) -> LocalPopulation[np.ndarray]:
    """Fill the spool of grid coordinates, chunk by chunk like the customers."""
    for matrix in customers.labelled.map(plan.prepare):
        spool.append(matrix_batch(matrix))
    spool.finish()
    return LocalPopulation(spool, decode_matrix, customers.labelled.threads, one_thread_each)


def prepared_schema(plan: FeaturePlan) -> pa.Schema:
    return matrix_schema(len(plan.clustered))


def fit_customers(
    customers: Customers,
    plan: FeaturePlan,
    prepared: LocalPopulation[np.ndarray],
    segmentation: Segmentation,
    device: str,
) -> Fitted:
    """Find the centres, on the cores that this process may use."""
    use_threads(available_cores())
    sample = plan.prepare(customers.survey.sample.rows)
    n_clusters = segmentation.n_clusters
    assert isinstance(n_clusters, int)
    found = fit(sample, prepared, n_clusters, seed=segmentation.seed, unit=plan.unit, device=device)
    return Fitted(plan, found, prepared, sample)


def pieces(chunk: Chunk, matrix: np.ndarray) -> Iterator[tuple[Chunk, np.ndarray]]:
    """A large chunk bit by bit, so that what is computed of it on the way takes little memory."""
    for first in range(0, chunk.n_rows, PIECE_ROWS):
        rows = slice(first, first + PIECE_ROWS)
        categories = tuple(column[rows] for column in chunk.categories)
        yield Chunk(chunk.keys[rows], chunk.numbers[rows], categories), matrix[rows]


class Labelling:
    """The label pass: chunks of keys and labels once over, and the summary when all went by."""

    def __init__(self, customers: Customers, fitted: Fitted, device: str) -> None:
        self._both = zip_populations(customers.labelled, fitted.prepared)
        self._label = LabelPass(fitted.plan, fitted.fit.centers, fitted.segment_ids, device)
        self._summary: SegmentSummary | None = None

    def __iter__(self) -> Iterator[tuple[pa.RecordBatch, Labels]]:
        for labelled in self._both.map(self._step):
            for keys, labels, summary in labelled:
                self._summary = summary if self._summary is None else self._summary.merge(summary)
                yield keys, labels

    def _step(self, both: tuple[Chunk, np.ndarray]) -> list[tuple[pa.RecordBatch, Labels, SegmentSummary]]:
        return [(chunk.keys, *self._label(chunk, matrix)) for chunk, matrix in pieces(*both)]

    @property
    def summary(self) -> SegmentSummary:
        """Of all customers; there is none before the pass has ended."""
        assert self._summary is not None
        return self._summary


def build_version(
    identity: Identity,
    segmentation: Segmentation,
    customers: Customers,
    fitted: Fitted,
    summary: SegmentSummary,
    device: str,
) -> Version:
    """Score the segments, and put everything together that the version keeps."""
    centers, ids, plan = fitted.fit.centers, fitted.segment_ids, fitted.plan
    scored = silhouette(fitted.sample, centers, summary.counts, device)
    rows = customers.survey.sample.rows
    medians = segment_medians(plan.columns, rows, scored.index, len(ids))
    return Version(
        segmentation=identity.segmentation,
        version_id=identity.version_id,
        parent_version_id=identity.parent_version_id,
        run_id=identity.run_id,
        created_at=customers.taken_at,
        data_as_of=customers.taken_at,
        n_customers=int(summary.counts.sum()),
        n_unlabelled=customers.unlabelled.n_rows,
        inertia=summary.total_inertia * plan.unit**2,
        silhouette=scored.overall,
        davies_bouldin=davies_bouldin(summary, centers),
        calinski_harabasz=calinski_harabasz(summary, centers),
        seed=segmentation.seed,
        config_hash=segmentation.config_hash(),
        stages=fitted.fit.stages,
        model=Model(plan.columns, plan.grid_exponent, ids, centers),
        segments=segments(segmentation, ids, summary, scored, plan.unit),
        centroids=centroids(plan.columns, plan.unit, centers, ids, summary, medians),
        sample=sample_rows(plan.columns, plan.unit, rows, fitted.sample, ids, scored),
    )


def segments(
    segmentation: Segmentation, ids: Sequence[int], summary: SegmentSummary, scored: Silhouette, unit: float
) -> tuple[Segment, ...]:
    """The segments with their names and colours, the configured ones or our own."""
    n_customers = int(summary.counts.sum())
    return tuple(
        Segment(
            segment_id=segment_id,
            name=segmentation.names.get(segment_id, f"Segment {segment_id}"),
            color=segmentation.colors.get(segment_id, color_of(segment_id)),
            n_customers=int(count),
            share=int(count) / n_customers,
            inertia=int(inertia) * unit**2,
            silhouette=score,
        )
        for segment_id, count, inertia, score in zip(ids, summary.counts, summary.inertia, scored.segments, strict=True)
    )
