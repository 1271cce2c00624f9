"""Customers are read and labelled by a version's model, into a table beside that of the version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain

import pyarrow as pa

from segjob.config.threads import threads
from segjob.errors import DataError
from segjob.job.customers import Spooled, empty_sentence, read_rows
from segjob.job.task import Task
from segjob.postgres.publishing.scoring import Scored, scored_table
from segjob.postgres.reading.columns import ReadPlan
from segjob.postgres.writing.write import completing, fill_keys, fill_part
from segjob.progress import Phase
from segjob.records.model import Labels, Model
from segjob.records.population import Chunk


@dataclass(frozen=True)
class Asked:
    """Who is to be labelled, by which model, and where the labels go.

    Attributes
    ----------
    plan : what is read; all of the source or a part of it
    parent : the model before, if it is to be known what that says of them
    """

    model: Model
    scored: Scored
    plan: ReadPlan
    parent: Model | None = None


def read_asked(task: Task, asked: Asked) -> Spooled:
    """One snapshot of them, for as long as the task lasts."""
    specs = task.segmentation.feature_specs() if asked.plan.features else ()
    with task.progress.phase("read") as phase:
        spooled, _ = task.spools.enter_context(read_rows(replace(task, plan=asked.plan), phase, specs))
    return spooled


@contextmanager
def labelled(task: Task, asked: Asked, spooled: Spooled) -> Iterator[None]:
    """Their labels in a table with its key, for as long as the block lasts.

    Raises
    ------
    DataError
        The key is not unique.
    """
    with scored_table(task.database, asked.scored):
        with task.progress.phase("label", spooled.n_rows) as phase:
            write_labels(task, asked, spooled, phase)
        yield


def write_labels(task: Task, asked: Asked, spooled: Spooled, phase: Phase) -> None:
    """Send the labels as they are computed, then build the key, which finds customers that are there twice."""
    labels = labels_of(task, asked, spooled)
    streams = task.writing_streams
    fill_part(task.database, asked.scored, labels, spooled.unlabelled, spooled.n_rows, streams, phase.advance)
    with completing(task.database, asked.scored):
        pass


def labels_of(task: Task, asked: Asked, spooled: Spooled) -> Iterator[tuple[pa.RecordBatch, Labels]]:
    from segjob.clustering.cores import use_threads
    from segjob.clustering.model_pass import ModelPass

    use_threads(threads())
    label = ModelPass(asked.model, tuple(task.segmentation.feature_specs()), task.device, asked.parent)
    for piece, labels in chain.from_iterable(spooled.labelled.map(label)):
        yield piece.keys, labels


@contextmanager
def listed(task: Task, scored: Scored, plan: ReadPlan) -> Iterator[None]:
    """The keys of everybody in a table of their own, without labels, for as long as the block lasts.

    Raises
    ------
    DataError
        There is nobody, or the key is not unique.
    """
    with task.progress.phase("read") as phase:
        spooled, _ = task.spools.enter_context(read_rows(replace(task, plan=plan), phase, ()))
    refuse_nobody(task, spooled)
    with scored_table(task.database, scored):
        fill_keys(task.database, scored, spooled.labelled.map(keys_of), spooled.n_rows)
        with completing(task.database, scored):
            pass
        yield


def refuse_nobody(task: Task, spooled: Spooled) -> None:
    """A table that is just being loaded must not cost everyone their label."""
    if not spooled.labelled.n_rows:
        raise DataError(
            f"{empty_sentence(task, spooled.unlabelled.n_rows)}; nobody was labelled, and nobody lost a label"
        )


def keys_of(chunk: Chunk) -> pa.RecordBatch:
    return chunk.keys
