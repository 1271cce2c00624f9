"""A short rule for every segment: which conditions on source columns find its customers, and how well.

A rule is one path of a shallow tree that tells the segment from all others: conditions that all have to hold, at most
four. Each is chosen so that the F1 of the rule, 2 * hits / (found + members), rises most; after each the earlier ones
are chosen once more. It is learnt on a sample; its precision and recall are counted over all customers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from segjob.clustering.conditions import Bound, Condition, Source, guards, sources_of, ties, written
from segjob.clustering.cuts import Binned, Cut, Table, binned
from segjob.clustering.features import Rows
from segjob.records.model import ModelColumn

SAMPLE_ROWS = 2**15
MOST_CONDITIONS = 4
MOST_FEATURES = 16  # that are looked at for each further condition
LEAST_GAIN = 0.01  # of F1, for which a rule becomes longer
ROUNDS = 2


@dataclass(frozen=True)
class Rule:
    """Conditions that all hold of a segment's customers, mostly; without any the rule is true of everyone."""

    segment_id: int
    conditions: tuple[Condition, ...]

    def holds(self, rows: Rows) -> np.ndarray:
        """Of which customers it is true. Boolean, (n,)."""
        return all_hold(self.conditions, rows)


@dataclass(frozen=True)
class Head:
    """The first rows of a sample, in memory column after column."""

    numbers: np.ndarray
    categories: tuple[pa.Array, ...]


def all_hold(conditions: Sequence[Condition], rows: Rows) -> np.ndarray:
    found = np.ones(len(rows.numbers), bool)
    for condition in conditions:
        found &= condition.holds(rows)
    return found


# Learning


def learn_rules(
    columns: Sequence[ModelColumn],
    types: Sequence[str],
    sample: Rows,
    index: np.ndarray,
    segment_ids: Sequence[int],
) -> tuple[Rule, ...]:
    """Learn a rule for each segment.

    Parameters
    ----------
    columns : all columns of the model
    types : the declared type of every configured feature's column, in the order of the configuration
    sample : customers in the order of their hashes; the first 32,768 are looked at
    index : (n,) the position of the segment of each of them, in the order of `segment_ids`; of the first suffices
    """
    rows = Head(
        np.asfortranarray(sample.numbers[:SAMPLE_ROWS]), tuple(column[:SAMPLE_ROWS] for column in sample.categories)
    )
    index = index[:SAMPLE_ROWS]
    features = binned(columns, types, rows, index, len(segment_ids))
    return tuple(
        Rule(segment_id, tuple(learn(features, rows, index == position)))
        for position, segment_id in enumerate(segment_ids)
    )


def learn(features: Binned, rows: Rows, member: np.ndarray) -> list[Condition]:
    """The conditions that find the members (n,) of one segment."""
    cuts = Cuts(rows, promising(features, member))
    chosen: list[Condition] = []
    score = 2.0 * cuts.members / (len(member) + cuts.members)
    while cuts.members and len(chosen) < MOST_CONDITIONS:
        cut = cuts.best(chosen)
        if cut is None or cut.score < score + LEAST_GAIN:
            break
        chosen, score = settle(cuts, [*chosen, cut.condition], cut.score)
    return without_idle(chosen, rows, member, score)


class Cuts:
    """The best condition to add to some others; as the earlier ones are chosen again, the same are asked again."""

    def __init__(self, rows: Rows, table: Table) -> None:
        self.members = table.members
        self._rows, self._table = rows, table
        self._known: dict[tuple[Condition, ...], Cut | None] = {}

    def best(self, others: Sequence[Condition]) -> Cut | None:
        """The best condition for those of whom the others hold; the first feature wins a tie."""
        asked = tuple(others)
        if asked not in self._known:
            held = np.flatnonzero(all_hold(others, self._rows)) if others else None
            cuts = [cut for cut in self._table.best(held) if cut is not None]
            self._known[asked] = max(cuts, key=lambda cut: cut.score, default=None)
        return self._known[asked]


def promising(features: Binned, member: np.ndarray) -> Table:
    """Of many features those that tell most by themselves, as they are configured."""
    table = Table(features, member)
    if len(features.bins) <= MOST_FEATURES:
        return table
    scores = np.array([0.0 if cut is None else cut.score for cut in table.best()])
    best = np.argsort(-scores, kind="stable")[:MOST_FEATURES]
    return Table(features.some(np.sort(best)), member)


def settle(cuts: Cuts, chosen: list[Condition], score: float) -> tuple[list[Condition], float]:
    """Choose each condition again beside the others, while that gains."""
    for _ in range(ROUNDS if len(chosen) > 1 else 0):
        before = score
        for place in range(len(chosen)):
            cut = cuts.best([*chosen[:place], *chosen[place + 1 :]])
            if cut is not None and cut.score > score:
                chosen, score = [*chosen[:place], cut.condition, *chosen[place + 1 :]], cut.score
        if score == before:
            break
    return chosen, score


def without_idle(chosen: list[Condition], rows: Rows, member: np.ndarray, score: float) -> list[Condition]:
    """Leave out what, after the others were chosen again, adds less than it takes to read."""
    for place in reversed(range(len(chosen))):
        others = [*chosen[:place], *chosen[place + 1 :]]
        if others and f1(all_hold(others, rows), member) > score - LEAST_GAIN:
            return without_idle(others, rows, member, score)
    return chosen


def f1(found: np.ndarray, member: np.ndarray) -> float:
    hits = np.count_nonzero(found & member)
    return float(2.0 * hits / max(int(np.count_nonzero(found)) + int(np.count_nonzero(member)), 1))


# Measuring


@dataclass(frozen=True)
class RuleCounts:
    """How many customers each of k rules finds; mergeable.

    Attributes
    ----------
    found, hits, members : (k,) int64: customers of the rule, of both, of the segment
    ties : (number of conditions of all rules,) int64, values that only float8 takes for the threshold, perhaps
    """

    found: np.ndarray
    hits: np.ndarray
    members: np.ndarray
    ties: np.ndarray

    def merge(self, other: RuleCounts) -> RuleCounts:
        return RuleCounts(
            self.found + other.found, self.hits + other.hits, self.members + other.members, self.ties + other.ties
        )


def rule_counts(rules: Sequence[Rule], rows: Rows, segment_id: np.ndarray) -> RuleCounts:
    """Count the customers of one chunk; `segment_id` (n,) are their labels."""
    counts = np.empty((3, len(rules)), np.int64)
    for place, rule in enumerate(rules):
        found, member = rule.holds(rows), segment_id == rule.segment_id
        counts[:, place] = [np.count_nonzero(each) for each in (found, found & member, member)]
    n_ties = [ties(condition, rows) for rule in rules for condition in rule.conditions]
    return RuleCounts(counts[0], counts[1], counts[2], np.array(n_ties, np.int64))


@dataclass(frozen=True)
class MeasuredRule:
    """A rule as a SQL predicate, true or false of every row of the source, with how good it is over all customers.

    Attributes
    ----------
    precision : the share of the rule's customers that are in the segment; None if it finds nobody
    recall : the share of the segment's customers that the rule finds
    """

    segment_id: int
    predicate: str
    precision: float | None
    recall: float | None


def measured_rules(
    rules: Sequence[Rule], counts: RuleCounts, columns: Sequence[ModelColumn], types: Sequence[str], excluded: bool
) -> tuple[MeasuredRule, ...]:
    """The rules in SQL, with their counts over all customers.

    Parameters
    ----------
    counts : merged over every chunk of the label pass
    excluded : whether customers lack a segment because a feature is missing; the rules then say that it is not
    """
    required = [source for source in sources_of(columns, types) if excluded and source.model.impute == "exclude"]
    n_ties = iter(counts.ties.tolist())
    return tuple(
        MeasuredRule(
            rule.segment_id,
            predicate(rule.conditions, [next(n_ties) for _ in rule.conditions], required),
            share(hits, found),
            share(hits, members),
        )
        for rule, found, hits, members in zip(
            rules, counts.found.tolist(), counts.hits.tolist(), counts.members.tolist(), strict=True
        )
    )


def share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def predicate(conditions: Sequence[Condition], n_ties: Sequence[int], required: Sequence[Source]) -> str:
    """All conditions, those on one column side by side; NULL is no answer, so `IS TRUE` makes it false."""
    parts = []
    for source in dict.fromkeys([*(one.source for one in conditions), *required]):
        own = sorted((one for one in zip(conditions, n_ties, strict=True) if one[0].source == source), key=is_upper)
        parts += [written(condition, tied) for condition, tied in own]
        parts += guards(source, [condition for condition, _ in own], source in required)
    return f"({' AND '.join(parts)}) IS TRUE" if parts else "TRUE"


def is_upper(condition: tuple[Condition, int]) -> bool:
    return isinstance(condition[0], Bound) and not condition[0].upward
