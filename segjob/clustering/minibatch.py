"""Online K-Means over rows that the starts have not seen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.chance import chance
from segjob.clustering.kernels import squared_distances
from segjob.clustering.nearest import Tally, as_rows, assign, resolve_device, row_blocks, tally
from segjob.clustering.starts import means
from segjob.clustering.tournament import find_start


class MiniBatchKMeans:
    """Online K-Means: each centre is the exact mean of all rows given to it so far, rounded to the grid.

    Parameters
    ----------
    n_clusters : at most; fewer where the first batch has fewer distinct rows
    generator : the source of chance, on the CPU; made from `seed` where there is none
    device : `auto`, `cpu` or `cuda`, which falls back to the CPU

    Attributes
    ----------
    cluster_centers_ : (k, d) int64, grid units
    counts_ : (k,) int64, rows given to each centre so far
    """

    cluster_centers_: np.ndarray
    counts_: np.ndarray

    def __init__(
        self, n_clusters: int, *, generator: torch.Generator | None = None, seed: int = 0, device: str = "auto"
    ) -> None:
        self.n_clusters = n_clusters
        self.generator = generator or chance(seed)
        self.device, _ = resolve_device(device)

    def begin(self, centers: np.ndarray, seen: Tally) -> MiniBatchKMeans:
        """Go on from centres (k, d) and the sums and counts of the rows that they are the means of."""
        self._seen = seen
        self.cluster_centers_, self.counts_ = centers, seen.counts[0]
        return self

    def partial_fit(self, X: np.ndarray | Tensor) -> MiniBatchKMeans:
        """Learn from a batch (n, d) of grid coordinates; the first one finds the starts."""
        rows = as_rows(X, self.device)
        if not hasattr(self, "cluster_centers_"):
            start = find_start(rows, self.n_clusters, self.generator)
            return self.begin(start.centers, start.tally)
        found = tally(rows, self.cluster_centers_[None], squares=0)
        seen = found.merge(self._seen)
        return self.begin(means(seen)[0], seen)

    def predict(self, X: np.ndarray | Tensor) -> np.ndarray:
        """The index of the nearest centre, (n,) int64; ties go to the lowest."""
        return assign(as_rows(X, self.device), self.cluster_centers_).index

    def transform(self, X: np.ndarray | Tensor) -> np.ndarray:
        """The distances to all centres, (n, k) float64, in grid units."""
        rows = as_rows(X, self.device)
        centers = torch.from_numpy(self.cluster_centers_).to(rows.device, torch.float64)
        blocks = [squared_distances(block, centers).sqrt().T.cpu() for block in row_blocks(rows, len(centers))]
        return torch.cat(blocks).numpy()
