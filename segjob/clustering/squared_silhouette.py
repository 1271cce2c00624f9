"""The silhouette with squared Euclidean distances, exact for all customers, from one pass over their coordinates.

The mean squared distance from x to the n customers of a segment needs no pairs: it is |x - μ|² + w/n, with the
members' mean μ and their summed squares w about it; to the others of the own segment it is n / (n - 1) times that
(the identity of König and Huygens; scikit-learn has it as `silhouette_samples(metric="sqeuclidean")`).

The label pass says where μ lies and how large w is. With the segment's centre c, a whole grid point not far from μ,
the whole numbers n (μ - c), |x - c|² and n (x - c)(μ - c) are sums of products of whole numbers, hence exact, and all
else is done element by element. So a customer's silhouette is the same to the last bit in any chunk and on any device,
and is rounded to 2**-36 before it is summed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.grid import LIMIT
from segjob.clustering.nearest import (
    FARTHER,
    HALF,
    as_rows,
    center_scores,
    in_halves,
    memberships,
    resolve_device,
    row_blocks,
    squared_norms,
)
from segjob.clustering.summary import SegmentSummary
from segjob.records.population import Population
from segjob.records.version import Score

METHOD = "squared euclidean"
STEPS = 2.0**36  # to one: a block of 2**16 rows then sums silhouettes exactly in float64
EXACT_BITS = 52


@dataclass(frozen=True)
class SquaredTotals:
    """Sums over the members of each segment; mergeable and exact.

    Attributes
    ----------
    counts : (k,) int64
    silhouettes : (k,) Python integers, steps of 2**-36
    distances : (k,) Python integers, of the members from their mean, in steps of 2**-36 grid unit
    """

    counts: np.ndarray
    silhouettes: np.ndarray
    distances: np.ndarray

    def merge(self, other: SquaredTotals) -> SquaredTotals:
        return SquaredTotals(
            self.counts + other.counts, self.silhouettes + other.silhouettes, self.distances + other.distances
        )

    @property
    def spreads(self) -> np.ndarray:
        """(k,) the mean distances of the members from their mean, in grid units, for `scores.davies_bouldin`."""
        return np.asarray(self.distances.astype(np.float64) / STEPS / np.maximum(self.counts, 1))

    @property
    def overall(self) -> Score:
        """The mean of the silhouettes of all customers."""
        return exact_score(int(self.silhouettes.sum()), int(self.counts.sum()), len(self.counts))

    @property
    def segments(self) -> tuple[Score, ...]:
        """One a segment, in the order of the centres."""
        return tuple(
            exact_score(total, count, len(self.counts))
            for total, count in zip(self.silhouettes.tolist(), self.counts.tolist(), strict=True)
        )


def exact_score(total: int, count: int, n_clusters: int) -> Score:
    if n_clusters == 1 or not count:
        return Score(None, None, None, METHOD, 0, True)
    value = total / (count * int(STEPS))
    return Score(value, value, value, METHOD, count, True)


def squared_silhouette(
    summary: SegmentSummary, centers: np.ndarray, population: Population[np.ndarray], device: str = "auto"
) -> SquaredTotals:
    """One pass over the chunks (n, d) of grid coordinates, of which `summary` is what the label pass found.

    Parameters
    ----------
    centers : (k, d) int64, those of the label pass
    device : `auto`, `cpu` or `cuda`
    """
    return population.reduce(SquaredPass(summary, centers, resolve_device(device)[0]))


class SquaredPass:
    """A pass over the chunks (n, d) of grid coordinates.

    Parameters
    ----------
    summary : of everyone
    centers : (k, d) int64, that it is about
    device : `cpu` or `cuda`
    """

    def __init__(self, summary: SegmentSummary, centers: np.ndarray, device: str) -> None:
        self.device = device
        n_members, inertia = summary.counts, summary.inertia
        counts = np.maximum(n_members, 1)
        offsets, scale = whole_offsets(summary.coordinates - n_members[:, None] * centers)
        squares = np.array([float(Fraction(*one)) for one in zip(inertia, counts.tolist(), strict=True)])
        self._centers, self._offsets = map(self._on_device, (centers, offsets))  # (k, d)
        self._at_centers = -(self._centers * self._offsets).sum(1)[:, None]
        self._doubles = self._on_device(-2.0 * scale / counts)[:, None]
        self._squares = self._on_device(np.where(n_members > 0, squares, FARTHER))[:, None]
        unbiased = np.where(counts > 1, counts / np.maximum(counts - 1, 1), 0.0)
        moved = np.square(offsets * scale / counts[:, None]).sum(axis=1)
        self._of_own = self._on_device(np.stack([np.where(n_members > 0, squares, 0.0), unbiased, moved]))

    def _on_device(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float64)).to(self.device)

    def __call__(self, matrix: np.ndarray) -> SquaredTotals:
        n_clusters = len(self._centers)
        totals = torch.zeros(4, n_clusters, dtype=torch.int64, device=self.device)
        for block in row_blocks(as_rows(matrix, self.device), n_clusters):
            members, silhouettes, distances = self.silhouettes(block)
            high, low = in_halves((distances * STEPS).round_())
            steps = torch.stack([torch.ones_like(high), (silhouettes * STEPS).round_(), high, low])
            totals += (steps @ members.T).to(torch.int64)
        counts, *sums = totals.cpu().numpy()
        of_silhouettes, of_high, of_low = (values.astype(object) for values in sums)
        return SquaredTotals(counts, of_silhouettes, of_high * HALF + of_low)

    def silhouettes(self, block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of rows (b, d) float64: a 1 at their segment (k, b), the silhouettes, the distances from its mean."""
        scores = center_scores(block, self._centers)
        members = memberships(scores[None])[1][0]
        squared = scores.add_(squared_norms(block))  # |x - c|², (k, b)
        along = torch.addmm(self._at_centers, self._offsets, block.T)  # n (x - c)(μ - c)
        squared.addcmul_(along, self._doubles)  # |x - μ|² - |μ - c|²
        own, (own_squares, unbiased, moved) = (squared * members).sum(0), self._of_own @ members
        within = (own + own_squares) * unbiased
        between = squared.add_(self._squares).add_(members, alpha=FARTHER).amin(dim=0)
        larger = torch.maximum(within, between)
        defined = (unbiased > 0.0) & (larger > 0.0) & (between < FARTHER / 2)
        silhouettes = torch.where(defined, (between - within) / larger, 0.0)
        return members, silhouettes, (own + moved).clamp_(min=0.0).sqrt_()


def whole_offsets(offsets: np.ndarray) -> tuple[np.ndarray, float]:
    """Offsets (k, d) in whole steps so long that their products with coordinates stay exact, and that length.

    It is 1 for segments of less than 2**28 customers in up to 8 columns.
    """
    bits = int(np.abs(offsets).max(initial=0)).bit_length() + LIMIT.bit_length() + offsets.shape[1].bit_length()
    scale = 2.0 ** max(bits - EXACT_BITS, 0)
    return np.rint(offsets / scale), scale
