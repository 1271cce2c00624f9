"""Silhouettes of several clusterings on the same customers, from one pass over their distances.

One set of customers is evaluated against one set of references for every number of segments. So what is chance in the
choice of these customers is much the same for all, and differences between two clusterings are known far better than
each score by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.cores import at_once
from segjob.clustering.kernels import squared_norms
from segjob.clustering.silhouette import EXACT_ROWS
from segjob.clustering.silhouette_interval import METHOD
from segjob.records.version import Score

EVALUATED = 4_096
REFERENCES = 8_192
GROUPS = 16  # of references, of which the jackknife leaves out one at a time
TILE_ROWS = 512
TILE_REFERENCES = 1_024
LARGEST_SUM = 53  # bits up to which float64 sums whole numbers exactly
STEPS_BITS = 24
QUANTILE = 1.959963984540054  # of the normal distribution at 97.5 %


@dataclass(frozen=True)
class PairedSilhouettes:
    """What is known of K clusterings.

    Attributes
    ----------
    values : (e, K) the silhouettes of the evaluated customers; NaN with one segment
    deleted : (G, K) the means without each group of the references; empty where all customers were evaluated
    exact : the evaluated customers are all there are
    """

    values: np.ndarray
    deleted: np.ndarray
    exact: bool

    @property
    def means(self) -> np.ndarray:
        return np.asarray(self.values.mean(axis=0))

    def score(self, place: int) -> Score:
        """The overall silhouette of one clustering with its 95 % interval."""
        value, n_sampled = float(self.means[place]), len(self.values)
        if math.isnan(value):
            return Score(None, None, None, METHOD, 0, self.exact)
        half = QUANTILE * self.standard_error(self.values[:, place], self.deleted[:, place])
        return Score(value, max(value - half, -1.0), min(value + half, 1.0), METHOD, n_sampled, self.exact)

    def difference_error(self, first: int, second: int) -> float:
        """The standard error of the difference between two clusterings, paired; 0 when exact."""
        values, deleted = self.values, self.deleted
        return self.standard_error(values[:, first] - values[:, second], deleted[:, first] - deleted[:, second])

    def standard_error(self, values: np.ndarray, deleted: np.ndarray) -> float:
        """Of a mean over the evaluated customers, and of the means that the jackknife leaves."""
        if self.exact:
            return 0.0
        groups = len(deleted)
        return math.sqrt(float(values.var(ddof=1)) / len(values) + (groups - 1) * float(deleted.var()))


def paired_silhouettes(sample: Tensor, indexes: Sequence[np.ndarray], n_rows: int) -> PairedSilhouettes:
    """Evaluate several clusterings of the same customers.

    All customers against all if they are few and the sample has them all. Else the first 4,096 of the sample against
    the next 8,192; both are fair samples, for a hash chose their order.

    Parameters
    ----------
    sample : (s, d) grid coordinates in the order of the hashes
    indexes : K arrays (s,), the segment of each row of the sample; segments are counted from 0
    n_rows : customers in the population
    """
    exact = len(sample) == n_rows and n_rows <= EXACT_ROWS
    if exact:
        evaluated, groups = slice(0, n_rows), [slice(0, n_rows)]
    else:
        width = REFERENCES // GROUPS
        evaluated = slice(0, EVALUATED)
        groups = [slice(first, first + width) for first in range(EVALUATED, EVALUATED + REFERENCES, width)]
    return evaluate(sample.to(torch.float64), indexes, evaluated, groups, exact)


def evaluate(
    rows: Tensor, indexes: Sequence[np.ndarray], evaluated: slice, groups: list[slice], exact: bool
) -> PairedSilhouettes:
    """Go through the evaluated customers tile by tile, each against the groups of references."""
    references = slice(groups[0].start, groups[-1].stop)
    left, right = pair_factors(rows[evaluated], rows[references])
    counts = [int(index.max()) + 1 for index in indexes]
    members = [memberships_of(indexes, counts, group, rows.device) for group in groups]  # each (r, sum of k)
    offset = references.start
    columns = [slice(group.start - offset, group.stop - offset) for group in groups]
    sizes = np.stack([one.sum(0).cpu().numpy() for one in members])  # (G, sum of k)

    def of_tile(first: int) -> tuple[np.ndarray, np.ndarray]:
        """The silhouettes of the tile, (t, K), and their sums without each group, (G, K)."""
        tile = left[first : first + TILE_ROWS]
        sums = np.stack([distance_sums(tile, right[part], one) for part, one in zip(columns, members, strict=True)])
        own = [index[evaluated][first : first + TILE_ROWS] for index in indexes]
        values = by_clustering(sums.sum(0)[None], sizes.sum(0)[None], own, counts, exact)[0]
        if exact:
            return values, np.empty((0, len(indexes)))
        return values, by_clustering(sums.sum(0) - sums, sizes.sum(0) - sizes, own, counts, exact).sum(1)

    values, deleted = zip(*at_once(of_tile, range(0, len(left), TILE_ROWS)), strict=True)
    return PairedSilhouettes(np.concatenate(values), np.sum(deleted, axis=0) / len(left), exact)


def pair_factors(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two matrices whose product holds the exact squared distances, in steps so small as sums of all allow."""
    both = torch.cat([x, y])
    extent = float((both.amax(0) - both.amin(0)).square().sum())
    diameter_bits = math.ceil(math.log2(math.sqrt(extent) + 1.0))
    bits = min(STEPS_BITS, LARGEST_SUM - diameter_bits - len(y).bit_length())
    left = torch.cat([x, squared_norms(x)[:, None], torch.ones_like(x[:, :1])], dim=1) * 4.0**bits
    right = torch.cat([-2.0 * y, torch.ones_like(y[:, :1]), squared_norms(y)[:, None]], dim=1)
    return left, right


def memberships_of(indexes: Sequence[np.ndarray], counts: Sequence[int], rows: slice, device: torch.device) -> Tensor:
    """A 1 where a row belongs to a segment, for the segments of all clusterings side by side; (r, sum of k)."""
    own = [
        torch.nn.functional.one_hot(torch.from_numpy(index[rows]), count)
        for index, count in zip(indexes, counts, strict=True)
    ]
    return torch.cat(own, dim=1).to(device, torch.float64)


def distance_sums(left: Tensor, right: Tensor, members: Tensor) -> np.ndarray:
    """Sums of the distances from each evaluated row to the references of each segment, (t, sum of k)."""
    sums = torch.zeros(len(left), members.shape[1], dtype=torch.float64, device=left.device)
    for first in range(0, len(right), TILE_REFERENCES):
        tile = slice(first, first + TILE_REFERENCES)
        sums += (left @ right[tile].T).sqrt_().round_() @ members[tile]
    return sums.cpu().numpy()


def by_clustering(
    sums: np.ndarray, sizes: np.ndarray, own: Sequence[np.ndarray], counts: Sequence[int], exact: bool
) -> np.ndarray:
    """The silhouettes (G, t, K) from sums (G, t, sum of k) to references of which there are `sizes` (G, sum of k)."""
    ends = np.cumsum(counts)
    return np.stack(
        [
            silhouettes(sums[..., end - count : end], sizes[..., end - count : end], index, exact)
            for index, count, end in zip(own, counts, ends, strict=True)
        ],
        axis=2,
    )


def silhouettes(sums: np.ndarray, sizes: np.ndarray, own: np.ndarray, exact: bool) -> np.ndarray:
    """(b - a) / max(a, b) of each evaluated row, (G, t); 0 for a segment of one, NaN where there is no other one."""
    if sums.shape[2] == 1:
        return np.full(sums.shape[:2], np.nan)
    each = np.arange(len(own))
    others = sizes[:, own] - exact
    within = sums[:, each, own] / np.maximum(others, 1)
    means = np.divide(sums, sizes[:, None], out=np.full_like(sums, np.inf), where=sizes[:, None] > 0)
    means[:, each, own] = np.inf
    between = means.min(axis=2)
    larger = np.maximum(within, between)
    defined = (others > 0) & (larger > 0.0) & np.isfinite(between)
    return np.asarray(np.divide(between - within, larger, out=np.zeros_like(larger), where=defined))
