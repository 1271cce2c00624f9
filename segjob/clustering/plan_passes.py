"""The two passes over all customers that a feature plan needs, each a map to a mergeable summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segjob.clustering.categories import count_exactly
from segjob.clustering.columns import is_clipped
from segjob.clustering.features import missing, numeric_specs, transform
from segjob.clustering.moments import Moments, moments_of
from segjob.records.model import ModelColumn
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec


@dataclass(frozen=True)
class SourcePass:
    """The first pass: moments of each numeric feature as it is in the source, exact counts of candidate categories."""

    moments: tuple[Moments, ...]
    counts: tuple[np.ndarray, ...]

    def merge(self, other: SourcePass) -> SourcePass:
        moments = tuple(mine.merge(theirs) for mine, theirs in zip(self.moments, other.moments, strict=True))
        return SourcePass(moments, tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)))


@dataclass(frozen=True)
class TransformedPass:
    """The second pass: moments after impute, clip and transform, and how many values were clipped, by column."""

    moments: tuple[Moments, ...]
    n_clipped: np.ndarray

    def merge(self, other: TransformedPass) -> TransformedPass:
        moments = tuple(mine.merge(theirs) for mine, theirs in zip(self.moments, other.moments, strict=True))
        return TransformedPass(moments, self.n_clipped + other.n_clipped)


def source_pass(
    specs: Sequence[FeatureSpec], exponents: Sequence[int], candidates: Sequence[list[str]], chunk: Chunk
) -> SourcePass:
    moments = []
    for spec, exponent, strided in zip(numeric_specs(specs), exponents, chunk.numbers.T, strict=True):
        values = np.ascontiguousarray(strided)
        absent = missing(spec, values)
        moments.append(moments_of(values[~absent] if absent.any() else values, exponent))
    counts = (count_exactly(*column) for column in zip(chunk.categories, candidates, strict=True))
    return SourcePass(tuple(moments), tuple(counts))


def transformed_pass(
    columns: Sequence[tuple[int, ModelColumn]], exponents: Sequence[int], chunk: Chunk
) -> TransformedPass:
    moments, n_clipped = [], []
    for (index, column), exponent in zip(columns, exponents, strict=True):
        values = np.ascontiguousarray(chunk.numbers[:, index])
        moments.append(moments_of(transform(column, values), exponent))
        n_clipped.append(int(np.count_nonzero(is_clipped(column, values))))
    return TransformedPass(tuple(moments), np.array(n_clipped, np.int64))
