"""The Euclidean silhouette: exact for small populations, else estimated from customers whom the hash chose.

For a customer, a is the mean distance to the others of the own segment and b the smallest mean distance to another
segment; the silhouette is (b - a) / max(a, b), and 0 for a segment of one (Rousseeuw 1987). It needs the distances of
pairs: of all pairs for up to 20,000 customers, else of as few as tell the mean to a hundredth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.kernels import squared_distances
from segjob.clustering.nearest import as_rows, resolve_device, row_blocks, whole
from segjob.clustering.silhouette_draw import Members, draw, everybody, sampled_roles
from segjob.clustering.silhouette_interval import METHOD, overall_score, segment_estimate, segment_score
from segjob.clustering.silhouette_values import Evaluation, evaluate
from segjob.records.version import Score

EXACT_ROWS = 20_000
EXACT_PAIRS = 2**24
"""Small segments, of a population that is wholly in the sample, are compared with everybody: so many pairs at most."""

STEPS = ((1_024, 2_048), (2_048, 4_096), (4_096, 8_192), (8_192, 16_384))  # evaluated and references, of all segments
LEAST_EVALUATED = 64  # a segment, on average: with many segments the first steps are left out
HALF_WIDTH = 0.01


@dataclass(frozen=True)
class Silhouette:
    """Scores of a clustering, and the silhouettes of the customers that were evaluated.

    Attributes
    ----------
    overall : the mean over all customers; where sampled, the segments' means weighted by their customers
    segments : one a segment, in the order of the centres
    rows : (e,) positions in the sample of the customers evaluated, ascending
    values : (e,) float64
    index, squared : (s,) the nearest centre of every row of the sample, and the squared distance from it, grid units
    """

    overall: Score
    segments: tuple[Score, ...]
    rows: np.ndarray
    values: np.ndarray
    index: np.ndarray
    squared: np.ndarray


def silhouette(sample: np.ndarray, centers: np.ndarray, counts: np.ndarray, device: str = "auto") -> Silhouette:
    """Score the segments.

    Exact if the sample is the whole population and at most 20,000. Else estimated with a 95 % interval, from more and
    more customers until the overall one is within 0.01 of the estimate, or the largest draw is reached. A segment that
    was compared as a whole with everybody is exact all the same.

    Parameters
    ----------
    sample : (s, d) grid coordinates in the order of the hashes
    centers : (k, d) int64 grid units
    counts : (k,) customers a segment, in the population
    """
    rows = as_rows(sample, resolve_device(device)[0])
    index, squared = nearest(rows, centers)
    complete = len(rows) == int(counts.sum())
    if len(centers) == 1:
        return no_silhouette(index, squared, complete and len(rows) <= EXACT_ROWS)
    members = Members(index, len(centers))
    for evaluations in growing(rows, members, counts, complete):
        found = summed_up(evaluations, counts, index, squared)
        if precise(found.overall):
            break
    return found


def nearest(rows: Tensor, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of the nearest centre of each row, (s,), and its squared distance; ties as in the label pass."""
    stacked = torch.from_numpy(centers).to(rows.device, torch.float64)
    found = [squared_distances(block, stacked).min(dim=0) for block in row_blocks(rows, len(centers))]
    return whole(torch.cat([one.indices for one in found])), whole(torch.cat([one.values for one in found]))


def no_silhouette(index: np.ndarray, squared: np.ndarray, exact: bool) -> Silhouette:
    """One segment has no next one, hence no silhouette."""
    none = Score(None, None, None, METHOD, 0, exact)
    return Silhouette(none, (none,), np.empty(0, np.int64), np.empty(0), index, squared)


def precise(score: Score) -> bool:
    if score.low is None or score.high is None:
        return False
    return score.high - score.low <= 2 * HALF_WIDTH


def growing(rows: Tensor, members: Members, counts: np.ndarray, complete: bool) -> Iterator[list[Evaluation]]:
    """Evaluations of larger and larger draws; of a small population there is one, of everybody."""
    n_clusters = len(counts)
    all_roles = [everybody(n_members) for n_members in members.numbers.tolist()]
    if complete and len(rows) <= EXACT_ROWS:
        yield [evaluate(rows, draw(members, counts, all_roles))]
        return
    small = small_segments(counts) if complete else np.zeros(n_clusters, bool)
    certain = [evaluate(rows, draw(members, counts, all_roles).only(small))] if small.any() else []
    for n_evaluated, n_references in STEPS:
        if n_evaluated < min(LEAST_EVALUATED * n_clusters, STEPS[-1][0]):
            continue
        roles = sampled_roles(members.numbers, counts, n_evaluated, n_references)
        yield [*certain, evaluate(rows, draw(members, counts, roles).only(~small))]


def small_segments(counts: np.ndarray) -> np.ndarray:
    """Which segments are so small that their customers can be compared with everybody, the smallest first."""
    order = np.argsort(counts, kind="stable")
    small = np.zeros(len(counts), bool)
    small[order] = np.cumsum(counts[order]) * int(counts.sum()) <= EXACT_PAIRS
    return small


def summed_up(evaluations: list[Evaluation], counts: np.ndarray, index: np.ndarray, squared: np.ndarray) -> Silhouette:
    """The scores; each segment was evaluated in one of the draws at most."""
    own = np.concatenate([one.drawn.own for one in evaluations])
    exact = np.any([one.drawn.exact for one in evaluations], axis=0)
    rows = np.concatenate([one.drawn.evaluated for one in evaluations])
    values = np.concatenate([one.values for one in evaluations])
    replicates = np.concatenate([one.replicates for one in evaluations])
    estimates = [
        segment_estimate(values[own == each], replicates[own == each], int(count), bool(exact[each]))
        for each, count in enumerate(counts)
    ]
    order = np.argsort(rows)
    overall, segments = overall_score(estimates, counts), tuple(map(segment_score, estimates))
    return Silhouette(overall, segments, rows[order], values[order], index, squared)
