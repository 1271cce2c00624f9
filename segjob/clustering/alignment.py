"""Which id each new segment gets, from how many customers it shares with the segments of the version before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segjob.records.version import Origin

LEAST_JACCARD = (3, 10)  # of what two segments hold together, the share that both hold
STEPS = 2.0**24  # in which overlaps are compared: those that differ by less are equal, and the lowest id decides


@dataclass(frozen=True)
class Match:
    """The id of a new segment, and where it came from.

    Attributes
    ----------
    from_segment_ids : ascending. Of a kept segment its own id and those retired ones of which it holds at least half;
        of a split one the segment that it came from; of a merged one those of which it holds at least half
    """

    segment_id: int
    origin: Origin
    from_segment_ids: tuple[int, ...] = ()


def align(shared: np.ndarray, old_ids: Sequence[int], sizes: np.ndarray, next_id: int) -> tuple[Match, ...]:
    """Give every new segment an id: that of the old one that it continues, or one that was never used.

    A pair that shares more than half of both sides keeps the id. Of the others, those pairs keep it that together
    overlap most, by the Jaccard index, none under 0.3. What is left is split from an old segment that was kept if at
    least half of it came from there; merged if it holds at least half of two or more old ones; else new.

    Neither the order of the old segments nor that of the new ones matters, unless two new ones are alike in every
    count.

    Parameters
    ----------
    shared : (old, new) int64, customers that are in both
    old_ids : of the rows
    sizes : (new,) customers of the new segments; the largest of those that need a new id gets the first
    next_id : the first id that was never used
    """
    rows = np.argsort(np.asarray(old_ids, np.int64))
    columns = np.lexsort([*shared[rows][::-1], -np.asarray(sizes)])
    ids = [int(old_ids[row]) for row in rows]
    table = np.asarray(shared, np.int64)[np.ix_(rows, columns)]
    kept = kept_pairs(table)
    found: dict[int, Match] = {}
    for column, position in enumerate(columns.tolist()):
        found[position] = match = match_of(table, ids, kept, column, next_id)
        next_id += match.origin != "kept"
    return tuple(found[position] for position in range(len(sizes)))


def kept_pairs(table: np.ndarray) -> dict[int, int]:
    """The row whose id each column keeps."""
    olds, news = sums(table)
    halves = (2 * table > olds) & (2 * table > news)
    kept = {int(column): int(row) for row, column in zip(*np.nonzero(halves), strict=True)}
    rest_rows = np.setdiff1d(np.arange(len(table)), list(kept.values()))
    rest_columns = np.setdiff1d(np.arange(table.shape[1]), list(kept))
    rest = np.ix_(rest_rows, rest_columns)
    chosen = most_overlap(table[rest], (olds + news - table)[rest])
    return kept | {int(rest_columns[column]): int(rest_rows[row]) for row, column in chosen}


def sums(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many customers the old (old, 1) and the new segments (1, new) have."""
    return table.sum(axis=1, keepdims=True), table.sum(axis=0, keepdims=True)


def most_overlap(both: np.ndarray, either: np.ndarray) -> list[tuple[int, int]]:
    """The pairs, no row and no column twice, whose Jaccard indices have the largest sum; ties: the first rows.

    Both terms of a weight are whole numbers, and their sums exact up to a hundred segments.
    """
    if not both.size:
        return []
    from scipy.optimize import linear_sum_assignment  # half a second, and mostly there is no rest

    least, of = LEAST_JACCARD
    allowed = (both > 0) & (of * both >= least * either)
    overlaps = np.rint(both / np.maximum(either, 1) * STEPS)
    n_rows, n_columns = both.shape
    precedence = np.arange(n_rows, 0, -1)[:, None] * np.arange(n_columns, 0, -1)
    weights = np.where(allowed, overlaps * max(n_rows, n_columns, 1) ** 3 + precedence, 0.0)
    pairs = zip(*linear_sum_assignment(weights, maximize=True), strict=True)
    return [(row, column) for row, column in pairs if allowed[row, column]]


def match_of(table: np.ndarray, ids: Sequence[int], kept: Mapping[int, int], column: int, next_id: int) -> Match:
    """What the new segment in a column is; `kept` says which row each column keeps the id of."""
    olds, news = sums(table)
    members, alive = table[:, column], sorted(kept.values())
    held = np.flatnonzero((members > 0) & (2 * members >= olds[:, 0])).tolist()
    if column in kept:
        rows = {kept[column], *(row for row in held if row not in alive)}
        return Match(ids[kept[column]], "kept", tuple(ids[row] for row in sorted(rows)))
    source = max(alive, key=lambda row: members[row], default=None)
    if source is not None and 2 * members[source] >= news[0, column] > 0:
        return Match(next_id, "split", (ids[source],))
    if len(held) > 1:
        return Match(next_id, "merged", tuple(ids[row] for row in held))
    return Match(next_id, "new")
