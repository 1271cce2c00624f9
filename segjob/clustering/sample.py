"""Which customers stand for all: those with the smallest hashes of their keys.

The hash depends on the key alone, so the same customers are chosen whatever the order, the chunks or the seed, and
mostly the same ones from run to run. A prefix of the sample, in the order of the hashes, is again a fair sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segjob.arrays import as_arrow, as_numpy

LARGEST_SAMPLE = 2**20
LARGEST_SAMPLE_VALUES = 2**23
SLACK = 2  # a sample is cut back to its capacity when it is half over it


def sample_capacity(n_features: int) -> int:
    """How many customers the sample holds at most: min(2**20, 2**23 / n_features).

    Raw values (float64), grid integers (float32) and, for a moment, a second copy of both are held at once, and 2**23
    values keep these together under 200 MB. With one to eight features it is 2**20 customers.

    Parameters
    ----------
    n_features : as they are read, or columns as they are clustered
    """
    return min(LARGEST_SAMPLE, LARGEST_SAMPLE_VALUES // max(n_features, 1))


@dataclass(frozen=True)
class SampleRows:
    """Some customers with their hashes and raw features.

    Attributes
    ----------
    hashes : (n,) uint64
    numbers : (n, number of numeric features) float64, NaN is missing
    categories : one string array a one-hot feature, null is missing
    """

    hashes: np.ndarray
    numbers: np.ndarray
    categories: tuple[pa.Array, ...]

    @property
    def n_rows(self) -> int:
        return len(self.hashes)

    def take(self, positions: np.ndarray) -> SampleRows:
        columns = tuple(column.take(as_arrow(positions)) for column in self.categories)
        return SampleRows(self.hashes[positions], taken(self.numbers, positions), columns)

    def first(self, n_rows: int) -> SampleRows:
        """So many at most; in the order of the hashes a fair sample again."""
        return self if self.n_rows <= n_rows else self.between(0, n_rows)

    def blocks(self, n_rows: int) -> list[SampleRows]:
        """The same rows in their order, so many at most in each of at least one."""
        starts = range(0, max(self.n_rows, 1), n_rows)
        return [self.between(start, start + n_rows) for start in starts]

    def between(self, start: int, end: int) -> SampleRows:
        columns = tuple(column[start:end] for column in self.categories)
        return SampleRows(self.hashes[start:end], self.numbers[start:end], columns)

    def up_to(self, threshold: int) -> SampleRows:
        kept = self.hashes <= np.uint64(threshold)
        return self if kept.all() else self.take(np.flatnonzero(kept))


Parts = tuple[SampleRows, ...]


def all_hashes(parts: Parts) -> np.ndarray:
    return np.concatenate([part.hashes for part in parts])


def taken(numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Rows of a matrix whose columns lie together each, and so they do in what is returned."""
    rows = np.empty((len(positions), numbers.shape[1]), order="F")
    for column, values in zip(rows.T, numbers.T, strict=True):
        np.take(values, positions, out=column, mode="clip")  # what `raise` writes to `out` goes through a copy
    return rows


def gather(parts: Parts, positions: np.ndarray) -> SampleRows:
    """The rows at these positions of all parts laid end to end, in this order.

    One column is laid so at a time, all in the same memory: the system would have to clear new memory for each.
    """
    numbers = np.empty((len(positions), parts[0].numbers.shape[1]), order="F")
    laid = np.empty(sum(part.n_rows for part in parts))
    for place, column in enumerate(numbers.T):
        np.concatenate([part.numbers[:, place] for part in parts], out=laid)
        np.take(laid, positions, out=column, mode="clip")
    columns = zip(*(part.categories for part in parts), strict=True)
    categories = tuple(pa.concat_arrays(column).take(as_arrow(positions)) for column in columns)
    return SampleRows(all_hashes(parts)[positions], numbers, categories)


def hash_order(parts: Parts) -> np.ndarray:
    """Positions by hash. Rows that share one are ordered by what they hold, so that their order of arrival is moot."""
    hashes = all_hashes(parts)
    order = likely_order(hashes)
    ordered = hashes[order]
    if np.all(ordered[1:] > ordered[:-1]):
        return order
    rows = gather(parts, np.arange(len(hashes)))
    ranks = [as_numpy(pc.rank(column, tiebreaker="dense")) for column in rows.categories]
    return np.lexsort([*ranks, *(column.view(np.int64) for column in rows.numbers.T), hashes])


def likely_order(hashes: np.ndarray) -> np.ndarray:
    """Positions by the leading bits of the hashes (n,), which as good as always differ.

    numpy sorts numbers three times faster than it finds their order, so each carries its position in its last bits.
    """
    spare = len(hashes).bit_length()
    leading = 64 - int(hashes.max(initial=0)).bit_length()
    carriers = (hashes << np.uint64(leading)) >> np.uint64(spare) << np.uint64(spare)
    carriers |= np.arange(len(hashes), dtype=np.uint64)
    carriers.sort()
    return (carriers & np.uint64(2**spare - 1)).view(np.int64)


@dataclass(frozen=True)
class HashSample:
    """The customers with the smallest hashes so far; mergeable, and independent of the order of merging.

    Rows are kept unordered in parts and cut back only now and then, so that a chunk costs little.
    Rows above `threshold` are known to be out.
    """

    capacity: int
    parts: Parts
    threshold: int = 2**64 - 1
    ordered: bool = False

    def merge(self, other: HashSample) -> HashSample:
        threshold = min(self.threshold, other.threshold)
        parts = tuple(part for part in (*self.below(threshold), *other.below(threshold)) if part.n_rows)
        merged = HashSample(self.capacity, parts or self.parts[:1], threshold)
        return merged.cut() if merged.n_held > self.capacity + self.capacity // SLACK else merged

    def below(self, threshold: int) -> Parts:
        if threshold == self.threshold:
            return self.parts
        return tuple(part.up_to(threshold) for part in self.parts)

    def without_rows(self) -> HashSample:
        """One of the same capacity that holds nobody."""
        return HashSample(self.capacity, ())

    @property
    def n_held(self) -> int:
        return sum(part.n_rows for part in self.parts)

    def cut(self) -> HashSample:
        """Drop what is beyond the capacity."""
        threshold = int(np.partition(all_hashes(self.parts), self.capacity - 1)[self.capacity - 1])
        cut = HashSample(self.capacity, self.below(threshold), threshold)
        if cut.n_held > self.capacity:
            chosen = hash_order(cut.parts)[: self.capacity]
            cut = HashSample(self.capacity, (gather(cut.parts, chosen),), threshold)
        return cut

    def settle(self) -> HashSample:
        """The same sample as one part in the order of the hashes; frees what was held beyond the capacity."""
        if self.ordered:
            return self
        rows = gather(self.parts, hash_order(self.parts)[: self.capacity])
        return HashSample(self.capacity, (rows,), self.threshold, ordered=True)

    @property
    def rows(self) -> SampleRows:
        """The chosen customers in the order of their hashes."""
        return self.settle().parts[0]
