"""Everything that a version keeps, from the passes over its customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from segjob.clustering.alignment import Match
from segjob.clustering.drift import far_bounds
from segjob.clustering.explain import differences, with_differences
from segjob.clustering.names import segment_names
from segjob.clustering.nearest import Tally
from segjob.clustering.profile import centroids, sample_rows, segment_medians
from segjob.clustering.rules import MeasuredRule, Rule, RuleCounts, measured_rules
from segjob.clustering.scores import calinski_harabasz, davies_bouldin
from segjob.clustering.silhouette import Silhouette, silhouette
from segjob.clustering.squared_silhouette import SquaredTotals
from segjob.clustering.summary import SegmentSummary
from segjob.config.segmentation import Segmentation
from segjob.errors import InternalError
from segjob.job.customers import Customers
from segjob.job.fitting import Fitted, column_types
from segjob.job.matching import Matched
from segjob.job.task import Task
from segjob.palette import color_of
from segjob.records.model import Model
from segjob.records.version import SampleRow, Segment, Version


@dataclass(frozen=True)
class Identity:
    """Which version it will be."""

    segmentation: str
    version_id: int
    parent_version_id: int | None
    run_id: int


@dataclass(frozen=True)
class Counted:
    """What the label pass counts on its way, of the segments and of rules that come close to them; mergeable."""

    segments: SegmentSummary
    squared: SquaredTotals
    rules: tuple[Rule, ...]  # one a segment, in the order of the centres
    of_rules: RuleCounts

    def merge(self, other: Self) -> Counted:
        segments, squared = self.segments.merge(other.segments), self.squared.merge(other.squared)
        return Counted(segments, squared, self.rules, self.of_rules.merge(other.of_rules))


@dataclass(frozen=True)
class SampleScores:
    """How good the segments are by the sample; it takes no labels to compute, so they may travel meanwhile.

    Attributes
    ----------
    silhouette : of the sample
    sample : some customers with their silhouettes, for the report
    medians : of the raw values, (number of numeric features, k)
    far_bounds : (k,) the distance from which on a customer is far from the segment's centre, for the drift
    """

    silhouette: Silhouette
    sample: tuple[SampleRow, ...]
    medians: np.ndarray
    far_bounds: list[float]


def score_sample(fitted: Fitted, device: str) -> SampleScores:
    """Score the segments by the sample."""
    prepared, ids = fitted.prepared, fitted.segment_ids
    plan, rows, n_segments = prepared.plan, prepared.rows, len(ids)
    scored = silhouette(prepared.sample, fitted.fit.centers, fitted.fit.counts, device)
    distances = np.sqrt(scored.squared) * plan.unit
    return SampleScores(
        scored,
        sample_rows(plan.columns, plan.unit, rows, prepared.sample, ids, scored),
        segment_medians(plan.columns, rows, scored.index, n_segments),
        far_bounds(distances, scored.index, n_segments),
    )


def build_version(
    task: Task,
    identity: Identity,
    customers: Customers,
    fitted: Fitted,
    counted: Counted,
    scores: SampleScores,
) -> Version:
    """Explain the segments, and put everything together that the version keeps."""
    centers, ids, plan, summary = fitted.fit.centers, fitted.segment_ids, fitted.prepared.plan, counted.segments
    check_labels(summary, fitted.fit.tally)
    scored, squared = scores.silhouette, counted.squared
    apart = differences(plan.columns, plan.unit, summary, fitted.prepared.sample)
    described = centroids(plan.columns, plan.unit, centers, ids, summary, scores.medians)
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
        squared_silhouette=squared.overall,
        davies_bouldin=davies_bouldin(summary, centers, squared.spreads),
        calinski_harabasz=calinski_harabasz(summary, centers),
        seed=task.segmentation.seed,
        config_hash=task.segmentation.config_hash(),
        scope_hash=task.segmentation.scope_hash(),
        stages=fitted.fit.stages,
        model=Model(plan.columns, plan.grid_exponent, ids, centers),
        segments=segments(
            task.segmentation,
            ids,
            segment_names(plan.columns, apart, ids, names_by_id(task.segmentation.names, fitted.matched)),
            fitted.matched.by_id,
            measured(task, customers, fitted, counted),
            summary,
            scores,
            squared,
            plan.unit,
        ),
        centroids=with_differences(described, apart),
        sample=scores.sample,
    )


def check_labels(summary: SegmentSummary, found: Tally) -> None:
    """Make sure that the labels gave the segments the members that the fit gave them, as the scores rely on."""
    ours, of_fit = (summary.counts, summary.coordinates, summary.inertia), (found.counts, found.sums, found.inertias)
    if not all(np.array_equal(mine, theirs[0]) for mine, theirs in zip(ours, of_fit, strict=True)):
        raise InternalError("the labels are not those of the fit; nothing was published")


def names_by_id(given: Mapping[int, str], matched: Matched) -> dict[int, str]:
    """The configured names, and those that kept segments have had; the rest are made anew.

    A name that somebody else has been given goes, and so does the one of a segment that was all customers.
    """
    before, names = matched.parent.names if matched.parent else {}, dict(given)
    for match in matched.by_id:
        name = before.get(match.segment_id)
        if name is not None and len(before) > 1 < len(matched.matches) and name not in names.values():
            names.setdefault(match.segment_id, name)
    return names


def measured(task: Task, customers: Customers, fitted: Fitted, counted: Counted) -> tuple[MeasuredRule, ...]:
    """The rules as predicates, with what they are worth."""
    excluded = customers.unlabelled.n_rows > 0
    return measured_rules(counted.rules, counted.of_rules, fitted.prepared.plan.columns, column_types(task), excluded)


def segments(
    segmentation: Segmentation,
    ids: Sequence[int],
    names: Sequence[str],
    matches: Sequence[Match],
    rules: Sequence[MeasuredRule],
    summary: SegmentSummary,
    scores: SampleScores,
    squared: SquaredTotals,
    unit: float,
) -> tuple[Segment, ...]:
    """The segments with their names and colours, the configured ones or our own."""
    n_customers = int(summary.counts.sum())
    return tuple(
        Segment(
            segment_id=segment_id,
            name=name,
            color=segmentation.colors.get(segment_id, color_of(segment_id)),
            n_customers=int(count),
            share=int(count) / n_customers,
            inertia=int(inertia) * unit**2,
            silhouette=score,
            squared_silhouette=squared_score,
            rule=rule.predicate,
            rule_precision=rule.precision,
            rule_recall=rule.recall,
            origin=match.origin,
            from_segment_ids=match.from_segment_ids,
            distance_p99=far,
        )
        for segment_id, name, match, rule, count, inertia, score, squared_score, far in zip(
            ids,
            names,
            matches,
            rules,
            summary.counts,
            summary.inertia,
            scores.silhouette.segments,
            squared.segments,
            scores.far_bounds,
            strict=True,
        )
    )
