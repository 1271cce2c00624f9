"""Whether the same segments come out again when other customers happen to be drawn."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.agreement import adjusted_rand_index
from segjob.clustering.chance import chance
from segjob.clustering.nearest import assign
from segjob.clustering.starts import Level, refine, seed_centers

BOOTSTRAPS = 10
BOOTSTRAP_ROWS = 4_096
QUICK = Level(n_rows=BOOTSTRAP_ROWS, n_starts=4, gain=1e-3, iterations=30)


def stability(sample: Tensor, centers: np.ndarray, seed: int) -> float:
    """The mean agreement (adjusted Rand index) of a clustering with clusterings of bootstrap samples.

    1 when the same segments come out whoever is drawn, near 0 when they are arbitrary (Hennig 2007; Fang, Wang 2012).
    The first 4,096 rows of the sample are drawn from, with replacement, and compared by both clusterings.

    Parameters
    ----------
    sample : (s, d) grid coordinates in the order of the hashes
    centers : (k, d) int64 of the clustering in question
    seed : of the draws, which are the same for every k
    """
    rows = sample[:BOOTSTRAP_ROWS]
    generator = chance(seed)
    labels = assign(rows, centers).index
    found = []
    for _ in range(BOOTSTRAPS):
        drawn = torch.randint(len(rows), (len(rows),), generator=generator).to(rows.device)
        again = quick_centers(rows[drawn], len(centers), generator, QUICK)
        found.append(adjusted_rand_index(labels, assign(rows, again).index))
    return float(np.mean(found))


def quick_centers(rows: Tensor, n_clusters: int, generator: torch.Generator, level: Level) -> np.ndarray:
    """The best of a few starts on few rows, (k, d) int64; fewer where there are fewer distinct rows."""
    refined = refine(rows, seed_centers(rows, n_clusters, level.n_starts, generator), level)
    return refined.centers[refined.ranking[0]]
