"""What a silhouette is worth: clouds of the same shape without any groups, cut into as many segments.

K-Means finds as many segments as it is asked for, also in one single cloud, and their silhouette is not 0. Only what
beats such clouds speaks for groups (the idea of the gap statistic: Tibshirani, Walther, Hastie 2001).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from segjob.clustering.chance import chance
from segjob.clustering.cores import at_once
from segjob.clustering.nearest import assign
from segjob.clustering.paired_silhouettes import paired_silhouettes
from segjob.clustering.stability import quick_centers
from segjob.clustering.starts import Level

SHAPE_ROWS = 2**14
DRAWN_ROWS = 2_048
DRAWS = 10  # of each kind
THOROUGH = Level(n_rows=DRAWN_ROWS, n_starts=8, gain=1e-4, iterations=50)

Draw = Callable[[int, torch.Generator], Tensor]


@dataclass(frozen=True)
class Null:
    """The best silhouette among clouds without groups, and which kind of cloud gave it."""

    kind: str
    silhouette: float


@dataclass(frozen=True)
class Shape:
    """One cloud without groups, by its principal axes; float64.

    Attributes
    ----------
    mean : (d,)
    axes : (d, d), one a column
    deviations : (d,) along the axes
    low, high : (d,) ends of the customers along the axes, from the mean
    """

    mean: Tensor
    axes: Tensor
    deviations: Tensor
    low: Tensor
    high: Tensor

    def gaussian(self, n_rows: int, generator: torch.Generator) -> Tensor:
        """Draw from the normal distribution with the customers' mean and covariance, rounded to the grid, (n, d)."""
        along = torch.randn(n_rows, len(self.mean), generator=generator, dtype=torch.float64) * self.deviations
        return (self.mean + along @ self.axes.T).round_()

    def uniform(self, n_rows: int, generator: torch.Generator) -> Tensor:
        """Draw from the box along the principal axes that holds the customers, rounded to the grid, (n, d)."""
        along = torch.rand(n_rows, len(self.mean), generator=generator, dtype=torch.float64)
        return (self.mean + (self.low + along * (self.high - self.low)) @ self.axes.T).round_()


def shape_of(sample: Tensor) -> Shape:
    """The shape of the first 2**14 rows of the sample."""
    rows = sample[:SHAPE_ROWS].to("cpu", torch.float64)
    mean = rows.mean(0)
    centred = rows - mean
    variances, axes = torch.linalg.eigh(centred.T @ centred / len(rows))
    along = centred @ axes
    return Shape(mean, axes, variances.clamp_(min=0.0).sqrt_(), along.amin(0), along.amax(0))


def null_silhouette(sample: Tensor, n_clusters: int, seed: int) -> Null:
    """The best silhouette with so many segments among clouds without groups.

    Drawn on the CPU. The last digits depend on how many threads torch has, and after `cores.use_threads` that is one.

    Parameters
    ----------
    sample : (s, d) grid coordinates in the order of the hashes
    """
    shape = shape_of(sample)
    kinds: dict[str, Draw] = {"one Gaussian cloud": shape.gaussian, "one uniform box": shape.uniform}
    n_rows = min(len(sample), DRAWN_ROWS)
    best = at_once(lambda draw: best_of_draws(draw, n_rows, n_clusters, seed), [*kinds.values()])
    return max(map(Null, kinds, best), key=lambda null: null.silhouette)


def best_of_draws(draw: Draw, n_rows: int, n_clusters: int, seed: int) -> float:
    generator = chance(seed)
    return max(silhouette_of(draw(n_rows, generator), n_clusters, generator) for _ in range(DRAWS))


def silhouette_of(rows: Tensor, n_clusters: int, generator: torch.Generator) -> float:
    """The exact silhouette of one cloud; -1 where it has too few different rows."""
    centers = quick_centers(rows, n_clusters, generator, THOROUGH)
    if len(centers) < 2:
        return -1.0
    return float(paired_silhouettes(rows, [assign(rows, centers).index], len(rows)).means[0])
