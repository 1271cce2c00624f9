"""Reading: one snapshot, read once, into spools and a survey."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from segjob.clustering.features import split_excluded
from segjob.clustering.survey import Survey, survey_chunk
from segjob.config.resources import available_cores
from segjob.config.settings import Resources
from segjob.engine.chunks import decode_chunk
from segjob.engine.local import LocalPopulation
from segjob.engine.spool import Budget, Spool
from segjob.errors import DataError
from segjob.postgres.columns import ReadPlan
from segjob.postgres.connect import Database
from segjob.postgres.read import read_bulk
from segjob.postgres.snapshot import hold
from segjob.records import Chunk, FeatureSpec

MISSING = "missing value"
"""Why a customer gets no label: a feature whose policy is `exclude` has no value."""


@dataclass(frozen=True)
class Customers:
    """What was read under one snapshot.

    Attributes
    ----------
    labelled : those that get a segment
    unlabelled : the others: keys, "reason" and "feature"
    """

    taken_at: datetime
    survey: Survey
    labelled: LocalPopulation[Chunk]
    unlabelled: Spool

    @property
    def n_rows(self) -> int:
        return self.labelled.n_rows + self.unlabelled.n_rows


@contextmanager
def read_customers(
    database: Database, plan: ReadPlan, specs: Sequence[FeatureSpec], resources: Resources, budget: Budget
) -> Iterator[Customers]:
    """Read the source once; the spools live as long as the block.

    Raises
    ------
    DataError
        The source is empty, or has a NULL key.
    """
    with ExitStack() as spools:
        labelled = spools.enter_context(Spool(plan.schema, budget, resources.spool_folder))
        unlabelled = spools.enter_context(Spool(unlabelled_schema(plan), budget, resources.spool_folder))
        survey, taken_at = fill(database, plan, specs, labelled, unlabelled)
        if survey is None:
            raise DataError(empty_sentence(unlabelled.n_rows))
        yield Customers(taken_at, survey, LocalPopulation(labelled, decode_chunk, available_cores()), unlabelled)


def fill(
    database: Database, plan: ReadPlan, specs: Sequence[FeatureSpec], labelled: Spool, unlabelled: Spool
) -> tuple[Survey | None, datetime]:
    """Read everything into the spools; returns what was learnt on the way (None of nobody), and the snapshot's time."""
    survey: Survey | None = None
    with hold(database, plan) as snapshot, closing(read_bulk(database, snapshot, plan)) as batches:
        for batch in batches:
            included = divide(batch, specs, unlabelled)
            labelled.append(included)
            if included.num_rows:
                found = survey_chunk(specs, decode_chunk(included))
                survey = found if survey is None else survey.merge(found)
        snapshot.verify()
    labelled.finish()
    unlabelled.finish()
    return survey and survey.settle(), snapshot.taken_at


def empty_sentence(n_unlabelled: int) -> str:
    if n_unlabelled:
        return f"all {n_unlabelled} customers of the source lack a value that `impute: exclude` asks for"
    return "the source has no rows; nothing to segment"


def unlabelled_schema(plan: ReadPlan) -> pa.Schema:
    """Keys, and why there is no label."""
    keys = [plan.schema.field(i) for i in range(len(plan.keys))]
    return pa.schema([*keys, pa.field("reason", pa.string()), pa.field("feature", pa.string())])


def divide(batch: pa.RecordBatch, specs: Sequence[FeatureSpec], unlabelled: Spool) -> pa.RecordBatch:
    """Put the customers that a policy excludes aside, and give the others."""
    included, features = split_excluded(specs, decode_chunk(batch))
    if not features:
        return batch
    excluded = batch.filter(pa.array(~included))
    keys = excluded.columns[: len(unlabelled.schema) - 2]
    reasons = pa.array([MISSING] * len(features), pa.string())
    unlabelled.append(pa.RecordBatch.from_arrays([*keys, reasons, pa.array(features)], schema=unlabelled.schema))
    return batch.filter(pa.array(included))
