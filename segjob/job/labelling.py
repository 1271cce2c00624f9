"""Labels: computed chunk by chunk on their way into the table of the version, which nobody sees yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from segjob.clustering.labels import LabelPass, nearest_two
from segjob.clustering.rules import SAMPLE_ROWS, Rule, learn_rules, rule_counts
from segjob.engine.local import zip_populations
from segjob.job.customers import Customers
from segjob.job.fitting import Fitted, column_types
from segjob.job.matching import Carried
from segjob.job.task import Task
from segjob.job.version import Counted
from segjob.postgres.writing.write import Part, fill_part
from segjob.progress import Phase
from segjob.records.model import Labels
from segjob.records.population import Chunk

PIECE_ROWS = 65_536

Piece: TypeAlias = tuple[pa.RecordBatch, Labels, Counted]
"""Keys and labels of some customers, and what was counted of them."""


class Labelling:
    """The label pass: chunks of keys and labels once over, and what was counted when all went by."""

    def __init__(self, task: Task, customers: Customers, fitted: Fitted) -> None:
        self._both = zip_populations(customers.labelled, fitted.prepared.population)
        self._label = LabelPass(fitted.prepared.plan, fitted.fit.tally, fitted.segment_ids, task.device)
        self._rules = rules_of(task, fitted)
        self._carried = fitted.matched.carried
        self._counted: Counted | None = None

    def __iter__(self) -> Iterator[tuple[pa.RecordBatch, Labels]]:
        for labelled in self._all():
            for keys, labels, counted in labelled:
                self._counted = counted if self._counted is None else self._counted.merge(counted)
                yield keys, labels

    def _all(self) -> Iterator[list[Piece]]:
        if self._carried is None or self._carried.positions is None:
            return self._both.map(self._step)
        return zip_populations(self._both, self._carried.positions).map(lambda three: self._step(*three))

    def _step(self, both: tuple[Chunk, np.ndarray], positions: np.ndarray | None = None) -> list[Piece]:
        return [
            self._piece(chunk, matrix, None if positions is None else positions[rows])
            for rows, chunk, matrix in pieces(*both)
        ]

    def _piece(self, chunk: Chunk, matrix: np.ndarray, positions: np.ndarray | None) -> Piece:
        labels, summary, squared = self._label(chunk, matrix)
        labels = replace(labels, carried_segment_id=carried_ids(self._carried, labels, positions))
        of_rules = rule_counts(self._rules, chunk, labels.segment_id)
        return chunk.keys, labels, Counted(summary, squared, self._rules, of_rules)

    @property
    def counted(self) -> Counted:
        """Of all customers; there is nothing before the pass has ended."""
        assert self._counted is not None
        return self._counted


def rules_of(task: Task, fitted: Fitted) -> tuple[Rule, ...]:
    """What an analyst could write in SQL instead, learnt on the first customers of the sample."""
    prepared = fitted.prepared
    index = nearest_two(fitted.fit.centers, prepared.sample[:SAMPLE_ROWS], task.device).index
    return learn_rules(prepared.plan.columns, column_types(task), prepared.rows, index, fitted.segment_ids)


def carried_ids(carried: Carried | None, labels: Labels, positions: np.ndarray | None) -> np.ndarray | None:
    """What the parent's model says of some customers, (n,) int32; what the new one says, where they are the same."""
    if carried is None:
        return None
    return labels.segment_id if positions is None else np.asarray(carried.segment_ids[positions])


def pieces(chunk: Chunk, matrix: np.ndarray) -> Iterator[tuple[slice, Chunk, np.ndarray]]:
    """A large chunk bit by bit, so that what is computed of it on the way takes little memory."""
    for first in range(0, chunk.n_rows, PIECE_ROWS):
        rows = slice(first, first + PIECE_ROWS)
        categories = tuple(column[rows] for column in chunk.categories)
        yield rows, Chunk(chunk.keys[rows], chunk.numbers[rows], categories), matrix[rows]


def write_labels(task: Task, part: Part, customers: Customers, fitted: Fitted, phase: Phase) -> Counted:
    """Label everyone, into the table of the version; returns what was summed up on the way."""
    labelling = Labelling(task, customers, fitted)
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
    labelling = Labelling(task, customers, fitted)
    with task.progress.phase("label", customers.labelled.n_rows) as phase:
        for keys, _ in labelling:
            phase.advance(keys.num_rows)
    return labelling.counted
