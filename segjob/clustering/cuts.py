"""The best single condition on one feature, from how many customers lie in each of its bins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from segjob.clustering.conditions import Among, Bound, Condition, Source, sources_of
from segjob.clustering.features import Rows, group_codes
from segjob.clustering.thresholds import Thresholds, find_thresholds
from segjob.records.model import ModelColumn

WORTH = 0.003  # of F1, given up for a threshold that is shorter to write
MISSING_WORTH = 0.01  # of F1, for which a condition says that a missing value meets it
MOST_CATEGORIES = 3  # named in one condition


@dataclass(frozen=True)
class Cut:
    """A condition, and the F1 of a rule that has it."""

    score: float
    condition: Condition


@dataclass(frozen=True)
class NumberBins:
    """A numeric feature between its thresholds; the last bin holds the missing values.

    Attributes
    ----------
    bins : (n,) how many thresholds each customer's value reaches
    """

    source: Source
    thresholds: Thresholds
    bins: np.ndarray

    @property
    def n_bins(self) -> int:
        return len(self.thresholds.values) + 2

    def best(self, hits: np.ndarray, found: np.ndarray, members: int) -> Cut | None:
        """The cut with the highest F1, or one that is almost as high and shorter to write.

        Parameters
        ----------
        hits, found : (n_bins,) of the segment's customers and of all, those that meet the rule's other conditions
        members : the segment's customers, with those that do not
        """
        if not len(self.thresholds.values):
            return None
        n_ways = 4 if found[-1] else 2
        scores = 2.0 * ways_by_threshold(hits, n_ways) / (ways_by_threshold(found, n_ways) + members)
        if scores.max() < scores[:2].max() + MISSING_WORTH:
            scores = scores[:2]
        worthy = scores >= scores.max() - WORTH
        shortest = self.thresholds.lengths == np.where(worthy, self.thresholds.lengths, LONGEST).min()
        way, place = divmod(int(np.argmax(np.where(worthy & shortest, scores, -1.0))), scores.shape[1])
        bound = Bound(self.source, float(self.thresholds.values[place]), *WAYS[way])
        return Cut(float(scores[way, place]), bound)


WAYS = ((True, False), (False, False), (True, True), (False, True))  # upward, or_missing
LONGEST = 99


def ways_by_threshold(counts: np.ndarray, n_ways: int) -> np.ndarray:
    """How many each of the first two or of all four ways to cut at each threshold leaves, (n_ways, b)."""
    reached = counts[:-1].cumsum()
    left = np.empty((n_ways, len(reached) - 1), reached.dtype)
    left[1] = reached[:-1]
    left[0] = reached[-1] - left[1]
    left[2:] = left[: n_ways - 2] + counts[-1]
    return left


@dataclass(frozen=True)
class CategoryBins:
    """A one-hot feature; `bins` (n,) is the place of each customer's category, `other` last."""

    source: Source
    bins: np.ndarray

    @property
    def n_bins(self) -> int:
        return len(self.source.columns)

    def best(self, hits: np.ndarray, found: np.ndarray, members: int) -> Cut | None:
        """The categories with the largest share of the segment, as many of them as give the highest F1."""
        order = np.argsort(-hits / np.maximum(found, 1), kind="stable")
        scores = 2.0 * np.cumsum(hits[order]) / (np.cumsum(found[order]) + members)
        sizes = [size for size in range(1, self.n_bins) if self.is_short(order[:size])]
        if not sizes:
            return None
        size = max(sizes, key=lambda one: float(scores[one - 1]))
        return Cut(float(scores[size - 1]), Among(self.source, tuple(sorted(order[:size].tolist()))))

    def is_short(self, codes: np.ndarray) -> bool:
        """With `other` in it a condition names those that are out."""
        last = self.n_bins - 1
        return 0 < (last + 1 - len(codes) if last in codes else len(codes)) <= MOST_CATEGORIES


Bins = NumberBins | CategoryBins


@dataclass(frozen=True)
class Coded:
    """A feature with one number (n,) for each customer: twice the bin, and one more for the segment's own."""

    feature: Bins
    codes: np.ndarray

    @classmethod
    def of(cls, feature: Bins, member: np.ndarray) -> Coded:
        return cls(feature, 2 * feature.bins + member)

    def best(self, held: np.ndarray | slice, members: int) -> Cut | None:
        """The best condition on this feature for the customers at the positions `held`."""
        counts = np.bincount(self.codes[held], minlength=2 * self.feature.n_bins).reshape(-1, 2)
        return self.feature.best(counts[:, 1], counts.sum(axis=1), members)


def binned(
    columns: Sequence[ModelColumn], types: Sequence[str], rows: Rows, index: np.ndarray, n_clusters: int
) -> Iterator[Bins]:
    """The features that are clustered, each with the bins of the customers."""
    for source in sources_of(columns, types):
        if all(column.position is None for column in source.columns):
            continue
        if source.model.category is None:
            yield number_bins(source, rows, index, n_clusters)
        else:
            yield category_bins(source, rows)


def number_bins(source: Source, rows: Rows, index: np.ndarray, n_clusters: int) -> NumberBins:
    values = np.ascontiguousarray(rows.numbers[:, source.place])
    found = find_thresholds(source.model.family, values, index, n_clusters, source.loses_digits())
    bins = np.searchsorted(found.values, values, side="right")
    bins[np.isnan(values)] = len(found.values) + 1
    return NumberBins(source, found, bins)


def category_bins(source: Source, rows: Rows) -> CategoryBins:
    return CategoryBins(source, group_codes(source.columns, rows.categories[source.place]).astype(np.intp))
