"""Reading: one snapshot, read once, into spools and a survey."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from segjob.clustering.features import split_excluded
from segjob.clustering.survey import Survey, survey_chunk
from segjob.config.threads import threads
from segjob.engine.chunks import decode_chunk
from segjob.engine.local import LocalPopulation, chunks_at_once
from segjob.engine.room import check_room, spool_row_bytes
from segjob.engine.spool import Spool, chunk_rows_of
from segjob.errors import DataError
from segjob.job.task import Task
from segjob.postgres.columns import ReadPlan
from segjob.postgres.expected import Expected
from segjob.postgres.read import read_bulk
from segjob.postgres.snapshot import Snapshot, hold
from segjob.progress import Phase
from segjob.records import Chunk, FeatureSpec

PASS_PART = 16  # of the memory, one part in so many holds the chunks that are worked on
VALUE_BYTES = 24  # of a value of such a chunk: raw, on the grid, and on the way between them


@dataclass(frozen=True)
class Customers:
    """What was read under one snapshot.

    Attributes
    ----------
    labelled : those that get a segment
    unlabelled : the others: keys, and "excluded_by", the feature without a value whose policy is `exclude`
    chunk_rows : customers of every chunk but the last
    warnings : what a person should know of the reading
    """

    taken_at: datetime
    survey: Survey
    labelled: LocalPopulation[Chunk]
    unlabelled: Spool
    chunk_rows: int
    warnings: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        return self.labelled.n_rows + self.unlabelled.n_rows


@contextmanager
def read_customers(task: Task, phase: Phase) -> Iterator[Customers]:
    """Read the source once; the spools live as long as the block.

    Raises
    ------
    DataError
        The source is empty, or has a NULL key.
    TryAgain
        There is no room for the customers.
    """
    folder = task.settings.resources.spool_folder
    with ExitStack() as spools:
        rows = chunk_rows_of(len(task.plan.features))
        labelled = spools.enter_context(Spool(task.plan.schema, task.budget, folder, rows))
        unlabelled = spools.enter_context(Spool(unlabelled_schema(task.plan), task.budget, folder))
        warnings: list[str] = []
        survey, taken_at = fill(task, phase, labelled, unlabelled, warnings)
        if survey is None:
            raise DataError(empty_sentence(unlabelled.n_rows))
        row_bytes = len(task.plan.features) * VALUE_BYTES
        memory = task.settings.resources.memory_budget // PASS_PART
        population = LocalPopulation(labelled, decode_chunk, chunks_at_once(memory, rows * row_bytes, threads()))
        yield Customers(taken_at, survey, population, unlabelled, rows, tuple(warnings))


def fill(
    task: Task, phase: Phase, labelled: Spool, unlabelled: Spool, warnings: list[str]
) -> tuple[Survey | None, datetime]:
    """Read everything into the spools; returns what was learnt on the way (None of nobody), and the snapshot's time."""
    specs, survey = task.segmentation.feature_specs(), None
    with hold(task.database, task.plan) as snapshot:
        phase.expect(snapshot.expected.n_rows)
        warnings += task.warned(room_warnings(task, snapshot.expected))
        with closing(read_streams_of(task, snapshot, warnings)) as batches:
            for batch in batches:
                phase.advance(batch.num_rows)
                included, chunk = divide(batch, specs, unlabelled)
                labelled.append(included)
                if chunk.n_rows:
                    found = survey_chunk(specs, chunk)
                    survey = found if survey is None else survey.merge(found)
        snapshot.verify()
    labelled.finish()
    unlabelled.finish()
    return survey and survey.settle(), snapshot.taken_at


def room_warnings(task: Task, expected: Expected) -> list[str]:
    """Make sure that the disk has room for what the planner expects, and warn where it may not."""
    schema, n_features = task.plan.schema, len(task.plan.features)
    row_bytes = spool_row_bytes(schema, expected.width, n_features)
    folder = task.settings.resources.spool_folder
    warning = check_room(folder, expected.n_rows, row_bytes, task.budget.left, expected.reliable)
    return [warning] if warning else []


def read_streams_of(task: Task, snapshot: Snapshot, warnings: list[str]) -> Generator[pa.RecordBatch, None, None]:
    """All customers, over as many sessions as the server grants."""

    def slower(reason: str) -> None:
        sentence = f"the source is read slower than it could be: {reason}"
        if sentence not in warnings:
            warnings.extend(task.warned([sentence]))

    return read_bulk(task.database, snapshot, task.plan, task.reading_streams, slower)


def empty_sentence(n_unlabelled: int) -> str:
    if n_unlabelled:
        return f"all {n_unlabelled} customers of the source lack a value that `impute: exclude` asks for"
    return "the source has no rows; nothing to segment"


def unlabelled_schema(plan: ReadPlan) -> pa.Schema:
    """Keys, and the feature that leaves the customer out."""
    keys = [plan.schema.field(i) for i in range(len(plan.keys))]
    return pa.schema([*keys, pa.field("excluded_by", pa.string())])


def divide(batch: pa.RecordBatch, specs: Sequence[FeatureSpec], unlabelled: Spool) -> tuple[pa.RecordBatch, Chunk]:
    """Put the customers that a policy excludes aside, and give the others."""
    chunk = decode_chunk(batch)
    included, features = split_excluded(specs, chunk)
    if not features:
        return batch, chunk
    excluded = batch.filter(pa.array(~included))
    keys = excluded.columns[: len(unlabelled.schema) - 1]
    unlabelled.append(pa.RecordBatch.from_arrays([*keys, pa.array(features)], schema=unlabelled.schema))
    kept = batch.filter(pa.array(included))
    return kept, decode_chunk(kept)
