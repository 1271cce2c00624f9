"""Categories of one-hot features: candidates found in bounded memory, then counted exactly.

Reading sees every text once and can not keep all of them (a column may hold millions). A Misra-Gries summary with
1,024 counters surely keeps every category of more than n / 1,025 customers, and the rare ones under 1 % are of no
use anyway. An exact count of the candidates over the population then decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segjob.arrays import as_arrow, as_numpy, as_texts
from segjob.records.model import OTHER

COUNTERS = 1024
MOST_FREQUENT = 32
RARE = 100  # a category with fewer than one customer in this many is rare


@dataclass(frozen=True)
class CategoryCounts:
    """At most 1,024 categories with lower bounds of their counts (Misra, Gries 1982; merging: Agarwal et al. 2012)."""

    counts: Mapping[str, int]
    n_missing: int

    def merge(self, other: CategoryCounts) -> CategoryCounts:
        both = Counter(self.counts)
        both.update(other.counts)
        names, counts = list(both), np.fromiter(both.values(), np.int64, len(both))
        surplus = above_the_rest(counts)
        kept = {names[i]: int(surplus[i]) for i in np.flatnonzero(surplus > 0)}
        return CategoryCounts(kept, self.n_missing + other.n_missing)


def above_the_rest(counts: np.ndarray) -> np.ndarray:
    """Take the count of the first category that finds no counter from all, which frees enough counters."""
    if len(counts) <= COUNTERS:
        return counts
    first_without: int = np.partition(counts, -COUNTERS - 1)[-COUNTERS - 1]
    return counts - first_without


def count_categories(values: pa.Array) -> CategoryCounts:
    """Summarise the categories of one chunk; null is missing and is no category."""
    found = pc.value_counts(values.drop_null())
    surplus = above_the_rest(as_numpy(found.field("counts")))
    kept = np.flatnonzero(surplus > 0)
    names = found.field("values").take(as_arrow(kept)).to_pylist()
    return CategoryCounts(dict(zip(names, surplus[kept].tolist(), strict=True)), values.null_count)


def category_codes(values: pa.Array, categories: Sequence[str]) -> np.ndarray:
    """The position of each value in `categories`; null and anything else get `len(categories)`."""
    places = pc.index_in(values, value_set=as_texts(categories).cast(values.type))
    codes = np.full(len(values), len(categories))
    known = as_numpy(places.is_valid())
    codes[known] = as_numpy(places.drop_null())
    return codes


def count_exactly(values: pa.Array, candidates: Sequence[str]) -> np.ndarray:
    """How many rows hold each candidate, and at the end how many hold none of them; int64."""
    codes = category_codes(values, candidates)
    return np.bincount(codes, minlength=len(candidates) + 1).astype(np.int64)


def candidates_of(counts: CategoryCounts) -> list[str]:
    """The categories to count exactly; a category that is itself called `other` joins the rest."""
    return sorted(name for name in counts.counts if name != OTHER)


def frequent_categories(counts: Mapping[str, int], n_rows: int) -> list[str]:
    """The at most 32 most frequent categories that at least 1 % of the customers have; ties in C collation."""
    common = [name for name, count in counts.items() if count * RARE >= n_rows and count > 0]
    return sorted(common, key=lambda name: (-counts[name], name.encode()))[:MOST_FREQUENT]
