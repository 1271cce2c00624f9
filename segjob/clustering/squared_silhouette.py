"""The silhouette with squared Euclidean distances, exact for all customers, beside their labels.

The mean squared distance from x to the n customers of a segment needs no pairs: it is |x - μ|² + w/n, with the
members' mean μ and their summed squares w about it; to the others of the own segment it is n / (n - 1) times that
(the identity of König and Huygens; scikit-learn has it as `silhouette_samples(metric="sqeuclidean")`).

The last pass of the fit says where μ lies and how large w is, for the same members. With the segment's centre c, a
whole grid point not far from μ, the whole numbers n (μ - c), |x - c|² and n (x - c)(μ - c) are sums of products of
whole numbers, hence exact, and all else is done element by element. So a customer's silhouette is the same to the last
bit in any chunk and on any device, and is rounded to 2**-36 before it is summed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.grid import LIMIT
from segjob.clustering.kernels import in_halves
from segjob.clustering.near import FARTHER, Near, of_nearest, sums_by_nearest
from segjob.clustering.nearest import Tally, from_halves
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

    @classmethod
    def of(cls, steps: np.ndarray) -> SquaredTotals:
        """Those of any number of blocks, from the sum of their `squared_steps`."""
        counts, silhouettes, *halves = steps
        return cls(counts, silhouettes.astype(object), from_halves(np.stack(halves)))

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


class Means(NamedTuple):
    """Where the means of the segments lie, seen from their centres, and how far the members are spread about them.

    With n members, the mean μ, the centre c, and the members' squares about the mean w:

    Attributes
    ----------
    offsets : (k, d) n (μ - c), in whole steps
    at_centers : (k, 1) -n c (μ - c), in the same
    factors : (4, k) what makes of n (x - c)(μ - c) in these steps -2 (x - c)(μ - c); w / n, where there are no members
        more than any; n / (n - 1), or 0 where there are no two; |μ - c|²
    """

    offsets: Tensor
    at_centers: Tensor
    factors: Tensor


def means_of(found: Tally, device: str) -> Means:
    """The means that the members of each segment have.

    Parameters
    ----------
    found : of the centres over everyone, R = 1, with `member_squares`
    device : `cpu` or `cuda`
    """

    def on_device(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float64)).to(device)

    centers, n_members, sums, inertia = found.centers[0], found.counts[0], found.sums[0], found.inertias[0]
    counts = np.maximum(n_members, 1)
    offsets, scale = whole_offsets(sums - n_members[:, None] * centers)
    squares = np.array([float(Fraction(*one)) for one in zip(inertia, counts.tolist(), strict=True)])
    squares = np.where(n_members > 0, squares, FARTHER)
    unbiased = np.where(counts > 1, counts / np.maximum(counts - 1, 1), 0.0)
    moved = np.square(offsets * scale / counts[:, None]).sum(axis=1)
    return Means(
        on_device(offsets),
        on_device(-(centers * offsets).sum(axis=1))[:, None],
        on_device(np.stack([-2.0 * scale / counts, squares, unbiased, moved])),
    )


def squared_steps(block: Near, means: Means, steps: float = STEPS) -> Tensor:
    """What `SquaredTotals.of` is made of, summed up over a block of at most 2**16 rows; (4, k) int64."""
    silhouettes, distances = squared_silhouettes(block, means)
    high, low = in_halves((distances * steps).round_())
    one = torch.ones_like(distances)
    return sums_by_nearest(block, [one, (silhouettes * steps).round_(), high, low]).to(torch.int64)


def squared_silhouettes(block: Near, means: Means, farther: float = FARTHER) -> tuple[Tensor, Tensor]:
    """The silhouettes of rows, (n,), and their distances from their segment's mean."""
    along = torch.addmm(means.at_centers, means.offsets, block.rows.T)  # n (x - c)(μ - c)
    own_double, own_squares, unbiased, moved = torch.unbind(means.factors @ block.members)
    own = block.squared + of_nearest(block, along) * own_double  # |x - μ|² - |μ - c|²
    within = (own + own_squares) * unbiased
    doubles, squares = means.factors[0, :, None], means.factors[1, :, None]
    between = torch.addcmul(block.others, along, doubles).add_(squares).amin(dim=0)
    larger = torch.maximum(within, between)
    defined = (unbiased > 0.0) & (larger > 0.0) & (between < farther / 2)
    silhouettes = torch.where(defined, (between - within) / larger, 0.0)
    return silhouettes, (own + moved).clamp_(min=0.0).sqrt_()


def whole_offsets(offsets: np.ndarray) -> tuple[np.ndarray, float]:
    """Offsets (k, d) in whole steps so long that their products with coordinates stay exact, and that length.

    It is 1 for segments of less than 2**28 customers in up to 8 columns.
    """
    bits = int(np.abs(offsets).max(initial=0)).bit_length() + LIMIT.bit_length() + offsets.shape[1].bit_length()
    scale = 2.0 ** max(bits - EXACT_BITS, 0)
    return np.rint(offsets / scale), scale
