"""From the customers that were read to the centres of their segments, all of it on the spools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segjob.clustering.choice import Choice
from segjob.clustering.choose_k import choose
from segjob.clustering.kmeans import Fit, fit
from segjob.clustering.labels import nearest_two
from segjob.clustering.nearest import one_thread_each, use_threads
from segjob.clustering.plan import FeaturePlan, plan_features
from segjob.clustering.rules import SAMPLE_ROWS, Rule, learn_rules
from segjob.clustering.warm import warm_centers
from segjob.config.threads import threads
from segjob.engine.chunks import decode_matrix, matrix_batch, matrix_schema
from segjob.engine.local import LocalPopulation
from segjob.engine.spool import Spool
from segjob.job.customers import Customers
from segjob.job.task import Task
from segjob.postgres.versions import published_model
from segjob.records import Model


@dataclass(frozen=True)
class Prepared:
    """The customers where they are clustered."""

    plan: FeaturePlan
    population: LocalPopulation[np.ndarray]
    sample: np.ndarray  # (s, d) float32 grid coordinates in the order of the hashes


@dataclass(frozen=True)
class Fitted:
    """The centres, and all that is needed to label and score with them."""

    prepared: Prepared
    fit: Fit
    rules: tuple[Rule, ...]  # one a segment, in the order of the centres
    choice: Choice | None = None  # where the configuration gives a range

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of the features and of the fit."""
        unclear = [self.choice.reason] if self.choice and not self.choice.clear else []
        return (*self.prepared.plan.warnings, *unclear, *self.fit.warnings)

    @property
    def segment_ids(self) -> tuple[int, ...]:
        """From 1, in the order of the centres: the parent's, or the largest segment first."""
        return tuple(range(1, len(self.fit.centers) + 1))


def prepare(task: Task, customers: Customers) -> Prepared:
    """Find the constants of every feature, and put everyone on the grid, chunk by chunk as they were read."""
    use_threads(threads())
    specs, families = task.segmentation.feature_specs(), [column.family for column in task.plan.features]
    plan = plan_features(specs, families, customers.survey, customers.labelled)
    folder = task.settings.resources.spool_folder
    schema = matrix_schema(len(plan.clustered))
    spool = task.spools.enter_context(Spool(schema, task.budget, folder, customers.chunk_rows))
    for matrix in customers.labelled.map(plan.prepare):
        spool.append(matrix_batch(matrix))
    spool.finish()
    population = LocalPopulation(spool, decode_matrix, customers.labelled.threads, one_thread_each)
    return Prepared(plan, population, plan.prepare(customers.survey.sample.rows))


def fit_customers(task: Task, customers: Customers, prepared: Prepared) -> Fitted:
    """Find the centres, and rules that come close to them."""
    segmentation, unit = task.segmentation, prepared.plan.unit
    with task.database.begin() as connection:
        parent = published_model(connection, task.name)
    choice = choice_of(task, prepared, parent)
    n_clusters = choice.n_clusters if choice else segmentation.least_clusters
    found = fit(
        prepared.sample,
        prepared.population,
        n_clusters,
        seed=segmentation.seed,
        unit=unit,
        device=task.device,
        parent=warm_centers(parent, prepared.plan) if parent else None,
    )
    rules = rules_of(task, customers, prepared, found)
    return Fitted(prepared, found, rules, choice)


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


def rules_of(task: Task, customers: Customers, prepared: Prepared, found: Fit) -> tuple[Rule, ...]:
    """What an analyst could write in SQL instead, learnt on the first customers of the sample."""
    index = nearest_two(found.centers, prepared.sample[:SAMPLE_ROWS], task.device).index
    ids = range(1, len(found.centers) + 1)
    return learn_rules(prepared.plan.columns, column_types(task), customers.survey.sample.rows, index, ids)


def column_types(task: Task) -> tuple[str, ...]:
    """The SQL types of the features' columns."""
    return tuple(column.type for column in task.plan.features)
