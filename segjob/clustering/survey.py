"""What is learnt of the customers while they are read: extremes, counts of missing values, categories, a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from segjob.clustering.categories import CategoryCounts, count_categories
from segjob.clustering.features import missing, numeric_specs
from segjob.clustering.key_hash import key_hashes
from segjob.clustering.sample import HashSample, SampleRows, sample_capacity
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec


@dataclass(frozen=True)
class Survey:
    """A mergeable summary of the customers that will be labelled.

    What a plan makes of it does not depend on the chunks or the order of the rows (the counters of the categories
    may, but not which of them surely hold every category of 1 %).

    Attributes
    ----------
    n_rows : number of customers
    minimum, maximum : (number of numeric features,) raw extremes; infinite where every value is missing
    n_missing : (number of numeric features,) int64
    categories : one a one-hot feature, with its count of missing values
    sample : the customers with the smallest hashes
    """

    n_rows: int
    minimum: np.ndarray
    maximum: np.ndarray
    n_missing: np.ndarray
    categories: tuple[CategoryCounts, ...]
    sample: HashSample

    def merge(self, other: Survey) -> Survey:
        return Survey(
            self.n_rows + other.n_rows,
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
            self.n_missing + other.n_missing,
            tuple(mine.merge(theirs) for mine, theirs in zip(self.categories, other.categories, strict=True)),
            self.sample.merge(other.sample),
        )

    def settle(self) -> Survey:
        """The same survey once reading has ended: the sample ordered by hash, and the memory of the rest freed."""
        return replace(self, sample=self.sample.settle())


def survey_chunk(specs: Sequence[FeatureSpec], chunk: Chunk, hashes: np.ndarray | None = None) -> Survey:
    """Survey one chunk of customers, from which the excluded ones have been taken out.

    Parameters
    ----------
    hashes : (n,) uint64, `key_hashes(chunk.keys)` if they are known already
    """
    hashes = key_hashes(chunk.keys) if hashes is None else hashes
    rows = SampleRows(hashes, chunk.numbers, chunk.categories)
    minimum, maximum, n_missing = number_extremes(numeric_specs(specs), chunk.numbers)
    return Survey(
        chunk.n_rows,
        minimum,
        maximum,
        n_missing,
        tuple(count_categories(column) for column in chunk.categories),
        HashSample(sample_capacity(len(specs)), (rows,)),
    )


def number_extremes(specs: Sequence[FeatureSpec], numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The minimum and maximum of what is not missing, and how many values are, for every numeric feature."""
    each = [extremes_of(spec, np.ascontiguousarray(values)) for spec, values in zip(specs, numbers.T, strict=True)]
    found = np.array(each, np.float64).reshape(-1, 3)
    return found[:, 0], found[:, 1], found[:, 2].astype(np.int64)


def extremes_of(spec: FeatureSpec, values: np.ndarray) -> tuple[float, float, int]:
    """The same of one feature. Which values are missing is only asked where one of the extremes is."""
    ends = np.array([values.min(initial=np.inf), values.max(initial=-np.inf)])  # both NaN, where there is one
    if not missing(spec, ends).any():
        return ends[0], ends[1], 0
    present = values[~missing(spec, values)]
    return present.min(initial=np.inf), present.max(initial=-np.inf), len(values) - len(present)
