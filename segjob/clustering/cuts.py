"""The best single condition on each feature, from how many customers lie in each of its bins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from segjob.clustering.conditions import Among, Bound, Condition, Source, sources_of
from segjob.clustering.features import Rows, group_codes
from segjob.clustering.thresholds import Ascending, Thresholds, find_thresholds
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
    """A numeric feature between its thresholds.

    Attributes
    ----------
    bins : (n,) how many thresholds each customer's value reaches; -1 where it is missing
    """

    source: Source
    thresholds: Thresholds
    bins: np.ndarray

    @property
    def n_bins(self) -> int:
        return len(self.thresholds.values) + 2

    def condition(self, way: int, place: int) -> Bound:
        return Bound(self.source, float(self.thresholds.values[place]), *WAYS[way])


WAYS = ((True, False), (False, False), (True, True), (False, True))  # upward, or_missing
LONGEST = 99
LEAST_BINS = 3  # around one threshold, and for missing values
NOWHERE = -1.0  # the score of a place at which there is no threshold


class NumberTable:
    """Numeric features side by side, so that the best cuts of all are found at once."""

    def __init__(self, features: Sequence[NumberBins], n_bins: int) -> None:
        self._features = features
        self._lengths = np.full((len(features), 1, n_bins - 2), LONGEST)
        for row, feature in zip(self._lengths, features, strict=True):
            row[0, : feature.n_bins - 2] = feature.thresholds.lengths

    def best(self, hits: np.ndarray, found: np.ndarray, members: int) -> Iterator[Cut | None]:
        """For each feature the cut with the highest F1, or one that is almost as high and shorter to write.

        Parameters
        ----------
        hits, found : (f, n_bins) of the segment's customers and of all, those that meet the rule's other conditions;
            in the last bin those whose value is missing
        members : the segment's customers, with those that do not
        """
        scores = 2.0 * ways_by_threshold(hits) / np.maximum(ways_by_threshold(found) + members, 1)
        scores = np.where(self._lengths < LONGEST, scores, NOWHERE)
        plain = scores[:, :2].max(axis=(1, 2))
        scores[scores.max(axis=(1, 2)) < plain + MISSING_WORTH, 2:] = NOWHERE
        worthy = scores >= scores.max(axis=(1, 2), keepdims=True) - WORTH
        shortest = self._lengths == np.where(worthy, self._lengths, LONGEST).min(axis=(1, 2), keepdims=True)
        flat = np.where(worthy & shortest, scores, NOWHERE).reshape(len(scores), -1)
        chosen = flat.argmax(axis=1).tolist()
        for feature, score, at in zip(self._features, flat.max(axis=1).tolist(), chosen, strict=True):
            yield Cut(score, feature.condition(*divmod(at, scores.shape[2]))) if score > NOWHERE else None


def ways_by_threshold(counts: np.ndarray) -> np.ndarray:
    """How many of each feature's customers each of the four ways to cut at each threshold leaves, (f, 4, b)."""
    reached = counts[:, :-1].cumsum(axis=1)
    left = np.empty((len(counts), len(WAYS), reached.shape[1] - 1), reached.dtype)
    left[:, 1] = reached[:, :-1]
    left[:, 0] = reached[:, -1:] - left[:, 1]
    left[:, 2:] = left[:, :2] + counts[:, -1, None, None]
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
class Binned:
    """Features side by side.

    Attributes
    ----------
    bins : (f, n) of the customers; values that are missing lie in the last of `n_bins`
    """

    features: Sequence[Bins]
    bins: np.ndarray
    n_bins: int

    @classmethod
    def of(cls, features: Sequence[Bins]) -> Binned:
        n_bins = max([LEAST_BINS, *(feature.n_bins for feature in features)])
        bins = np.empty((len(features), len(features[0].bins) if features else 1), np.int32)
        for row, feature in zip(bins, features, strict=True):
            row[:] = np.where(feature.bins < 0, n_bins - 1, feature.bins)
        return cls(features, bins, n_bins)

    def some(self, places: np.ndarray) -> Binned:
        return Binned([self.features[place] for place in places], self.bins[places], self.n_bins)


class Table:
    """Features, and of every customer the bins of all and whether it is in a segment.

    Parameters
    ----------
    member : (n,) whether each customer is in the segment
    """

    def __init__(self, binned: Binned, member: np.ndarray) -> None:
        self.binned = binned
        self.members = int(np.count_nonzero(member))
        self._codes = 2 * binned.bins + member
        self._codes += 2 * binned.n_bins * np.arange(len(binned.features), dtype=np.int32)[:, None]
        self._are_numbers = np.array([isinstance(one, NumberBins) for one in binned.features], bool)
        self._numbers = NumberTable([one for one in binned.features if isinstance(one, NumberBins)], binned.n_bins)

    def best(self, held: np.ndarray | None = None) -> list[Cut | None]:
        """The best condition on each feature for all customers, or for those at the positions `held`."""
        n_features, n_bins = len(self.binned.features), self.binned.n_bins
        codes = self._codes if held is None else self._codes.take(held, axis=1)
        counts = np.bincount(codes.ravel(), minlength=2 * n_bins * n_features).reshape(n_features, n_bins, 2)
        hits, found = counts[:, :, 1], counts.sum(axis=2)
        numbers = self._numbers.best(hits[self._are_numbers], found[self._are_numbers], self.members)
        return [
            next(numbers)
            if isinstance(feature, NumberBins)
            else feature.best(hits[place, : feature.n_bins], found[place, : feature.n_bins], self.members)
            for place, feature in enumerate(self.binned.features)
        ]


def binned(
    columns: Sequence[ModelColumn], types: Sequence[str], rows: Rows, index: np.ndarray, n_clusters: int
) -> Binned:
    """The features that are clustered, each with the bins of the customers."""
    clustered = [
        source for source in sources_of(columns, types) if any(one.position is not None for one in source.columns)
    ]
    return Binned.of(
        [
            number_bins(source, rows, index, n_clusters)
            if source.model.category is None
            else category_bins(source, rows)
            for source in clustered
        ]
    )


def number_bins(source: Source, rows: Rows, index: np.ndarray, n_clusters: int) -> NumberBins:
    column = Ascending.of(rows.numbers[:, source.place])
    found = find_thresholds(source.model.family, column, index, n_clusters, source.loses_digits())
    ends = [*np.searchsorted(column.values, found.values), len(column.values)]
    bins = np.full(len(rows.numbers), -1)
    bins[column.customers] = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    return NumberBins(source, found, bins)


def category_bins(source: Source, rows: Rows) -> CategoryBins:
    return CategoryBins(source, group_codes(source.columns, rows.categories[source.place]).astype(np.intp))
