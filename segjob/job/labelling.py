"""Labels: computed chunk by chunk on their way into the table of the version, which nobody sees yet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from segjob.clustering.labels import LabelPass
from segjob.clustering.rules import rule_counts
from segjob.engine.local import zip_populations
from segjob.job.customers import Customers
from segjob.job.fitting import Fitted
from segjob.job.task import Task
from segjob.job.version import Counted
from segjob.postgres.write import Part, fill_part
from segjob.progress import Phase
from segjob.records import Chunk, Labels

PIECE_ROWS = 65_536


class Labelling:
    """The label pass: chunks of keys and labels once over, and what was counted when all went by."""

    def __init__(self, customers: Customers, fitted: Fitted, device: str) -> None:
        self._both = zip_populations(customers.labelled, fitted.prepared.population)
        self._label = LabelPass(fitted.prepared.plan, fitted.fit.centers, fitted.segment_ids, device)
        self._rules = fitted.rules
        self._counted: Counted | None = None

    def __iter__(self) -> Iterator[tuple[pa.RecordBatch, Labels]]:
        for labelled in self._both.map(self._step):
            for keys, labels, counted in labelled:
                self._counted = counted if self._counted is None else self._counted.merge(counted)
                yield keys, labels

    def _step(self, both: tuple[Chunk, np.ndarray]) -> list[tuple[pa.RecordBatch, Labels, Counted]]:
        return [self._piece(chunk, matrix) for chunk, matrix in pieces(*both)]

    def _piece(self, chunk: Chunk, matrix: np.ndarray) -> tuple[pa.RecordBatch, Labels, Counted]:
        labels, summary = self._label(chunk, matrix)
        return chunk.keys, labels, Counted(summary, rule_counts(self._rules, chunk, labels.segment_id))

    @property
    def counted(self) -> Counted:
        """Of all customers; there is nothing before the pass has ended."""
        assert self._counted is not None
        return self._counted


def pieces(chunk: Chunk, matrix: np.ndarray) -> Iterator[tuple[Chunk, np.ndarray]]:
    """A large chunk bit by bit, so that what is computed of it on the way takes little memory."""
    for first in range(0, chunk.n_rows, PIECE_ROWS):
        rows = slice(first, first + PIECE_ROWS)
        categories = tuple(column[rows] for column in chunk.categories)
        yield Chunk(chunk.keys[rows], chunk.numbers[rows], categories), matrix[rows]


def write_labels(task: Task, part: Part, customers: Customers, fitted: Fitted, phase: Phase) -> Counted:
    """Label everyone, into the table of the version; returns what was summed up on the way."""
    labelling = Labelling(customers, fitted, task.device)
    fill_part(
        task.database,
        part,
        task.progress.timed("label", labelling),
        customers.unlabelled,
        customers.n_rows,
        task.writing_streams,
        phase.advance,
    )
    return labelling.counted


def only_label(task: Task, customers: Customers, fitted: Fitted) -> Counted:
    """Label everyone, and write nothing."""
    labelling = Labelling(customers, fitted, task.device)
    with task.progress.phase("label", customers.labelled.n_rows) as phase:
        for keys, _ in labelling:
            phase.advance(keys.num_rows)
    return labelling.counted
