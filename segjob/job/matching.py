"""Which segment of today is which of the published version, so that ids keep their meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from segjob.arrays import as_arrow, as_numpy
from segjob.clustering.alignment import Match, align
from segjob.clustering.contingency import Contingency, Predecessor, cross, nearest
from segjob.clustering.key_hash import key_hashes
from segjob.clustering.kmeans import Fit
from segjob.clustering.model_features import answers_for
from segjob.engine.local import LocalPopulation, zip_populations
from segjob.engine.spool import Spool
from segjob.job.customers import Customers
from segjob.job.prepared import Prepared
from segjob.job.task import Task
from segjob.postgres.publishing.versions import Parent
from segjob.postgres.reading.labels import read_segment_ids
from segjob.postgres.writing.write import Part
from segjob.records.population import Chunk

CARRIED = "carried"
ASKED_EVERY = 16  # batches of labels


@dataclass(frozen=True)
class Carried:
    """What the parent's model says of today's customers.

    Attributes
    ----------
    segment_ids : of the parent
    positions : in these, chunk by chunk; None where it says of everyone what the new model says
    """

    segment_ids: np.ndarray
    positions: LocalPopulation[np.ndarray] | None


@dataclass(frozen=True)
class Matched:
    """The ids of the new segments.

    Attributes
    ----------
    matches : in the order of the centres as they were fitted
    carried : None where there is no parent of the same features
    parent : None before the first publication
    """

    matches: tuple[Match, ...]
    carried: Carried | None = None
    parent: Parent | None = None
    warnings: tuple[str, ...] = ()

    @property
    def order(self) -> list[int]:
        """The positions of the centres in the order of their ids."""
        return sorted(range(len(self.matches)), key=lambda position: self.matches[position].segment_id)

    @property
    def by_id(self) -> tuple[Match, ...]:
        return tuple(self.matches[position] for position in self.order)


def match_segments(
    task: Task, customers: Customers, prepared: Prepared, found: Fit, parent: Parent | None, next_id: int
) -> Matched:
    """Match today's segments with those of the parent, by its model if that knows today's features.

    Else by the labels that the customers have, who are in both.
    """
    specs = task.segmentation.feature_specs()
    if parent is None:
        return Matched(unmatched(found, next_id))
    if not answers_for(parent.model, specs, [column.family for column in task.plan.features]):
        return match_by_labels(task, prepared, found, parent, next_id)
    asked = Predecessor(parent.model, prepared.plan, tuple(specs), task.device)
    table, positions = followed(task, customers, prepared, found, asked)
    carried = Carried(np.array(parent.model.segment_ids, np.int32), positions)
    matches = align(table.shared, parent.model.segment_ids, found.counts, next_id)
    if any(match.origin in ("split", "merged") for match in matches):
        new = nearest(found.centers, prepared.sample, task.device)
        before = published_positions(task, prepared, parent, lambda known: no_newcomers(matches, known, new))
        matches = without_newcomers(matches, before >= 0, new)
    return Matched(matches, carried, parent)


def unmatched(found: Fit, next_id: int) -> tuple[Match, ...]:
    return align(np.empty((0, len(found.counts)), np.int64), (), found.counts, next_id)


# By the parent's model


def followed(
    task: Task, customers: Customers, prepared: Prepared, found: Fit, asked: Predecessor
) -> tuple[Contingency, LocalPopulation[np.ndarray] | None]:
    """How many customers went from where to where, and what the parent's model says of each, kept in a spool."""
    if asked.gives_the_same(found.centers):
        return Contingency(np.diag(found.counts)), None

    def step(both: tuple[Chunk, np.ndarray]) -> tuple[Contingency, np.ndarray]:
        old = asked.positions(*both)
        new = nearest(found.centers, both[1], task.device)
        return cross(old, new, len(asked.model.centers), len(found.centers)), old

    schema = pa.schema([pa.field(CARRIED, pa.from_numpy_dtype(asked.dtype))])
    spool = Spool(schema, task.budget, task.settings.resources.spool_folder, customers.chunk_rows)
    task.spools.enter_context(spool)
    table = Contingency(np.zeros((len(asked.model.centers), len(found.centers)), np.int64))
    for counted, positions in zip_populations(customers.labelled, prepared.population).map(step):
        table = table.merge(counted)
        spool.append(pa.RecordBatch.from_arrays([as_arrow(positions)], schema=schema))
    spool.finish()
    return table, LocalPopulation(spool, decode_positions, customers.labelled.threads)


def decode_positions(batch: pa.RecordBatch) -> np.ndarray:
    positions: np.ndarray = as_numpy(batch.column(CARRIED))
    return positions


# By labels


def match_by_labels(task: Task, prepared: Prepared, found: Fit, parent: Parent, next_id: int) -> Matched:
    """Follow the customers of the sample who have a label in the published version.

    A hash stands for the key, so the published labels go by once and nothing is kept of those outside of the sample,
    which is everyone up to 2**20 customers.
    """
    before = published_positions(task, prepared, parent)
    known = before >= 0
    if not known.any():
        why = "the features differ from those of the published version, and no customer has a label there"
        return Matched(unmatched(found, next_id), None, parent, (f"{why}: all segments got new ids",))
    new = nearest(found.centers, prepared.sample, task.device)
    ids = parent.model.segment_ids
    table = cross(before[known], new[known], len(ids), len(found.centers))
    matches = align(table.shared, ids, found.counts, next_id)
    return Matched(without_newcomers(matches, known, new), None, parent)


def without_newcomers(matches: tuple[Match, ...], known: np.ndarray, new: np.ndarray) -> tuple[Match, ...]:
    """The same matches, but a segment is new, and not split or merged, if most of its customers were not there before.

    Parameters
    ----------
    known : (s,) which customers of the sample have a label in the published version; without any nobody can tell
    new : (s,) their new segments, by position
    """
    mostly_new = mostly_unknown(known, new, len(matches))
    return tuple(
        replace(match, origin="new", from_segment_ids=())
        if match.origin != "kept" and known.any() and mostly_new[position]
        else match
        for position, match in enumerate(matches)
    )


def no_newcomers(matches: tuple[Match, ...], known: np.ndarray, new: np.ndarray) -> bool:
    """Whether so many are known already that `without_newcomers` would change nothing, whoever else is."""
    mostly_new = mostly_unknown(known, new, len(matches))
    return all(match.origin == "kept" or not mostly_new[position] for position, match in enumerate(matches))


def mostly_unknown(known: np.ndarray, new: np.ndarray, n_segments: int) -> np.ndarray:
    """Of which segments (k,) most of the sample's customers are not known."""
    n_known, n_members = (np.bincount(some.astype(np.int64), minlength=n_segments) for some in (new[known], new))
    return np.asarray(2 * n_known < n_members)


def published_positions(
    task: Task, prepared: Prepared, parent: Parent, enough: Callable[[np.ndarray], bool] | None = None
) -> np.ndarray:
    """The published segment of every customer of the sample, as `labels_of` gives it."""
    part = Part(task.names, parent.version_id, task.plan.keys)
    labels = read_segment_ids(task.database, part, task.plan.schema)
    with closing(labels):
        return labels_of(prepared.rows.hashes, parent, labels, enough)


def labels_of(
    hashes: np.ndarray,
    parent: Parent,
    labels: Iterable[tuple[pa.RecordBatch, np.ndarray]],
    enough: Callable[[np.ndarray], bool] | None = None,
) -> np.ndarray:
    """For each of the hashes, ascending, the position of the parent's segment (n,) int64; -1 for who has none.

    Parameters
    ----------
    enough : asked now and then whether those who are known, (n,) bool, suffice; then no more labels are read
    """
    ids = np.array(parent.model.segment_ids)
    before = np.full(len(hashes), -1)
    for place, (keys, segment_ids) in enumerate(labels):
        if enough and place % ASKED_EVERY == 0 and enough(before >= 0):
            break
        theirs = key_hashes(keys)
        near = np.flatnonzero(theirs <= hashes[-1])  # the sample is the smallest hashes: most lie beyond it
        places = np.searchsorted(hashes, theirs[near])
        shared = hashes[places] == theirs[near]
        before[places[shared]] = np.searchsorted(ids, segment_ids[near[shared]])
    return before
