"""Reading: one snapshot, read once, into spools and a survey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

import pyarrow as pa
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random

from segjob.arrays import as_arrow, as_texts
from segjob.clustering.features import split_excluded
from segjob.clustering.policies import stood_in_for
from segjob.config.threads import threads
from segjob.engine.chunks import decode_chunk
from segjob.engine.local import LocalPopulation, chunks_at_once
from segjob.engine.room import check_room, spool_row_bytes
from segjob.engine.spool import Spool, chunk_rows_of
from segjob.errors import DatabaseUnavailable, DataError, NoRoom, TryAgain
from segjob.job.surveying import Surveyed, Surveyor
from segjob.job.task import Task
from segjob.postgres.reading.columns import ReadPlan
from segjob.postgres.reading.expected import Expected
from segjob.postgres.reading.read import read_bulk
from segjob.postgres.reading.snapshot import Snapshot, hold
from segjob.progress import Phase
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec
from segjob.threads import Pool

PASS_PART = 16  # of the memory, one part in so many holds the chunks that are worked on
DISTURBED = (DatabaseUnavailable, TryAgain)
VALUE_BYTES = 24  # of a value of such a chunk: raw, on the grid, and on the way between them


@dataclass(frozen=True)
class Spooled:
    """What was read under one snapshot.

    Attributes
    ----------
    labelled : those that get a segment; there may be none
    unlabelled : the others: keys and "excluded_by"
    chunk_rows : customers of every chunk but the last
    warnings : what a person should know of the reading
    """

    taken_at: datetime
    labelled: LocalPopulation[Chunk]
    unlabelled: Spool
    chunk_rows: int
    warnings: tuple[str, ...]

    @property
    def n_rows(self) -> int:
        return self.labelled.n_rows + self.unlabelled.n_rows


@dataclass(frozen=True)
class Customers(Spooled):
    """The same of customers to be segmented, with what was learnt of them on the way. At least one is labelled."""

    survey: Surveyed


@contextmanager
def read_customers(task: Task, phase: Phase) -> Iterator[Customers]:
    """Read the source as it is at one moment; the spools live as long as the block.

    Raises
    ------
    DataError
        The source is empty, or has a NULL key.
    NoRoom
        There is no room for the customers.
    TryAgain, DatabaseUnavailable
        The read was disturbed twice.
    """
    with read_rows(task, phase, task.segmentation.feature_specs(), surveyed=True) as (spooled, survey):
        if survey is None:
            raise DataError(empty_sentence(task, spooled.unlabelled.n_rows))
        yield Customers(**vars(spooled), survey=survey)


@contextmanager
def read_rows(
    task: Task, phase: Phase, specs: Sequence[FeatureSpec], *, surveyed: bool = False
) -> Iterator[tuple[Spooled, Surveyed | None]]:
    """The same of a source that may be empty; a survey only where it is asked for and there is somebody.

    Parameters
    ----------
    specs : the features that the task's plan reads
    """
    again: list[str] = []
    with ExitStack() as spools:
        for attempt in twice(task, phase, again):
            with attempt, ExitStack() as filled:
                spooled, survey = read_once(task, phase, specs, filled, surveyed=surveyed)
                spools.enter_context(filled.pop_all())
        yield replace(spooled, warnings=(*again, *spooled.warnings)), survey


def twice(task: Task, phase: Phase, warnings: list[str]) -> Retrying:
    """A read that was disturbed is done once more, as a whole and with a new snapshot; the run keeps why.

    What a full disk or the customers themselves are the reason of would come again.
    """

    def say(state: RetryCallState) -> None:
        phase.begin_again()
        error = state.outcome and state.outcome.exception()
        warnings.extend(task.warned([f"the source is read once more, with a new snapshot: {error}"]))

    return Retrying(
        stop=stop_after_attempt(2),
        wait=wait_random(0.1, 1.0),
        retry=retry_if_exception(lambda error: isinstance(error, DISTURBED) and not isinstance(error, NoRoom)),
        before_sleep=say,
        reraise=True,
    )


def read_once(
    task: Task, phase: Phase, specs: Sequence[FeatureSpec], spools: ExitStack, *, surveyed: bool
) -> tuple[Spooled, Surveyed | None]:
    """Everybody under one snapshot, or nobody."""
    folder = task.settings.resources.spool_folder
    rows = chunk_rows_of(len(task.plan.features))
    labelled = spools.enter_context(Spool(task.plan.schema, task.budget, folder, rows))
    unlabelled = spools.enter_context(Spool(unlabelled_schema(task.plan), task.budget, folder))
    survey = Surveyor(specs) if surveyed else None
    warnings: list[str] = []
    taken_at = fill(task, phase, Filled(specs, labelled, unlabelled, survey), warnings)
    row_bytes = max(len(task.plan.features), 1) * VALUE_BYTES
    memory = task.settings.resources.memory_budget // PASS_PART
    population = LocalPopulation(labelled, decode_chunk, chunks_at_once(memory, rows * row_bytes, threads()))
    spooled = Spooled(taken_at, population, unlabelled, rows, tuple(warnings))
    if survey is None:
        return spooled, None
    return spooled, survey.finish(spools.enter_context(Pool(1, "segjob-sample")))


@dataclass(frozen=True)
class Filled:
    """Where customers go as they come."""

    specs: Sequence[FeatureSpec]
    labelled: Spool
    unlabelled: Spool
    survey: Surveyor | None
    excluded: Counter[str] = field(default_factory=Counter)  # customers by the feature that they lack
    stood_in_for: Counter[str] = field(default_factory=Counter)  # the same, where the model has a value for them

    def take(self, batch: pa.RecordBatch) -> None:
        included, chunk = self.divide(batch)
        self.labelled.append(included)
        if self.survey:
            self.survey.see(chunk)
        else:
            self.stood_in_for.update(stood_in_for(self.specs, chunk))

    def divide(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Chunk]:
        """Put the customers that a policy excludes aside, and give the others."""
        chunk = decode_chunk(batch)
        included, features = split_excluded(self.specs, chunk)
        if not features:
            return batch, chunk
        self.excluded.update(features)
        excluded = batch.filter(as_arrow(~included))
        keys = excluded.columns[: len(self.unlabelled.schema) - 1]
        aside = pa.RecordBatch.from_arrays([*keys, as_texts(features)], schema=self.unlabelled.schema)
        self.unlabelled.append(aside)
        kept = batch.filter(as_arrow(included))
        return kept, decode_chunk(kept)

    def finish(self) -> None:
        self.labelled.finish()
        self.unlabelled.finish()

    def warnings(self) -> list[str]:
        """How many customers lack what. A fit tells of its stand-ins itself, when it knows them."""
        n_rows = self.labelled.n_rows + self.unlabelled.n_rows
        told = ((self.excluded, "have no segment"), (self.stood_in_for, "count as the model says"))
        return [
            f"column {spec.column}: {counted[spec.column]} of {n_rows} customers lack a value and {outcome}"
            for counted, outcome in told
            for spec in self.specs
            if counted[spec.column]
        ]


def fill(task: Task, phase: Phase, filled: Filled, warnings: list[str]) -> datetime:
    """Read everything; returns the snapshot's time."""
    with hold(task.database.customers, task.plan) as snapshot:
        phase.expect(snapshot.expected.n_rows)
        warnings += task.warned([*snapshot.replay.warnings, *room_warnings(task, snapshot.expected)])
        with closing(read_streams_of(task, snapshot, warnings)) as batches:
            for batch in batches:
                phase.advance(batch.num_rows)
                filled.take(batch)
        snapshot.verify()
    filled.finish()
    warnings += task.warned(filled.warnings())
    return snapshot.taken_at


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

    return read_bulk(task.database.customers, snapshot, task.plan, task.reading_streams, slower)


def empty_sentence(task: Task, n_unlabelled: int) -> str:
    if n_unlabelled:
        return f"all {n_unlabelled} customers of the source lack a value that `impute: exclude` asks for"
    return (
        f"the source has no rows{' that `where` lets through' if task.segmentation.where else ''}; nothing to segment"
    )


def unlabelled_schema(plan: ReadPlan) -> pa.Schema:
    """Keys, and the feature that leaves the customer out."""
    keys = [plan.schema.field(i) for i in range(len(plan.keys))]
    return pa.schema([*keys, pa.field("excluded_by", pa.string())])
