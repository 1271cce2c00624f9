"""The two passes over all customers that a feature plan needs, each a map to a mergeable summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.categories import count_exactly
from segjob.clustering.columns import is_clipped
from segjob.clustering.features import least, numeric_specs, transform
from segjob.clustering.kernels import block_rows, moment_sums
from segjob.clustering.moments import Moments
from segjob.clustering.nearest import as_rows
from segjob.records.model import ModelColumn
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec

HELD = 3  # elements a value, while moments are summed up


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
    specs: Sequence[FeatureSpec],
    exponents: Sequence[int],
    candidates: Sequence[list[str]],
    complete: bool,
    chunk: Chunk,
) -> SourcePass:
    """The first pass over one chunk; `complete` says that no customer lacks a number."""
    moments = moments_of(chunk.numbers, exponents, None if complete else [*map(least, numeric_specs(specs))])
    counts = (count_exactly(*column) for column in zip(chunk.categories, candidates, strict=True))
    return SourcePass(tuple(moments), tuple(counts))


def transformed_pass(
    columns: Sequence[tuple[int, ModelColumn]], exponents: Sequence[int], chunk: Chunk
) -> TransformedPass:
    values = [(column, np.ascontiguousarray(chunk.numbers[:, index])) for index, column in columns]
    moments = moments_of(np.stack([transform(*one) for one in values]).T, exponents)
    n_clipped = [int(np.count_nonzero(is_clipped(*one))) for one in values]
    return TransformedPass(tuple(moments), np.array(n_clipped, np.int64))


def moments_of(numbers: np.ndarray, exponents: Sequence[int], bounds: Sequence[float] | None = None) -> list[Moments]:
    """The moments of columns whose values lie within the reach that their exponents were chosen for.

    Parameters
    ----------
    numbers : (n, m) float64
    exponents : (m,)
    bounds : (m,) what is no number, infinite or at most so large is missing; without it nothing is
    """
    factors = as_column([2.0**-exponent for exponent in exponents])
    least = None if bounds is None else as_column(bounds)
    values = as_rows(np.ascontiguousarray(numbers.T), "cpu")
    found = moment_sums(values, factors, least, block_rows(HELD * max(len(values), 1)))
    return [
        Moments.from_words(exponent, len(numbers) - n_missing, *words)
        for exponent, (n_missing, *words) in zip(exponents, found.T.tolist(), strict=True)
    ]


def as_column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]
