"""From the customers that were read to the centres of their segments, all of it on the spools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segjob.clustering.choice import Choice
from segjob.clustering.choose_k import choose
from segjob.clustering.kmeans import Fit, fit
from segjob.clustering.reorder import reordered
from segjob.clustering.warm import warm_centers
from segjob.job.customers import Customers
from segjob.job.matching import Matched, match_segments
from segjob.job.prepared import Prepared
from segjob.job.task import Task
from segjob.postgres.publishing.versions import load_parent, next_segment_id
from segjob.records.model import Model


@dataclass(frozen=True)
class Fitted:
    """The centres and the ids of their segments, which is all that is needed to label and score with them."""

    prepared: Prepared
    fit: Fit
    matched: Matched
    choice: Choice | None = None  # where the configuration gives a range

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of the features and of the fit."""
        unclear = [self.choice.reason] if self.choice and not self.choice.clear else []
        return (*self.prepared.warnings, *unclear, *self.fit.warnings, *self.matched.warnings)

    @property
    def segment_ids(self) -> tuple[int, ...]:
        """In the order of the centres, ascending."""
        return tuple(match.segment_id for match in self.matched.by_id)


def fit_customers(task: Task, customers: Customers, prepared: Prepared) -> Fitted:
    """Find the centres and the ids of their segments.

    The centres are in the order of their ids, so that ties go to the lowest.
    """
    segmentation, unit = task.segmentation, prepared.plan.unit
    with task.database.begin() as connection:
        parent, next_id = load_parent(connection, task.name), next_segment_id(connection, task.name)
    choice = choice_of(task, prepared, parent.model if parent else None)
    n_clusters = choice.n_clusters if choice else segmentation.least_clusters
    found = fit(
        prepared.sample,
        prepared.population,
        n_clusters,
        seed=segmentation.seed,
        unit=unit,
        device=task.device,
        parent=warm_centers(parent.model, prepared.plan) if parent else None,
    )
    matched = match_segments(task, customers, prepared, found, parent, next_id)
    found = reordered(found, matched.order, prepared.sample, prepared.population, unit, task.device)
    return Fitted(prepared, found, matched, choice)


def choice_of(task: Task, prepared: Prepared, parent: Model | None) -> Choice | None:
    """Where the configuration gives a range, the number of segments that is taken, and why."""
    numbers = task.segmentation.n_clusters
    return None if isinstance(numbers, int) else choose_number(task, prepared, numbers.numbers, parent)


def choose_number(task: Task, prepared: Prepared, numbers: Sequence[int], published: Model | None) -> Choice:
    """Try every number of segments on the customers that were prepared."""
    return choose(
        prepared.sample,
        prepared.population,
        numbers,
        seed=task.segmentation.seed,
        unit=prepared.plan.unit,
        device=task.device,
        published=len(published.segment_ids) if published else None,
    )


def column_types(task: Task) -> tuple[str, ...]:
    """The SQL types of the features' columns."""
    return tuple(column.type for column in task.plan.features)
