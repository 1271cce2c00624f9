"""The silhouettes of the customers of a draw, and what they were without each group of references."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from segjob.clustering.pair_distances import Groups, distance_sums
from segjob.clustering.silhouette_draw import N_GROUPS, Draw

TILE_ROWS = 256
TILE_ELEMENTS = 2**21  # of the largest temporary: rows, segments and replicates


@dataclass(frozen=True)
class Evaluation:
    """The silhouettes of the evaluated customers of a draw.

    Attributes
    ----------
    drawn : who was evaluated, against whom
    values : (e,) float64
    replicates : (e, N_GROUPS) the same with each group of references left out of every segment
    """

    drawn: Draw
    values: np.ndarray
    replicates: np.ndarray


def evaluate(rows: Tensor, drawn: Draw) -> Evaluation:
    """The silhouettes of the evaluated rows (of the (s, d) sample) against the references, with their replicates."""
    scales = replicate_scales(drawn)
    if not scales.any():
        scales = scales[:, :0]
    found = np.empty((len(drawn.evaluated), 1 + scales.shape[1]))
    tile_rows = max(1, min(TILE_ROWS, TILE_ELEMENTS // (len(scales) * (N_GROUPS + 1))))
    for tile, sums, step in distance_sums(rows, drawn.evaluated, drawn.references, drawn.groups, tile_rows):
        own, own_group = drawn.own[tile], drawn.own_group[tile]
        alone = drawn.groups.references[own] - (own_group >= 0) == 0
        means = replicate_means(drawn.groups, own, own_group, by_segment(sums, drawn.groups), scales) * step
        found[tile] = silhouettes(means, own, alone)
    replicates = found[:, 1:] if scales.shape[1] else np.repeat(found, N_GROUPS, axis=1)
    return Evaluation(drawn, found[:, 0], replicates)


def replicate_scales(drawn: Draw) -> np.ndarray:
    """By how much the change of a segment's mean distance counts where a group is left out, (k, N_GROUPS).

    With √(1 - m/n) the draw was without replacement; the rest makes up for segments with fewer groups than others.
    """
    groups, referred = drawn.groups.numbers, drawn.groups.references / drawn.counts
    even = (1 - 1 / np.maximum(groups, 1)) * N_GROUPS / (N_GROUPS - 1)
    scales = np.sqrt(np.maximum(1 - referred, 0.0) * even)
    return np.where(np.arange(N_GROUPS) < groups[:, None], scales[:, None], 0.0)


def by_segment(sums: np.ndarray, groups: Groups) -> np.ndarray:
    """Sums by group (r, groups of all segments) as (r, k, most groups of a segment), with 0 where there is none."""
    segments = np.repeat(np.arange(len(groups.numbers)), groups.numbers)
    places = np.arange(len(segments)) - np.repeat(np.cumsum(groups.numbers) - groups.numbers, groups.numbers)
    spread = np.zeros((len(sums), len(groups.numbers), int(groups.numbers.max())), np.int64)
    spread[:, segments, places] = sums
    return spread


def replicate_means(
    groups: Groups, own: np.ndarray, own_group: np.ndarray, sums: np.ndarray, scales: np.ndarray
) -> np.ndarray:
    """The mean distance of each row to each segment, first to all its references, then with each group left out.

    Parameters
    ----------
    own, own_group : (r,) the segment of each row, and the group of references that it is in, or -1
    sums : (r, k, g) int64
    scales : (k, N_GROUPS), or (k, 0) for no replicates

    Returns
    -------
    (r, k, 1 + N_GROUPS) float64; infinite for a segment without references
    """
    is_reference = np.flatnonzero(own_group >= 0)
    itself = is_reference, own[is_reference]
    totals = sums.sum(axis=2)
    numbers = np.tile(groups.references, (len(own), 1))
    numbers[itself] -= 1
    means = totals / np.maximum(numbers, 1)  # (r, k)
    means[:, groups.references == 0] = np.inf
    if not scales.shape[1]:
        return np.asarray(means[:, :, None])
    left = numbers[:, :, None] - groups.sizes[:, None]
    left = np.broadcast_to(left, sums.shape).copy()  # (r, k, g)
    left[(*itself, own_group[is_reference])] += 1
    with_all = means[:, :, None]
    without = np.where(left > 0, (totals[:, :, None] - sums) / np.maximum(left, 1), with_all)
    changes = np.subtract(without, with_all, out=np.zeros_like(without), where=np.isfinite(with_all))
    replicates = np.repeat(with_all, scales.shape[1], axis=2)
    replicates[:, :, : sums.shape[2]] += changes * scales[:, : sums.shape[2]]
    return np.concatenate([with_all, replicates], axis=2)


def silhouettes(means: np.ndarray, own: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """(b - a) / max(a, b) of mean distances (r, k, c), by row and column c.

    Parameters
    ----------
    own : (r,) the segment of each row
    alone : (r,) there is nobody else in it; then the silhouette is 0
    """
    each = np.arange(len(own))
    within = means[each, own]  # (r, c)
    means[each, own] = np.inf
    between = means.min(axis=1)
    larger = np.maximum(within, between)
    defined = ~alone[:, None] & (larger > 0.0) & np.isfinite(between)
    return np.asarray(np.divide(between - within, larger, out=np.zeros_like(larger), where=defined))
