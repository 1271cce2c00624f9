"""One clustering for each number of segments that is tried, and its exact scores over everyone in a single pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.cores import at_once
from segjob.clustering.kmeans import fit
from segjob.clustering.nearest import as_rows, near_at_once
from segjob.clustering.summary import SegmentSummary
from segjob.clustering.summing import as_summary, place_sums_of_all
from segjob.records.population import Population, S, T, X

FIT_ROWS = 2**15
"""Of the sample, for each fit. A centre of a thousand rows is known to a thirtieth of a standard deviation."""


@dataclass(frozen=True)
class OneChunk:
    """A population that lies in memory."""

    matrix: np.ndarray

    @property
    def n_rows(self) -> int:
        return len(self.matrix)

    def reduce(self, summarise: Callable[[np.ndarray], S]) -> S:
        return summarise(self.matrix)

    def map(self, compute: Callable[[np.ndarray], T]) -> Iterator[T]:
        yield compute(self.matrix)

    def at_once(self, compute: Callable[[X], T], items: Sequence[X]) -> list[T]:
        return [*map(compute, items)]


def fit_candidates(
    sample: np.ndarray, n_clusters: Sequence[int], *, seed: int, unit: float, device: str
) -> list[np.ndarray]:
    """The centres (k, d) for each number of segments, found on the first 2**15 rows of the sample.

    The list ends early where there are fewer different rows than segments; its first element may have fewer.
    """
    rows = sample[:FIT_ROWS]

    def fitted(k: int) -> np.ndarray:
        return fit(rows, OneChunk(rows), k, seed=seed, unit=unit, device=device).centers

    longest_first = [*reversed(n_clusters)]
    first, *others = reversed(at_once(fitted, longest_first))
    whole = takewhile(lambda pair: len(pair[0]) == pair[1], zip(others, n_clusters[1:], strict=True))
    return [first, *(centers for centers, _ in whole)]


@dataclass(frozen=True)
class Summaries:
    """The sums over the members of each segment, for several clusterings; mergeable and exact."""

    each: tuple[SegmentSummary, ...]

    def merge(self, other: Summaries) -> Summaries:
        return Summaries(tuple(mine.merge(theirs) for mine, theirs in zip(self.each, other.each, strict=True)))


def summarise_candidates(
    population: Population[np.ndarray], candidates: Sequence[np.ndarray], device: str
) -> tuple[SegmentSummary, ...]:
    """Give everyone to the nearest centre of each candidate, in one pass.

    Parameters
    ----------
    candidates : centres (k, d) int64 each
    device : `cpu` or `cuda`
    """
    return population.reduce(partial(summarise_chunk, candidates=candidates, device=device)).each


def summarise_chunk(matrix: np.ndarray, candidates: Sequence[np.ndarray], device: str) -> Summaries:
    rows = as_rows(matrix, device)
    stacked = [torch.from_numpy(centers).to(rows.device, torch.float64) for centers in candidates]
    totals = [place_sums_of_all(rows, centers, near_at_once(len(centers))) for centers in stacked]
    return Summaries(tuple(map(of_places_alone, totals)))


def of_places_alone(total: Tensor) -> SegmentSummary:
    """As the scores read it; of raw features there is nothing."""
    return as_summary(total.cpu().numpy(), np.empty((3, 0, len(total)), np.int64))
