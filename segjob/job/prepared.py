"""The customers where they are clustered: on the grid, chunk by chunk as they were read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from segjob.clustering.cores import use_threads
from segjob.clustering.plan import FeaturePlan, first_pass, plan_features
from segjob.clustering.policies import touched
from segjob.clustering.sample import SampleRows, sample_capacity
from segjob.config.threads import threads
from segjob.engine.chunks import decode_matrix, matrix_batch, matrix_schema
from segjob.engine.local import LocalPopulation
from segjob.engine.spool import Spool
from segjob.errors import InternalError
from segjob.job.customers import Customers
from segjob.job.task import Task
from segjob.records.population import Chunk


@dataclass(frozen=True)
class Prepared:
    """The customers where they are clustered."""

    plan: FeaturePlan
    population: LocalPopulation[np.ndarray]
    rows: SampleRows  # (s,) those of the sample, fewer where there are more columns than features
    sample: np.ndarray  # (s, d) float32 grid coordinates of the same

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of the features, and how many customers each policy touched."""
        return (*self.plan.warnings, *touched(self.plan.columns, self.population.n_rows))


def prepare(task: Task, customers: Customers) -> Prepared:
    """Find the constants of every feature, and put everyone on the grid, chunk by chunk as they were read."""
    use_threads(threads())
    specs, families = task.segmentation.feature_specs(), [column.family for column in task.plan.features]
    source = first_pass(specs, customers.survey.at_once, customers.labelled)
    survey = customers.survey.settled
    plan = plan_features(specs, families, survey, source, customers.labelled)
    folder = task.settings.resources.spool_folder
    schema = matrix_schema(len(plan.clustered))
    spool = task.spools.enter_context(Spool(schema, task.budget, folder, customers.chunk_rows))
    for batch in customers.labelled.map(partial(grid_batch, plan)):
        spool.append(batch)
    spool.finish()
    population = LocalPopulation(spool, decode_matrix, customers.labelled.threads)
    rows = survey.sample.rows.first(sample_capacity(len(plan.clustered)))
    sample = np.concatenate(population.at_once(plan.prepare, rows.blocks(customers.chunk_rows)))
    return Prepared(plan, population, rows, sample)


def grid_batch(plan: FeaturePlan, chunk: Chunk) -> pa.RecordBatch:
    return matrix_batch(finite(plan.prepare(chunk)))


def finite(matrix: np.ndarray) -> np.ndarray:
    """The coordinates of some customers, all of which are numbers: one that is not would spread to its whole segment.

    Raises
    ------
    InternalError
        One is not, which the plan's constants should have made impossible.
    """
    if not np.isfinite(matrix).all():
        raise InternalError("a customer's coordinate is not a number; nothing was written")
    return matrix
