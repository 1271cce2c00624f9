"""The Euclidean silhouette: exact for small populations, else from customers whom the hash chose.

For a customer, a is the mean distance to the others of the own segment and b the smallest mean distance to another
segment; the silhouette is (b - a) / max(a, b), and 0 for a segment of one (Rousseeuw 1987). It needs the distances of
pairs, so tiles of pairs are computed and summed as integers, which leaves no trace of how the tiles were cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.nearest import as_rows, assign, resolve_device, squared_norms
from segjob.records import Score

METHOD = "euclidean"
EXACT_ROWS = 20_000
FIRST_ROWS = 5_000  # of the sample, which the report shows
LEAST_EVALUATED = 512  # a segment
MOST_REFERENCES = 2_048  # a segment
ALL_REFERENCES = 2**15
TILE_ROWS = 1_024
TILE_REFERENCES = 256
STEPS_BITS = 24  # distances are rounded to 2**-24 of a grid unit
MEAN_STEPS = 2.0**40  # silhouettes are rounded to 2**-40 before they are summed


@dataclass(frozen=True)
class Silhouette:
    """Scores of a clustering, and the silhouettes of the customers that were evaluated.

    Attributes
    ----------
    overall : the mean over all customers; where sampled, the segments' means weighted by their shares
    segments : one a segment, in the order of the centres
    rows : (e,) positions in the sample of the customers evaluated, ascending; the first 5,000 are among them
    values : (e,) float64
    index : (s,) the nearest centre of every row of the sample
    """

    overall: Score
    segments: tuple[Score, ...]
    rows: np.ndarray
    values: np.ndarray
    index: np.ndarray


def silhouette(sample: np.ndarray, centers: np.ndarray, counts: np.ndarray, device: str = "auto") -> Silhouette:
    """Score the segments.

    Exact if the sample is the whole population and at most 20,000. Else every segment is represented by its first
    customers in the order of the hashes: up to 2,048 references, fewer with more than 16 segments.

    Parameters
    ----------
    sample : (s, d) grid coordinates in the order of the hashes
    centers : (k, d) int64 grid units
    counts : (k,) customers a segment, in the population
    """
    rows = as_rows(sample, resolve_device(device)[0])
    index = assign(rows, centers).index
    exact = len(rows) == int(counts.sum()) and len(rows) <= EXACT_ROWS
    if len(centers) == 1:
        return no_silhouette(index, exact)
    references = chosen_rows(index, len(centers), 0, len(rows) if exact else references_each(len(centers)))
    evaluated = np.arange(len(rows)) if exact else chosen_rows(index, len(centers), FIRST_ROWS, LEAST_EVALUATED)
    values = silhouettes(rows, index, evaluated, references, len(centers))
    segments = tuple(mean_score(values[index[evaluated] == each], exact) for each in range(len(centers)))
    return Silhouette(weighted_score(segments, counts, exact), segments, evaluated, values, index)


def references_each(n_clusters: int) -> int:
    return min(MOST_REFERENCES, ALL_REFERENCES // n_clusters)


def no_silhouette(index: np.ndarray, exact: bool) -> Silhouette:
    """One segment has no next one, hence no silhouette."""
    none = Score(None, None, None, METHOD, 0, exact)
    return Silhouette(none, (none,), np.empty(0, np.int64), np.empty(0), index)


def chosen_rows(index: np.ndarray, n_clusters: int, n_first: int, n_each: int) -> np.ndarray:
    """Positions of the first `n_first` rows of all and the first `n_each` of each segment, ascending."""
    chosen = [np.arange(min(n_first, len(index)))]
    chosen += [np.flatnonzero(index == each)[:n_each] for each in range(n_clusters)]
    return np.unique(np.concatenate(chosen))


def silhouettes(
    rows: Tensor, index: np.ndarray, evaluated: np.ndarray, references: np.ndarray, n_clusters: int
) -> np.ndarray:
    """The silhouettes of the evaluated rows against the references, (e,) float64.

    Parameters
    ----------
    rows : (s, d) grid coordinates
    index : (s,) the segment of each
    evaluated, references : positions in `rows`, ascending
    """
    grouped = references[np.argsort(index[references], kind="stable")]
    sizes = np.bincount(index[references], minlength=n_clusters)
    sums = distance_sums(rows, evaluated, grouped, sizes)  # (e, k)
    own = index[evaluated]
    each = np.arange(len(evaluated))
    others = sizes[own] - np.isin(evaluated, references, assume_unique=True)
    within = sums[each, own] / np.maximum(others, 1)
    means = np.divide(sums, sizes, out=np.full_like(sums, np.inf), where=sizes > 0)
    means[each, own] = np.inf
    between = means.min(axis=1)
    larger = np.maximum(within, between)
    defined = (others > 0) & (larger > 0.0) & np.isfinite(between)
    return np.asarray(np.divide(between - within, larger, out=np.zeros_like(larger), where=defined))


def distance_sums(rows: Tensor, evaluated: np.ndarray, grouped: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Sums of the distances from each evaluated row to the references of each segment, (e, k), in grid units.

    `grouped` has the positions of the references, segment by segment, `sizes` (k,) of them each.
    """
    left, right = pair_factors(rows, evaluated, grouped)
    bits, width = resolution(rows, int(sizes.max()))
    left *= 4.0**bits
    sums = torch.zeros(len(evaluated), len(sizes), dtype=torch.int64, device=rows.device)
    for first in range(0, len(evaluated), TILE_ROWS):
        tile = slice(first, first + TILE_ROWS)
        for segment, columns in reference_tiles(sizes, width):
            distances = (left[tile] @ right[columns].T).sqrt_().round_()
            sums[tile, segment] += distances.sum(1).to(torch.int64)
    return sums.cpu().numpy() * 2.0**-bits


def pair_factors(rows: Tensor, evaluated: np.ndarray, grouped: np.ndarray) -> tuple[Tensor, Tensor]:
    """Two matrices whose product holds the exact squared distances: (x, |x|², 1) and (-2 y, 1, |y|²)."""
    x, y = (rows[torch.from_numpy(chosen).to(rows.device)].to(torch.float64) for chosen in (evaluated, grouped))
    left = torch.cat([x, squared_norms(x)[:, None], torch.ones_like(x[:, :1])], dim=1)
    right = torch.cat([-2.0 * y, torch.ones_like(y[:, :1]), squared_norms(y)[:, None]], dim=1)
    return left, right


def resolution(rows: Tensor, largest_segment: int) -> tuple[int, int]:
    """To how many bits below a grid unit distances are rounded, and how many of them float64 then sums exactly."""
    extent = (rows.amax(0).to(torch.float64) - rows.amin(0).to(torch.float64)).square().sum()
    diameter_bits = math.ceil(math.log2(math.sqrt(float(extent)) + 1.0))
    bits = min(STEPS_BITS, 62 - diameter_bits - largest_segment.bit_length())
    return bits, max(1, min(TILE_REFERENCES, 2 ** (53 - bits - diameter_bits)))


def reference_tiles(sizes: np.ndarray, width: int) -> Iterator[tuple[int, slice]]:
    """Ranges of the grouped references, none across two segments."""
    ends = np.cumsum(sizes).tolist()
    for segment, (size, end) in enumerate(zip(sizes.tolist(), ends, strict=True)):
        for first in range(end - size, end, width):
            yield segment, slice(first, min(first + width, end))


def mean_score(values: np.ndarray, exact: bool) -> Score:
    """The mean of some silhouettes; rounded and summed as integers, so that their order is moot."""
    if not len(values):
        return Score(None, None, None, METHOD, 0, exact)
    mean = int(np.rint(values * MEAN_STEPS).astype(np.int64).sum()) / len(values) / MEAN_STEPS
    return point_score(mean, len(values), exact)


def weighted_score(segments: tuple[Score, ...], counts: np.ndarray, exact: bool) -> Score:
    """The overall silhouette from the segments', weighted by their numbers of customers."""
    known = [(score, int(count)) for score, count in zip(segments, counts, strict=True) if score.value is not None]
    total = sum(count for _, count in known)
    mean = math.fsum((score.value or 0.0) * count for score, count in known) / total
    return point_score(mean, sum(score.n_sampled for score in segments), exact)


def point_score(value: float, n_sampled: int, exact: bool) -> Score:
    return Score(value, value if exact else None, value if exact else None, METHOD, n_sampled, exact)
