"""K-Means as mini-batches and exact passes, on whole numbers: the same centres for any chunks, threads or order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.nearest import Tally, as_rows, assign, resolve_device, row_blocks, squared_distances, tally
from segjob.clustering.starts import START_ROWS, Start, farthest_rows, find_start, means
from segjob.errors import DataError
from segjob.records import Population, Stage

BATCH_ROWS = 16_384
MOST_PASSES = 300
SMALLEST_GAIN = 100_000  # a pass that gains less than one part in so many of the inertia ends the fit


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
        self.generator = generator or torch.Generator().manual_seed(seed)
        self.device, _ = resolve_device(device)

    def begin(self, centers: np.ndarray, seen: Tally) -> MiniBatchKMeans:
        """Go on from centres (k, d) and the tally of the rows that they are the means of."""
        self.cluster_centers_ = centers
        self.counts_, self.sums_ = seen.counts[0], seen.sums[0]
        return self

    def partial_fit(self, X: np.ndarray | Tensor) -> MiniBatchKMeans:
        """Learn from a batch (n, d) of grid coordinates; the first one finds the starts."""
        rows = as_rows(X, self.device)
        if not hasattr(self, "cluster_centers_"):
            start = find_start(rows, self.n_clusters, self.generator)
            return self.begin(start.centers, start.tally)
        found = tally(rows, self.cluster_centers_[None])
        self.counts_, self.sums_ = self.counts_ + found.counts[0], self.sums_ + found.sums[0]
        seen = Tally((0,), self.counts_[None], self.sums_[None])
        self.cluster_centers_ = means(seen, self.cluster_centers_[None])[0]
        return self

    def predict(self, X: np.ndarray | Tensor) -> np.ndarray:
        """The index of the nearest centre, (n,) int64; ties go to the lowest."""
        return assign(as_rows(X, self.device), self.cluster_centers_).index

    def transform(self, X: np.ndarray | Tensor) -> np.ndarray:
        """The distances to all centres, (n, k) float64, in grid units."""
        rows = as_rows(X, self.device)
        centers = torch.from_numpy(self.cluster_centers_).to(rows.device, torch.float64)
        blocks = [squared_distances(block, centers).sqrt().T.cpu() for block in row_blocks(rows, len(centers))]
        return torch.cat(blocks).numpy()


@dataclass(frozen=True)
class Fit:
    """The result of a fit.

    Attributes
    ----------
    centers : (k, d) int64, grid units, the largest segment first, ties in lexicographic order
    inertia : over the population, squared grid units; times `unit ** 2` in the clustered space
    counts : (k,) int64
    stages : what each stage did, with inertias in the clustered space
    warnings : sentences, such as that there are fewer different customers than segments asked for
    """

    centers: np.ndarray
    inertia: int
    counts: np.ndarray
    stages: tuple[Stage, ...]
    n_minibatches: int
    n_full_passes: int
    warnings: tuple[str, ...]


def fit(
    sample: np.ndarray,
    population: Population[np.ndarray],
    n_clusters: int,
    *,
    seed: int,
    unit: float,
    device: str = "auto",
) -> Fit:
    """Find the centres of a population.

    Starts on the first 2**18 rows of the sample, mini-batches over the rest of it, exact passes over everyone until
    one gains less than 1e-5 of the inertia; the centres before that pass are kept.

    Parameters
    ----------
    sample : (s, d) float32 grid coordinates in the order of the hashes
    population : chunks (n, d) of float32 grid coordinates
    unit : of the grid, for the inertias of the stages

    Raises
    ------
    DataError
        There are fewer customers than segments asked for.
    """
    if population.n_rows < n_clusters:
        raise DataError(f"{population.n_rows} customers can not make {n_clusters} segments: lower n_clusters")
    resolved, fallback = resolve_device(device)
    rows = as_rows(sample, resolved)
    start = find_start(rows, n_clusters, torch.Generator().manual_seed(seed))
    centers, n_minibatches, batch_stages = learn_rest(rows[START_ROWS:], start, unit, resolved)
    settled = exact_passes(rows[:START_ROWS], population, centers, resolved)
    order = largest_first(settled.centers, settled.tally.counts[0])
    return Fit(
        settled.centers[order],
        settled.tally.inertia[0],
        settled.tally.counts[0][order],
        (start_stage(start, unit), *batch_stages, pass_stage(settled, population.n_rows, unit)),
        n_minibatches,
        settled.n_passes,
        (*([fallback] if fallback else []), *warnings_of(settled, len(order), n_clusters)),
    )


def learn_rest(rest: Tensor, start: Start, unit: float, device: str) -> tuple[np.ndarray, int, list[Stage]]:
    """Stream the rows that the starts have not seen through `partial_fit`."""
    if not len(rest):
        return start.centers, 0, []
    model = MiniBatchKMeans(len(start.centers), device=device).begin(start.centers, start.tally)
    batches = torch.split(rest, BATCH_ROWS)
    for batch in batches:
        model.partial_fit(batch)
    before, after = (tally(rest, centers[None]).inertia[0] for centers in (start.centers, model.cluster_centers_))
    stage = Stage("minibatches", len(rest), len(batches), before * unit**2, after * unit**2)
    return model.cluster_centers_, len(batches), [stage]


@dataclass(frozen=True)
class Settled:
    """Where the exact passes ended: the centres (k, d) that are kept, with the tally of the pass that measured them."""

    centers: np.ndarray
    tally: Tally
    n_passes: int
    inertia_before: int
    converged: bool


def exact_passes(sample: Tensor, population: Population[np.ndarray], centers: np.ndarray, device: str) -> Settled:
    """Lloyd's passes over everyone: keep the first centres whose next pass gains less than 1e-5 of the inertia."""
    passes = lloyd_passes(sample, population, centers, device)
    kept, found = next(passes)
    inertia_before = found.inertia[0]
    for n_passes, (following, following_tally) in enumerate(passes, start=2):
        if found.counts.all() and gains_too_little(found.inertia[0], following_tally.inertia[0]):
            return Settled(kept, found, n_passes, inertia_before, converged=True)
        kept, found = following, following_tally
    return Settled(kept, found, MOST_PASSES, inertia_before, converged=False)


def gains_too_little(inertia: int, following: int) -> bool:
    return (inertia - following) * SMALLEST_GAIN < max(inertia, 1)


def lloyd_passes(
    sample: Tensor, population: Population[np.ndarray], centers: np.ndarray, device: str
) -> Iterator[tuple[np.ndarray, Tally]]:
    """Centres and their exact tally, pass after pass."""
    for _ in range(MOST_PASSES):
        found = population.reduce(partial(tally_chunk, centers=centers, device=device))
        yield centers, found
        centers = next_centers(sample, centers, found)


def tally_chunk(matrix: np.ndarray, centers: np.ndarray, device: str) -> Tally:
    return tally(as_rows(matrix, device), centers[None])


def next_centers(sample: Tensor, centers: np.ndarray, found: Tally) -> np.ndarray:
    """The members' means. A centre without members goes to the farthest sample row, or away where all are on one."""
    moved: np.ndarray = means(found, centers[None])[0]
    occupied = found.counts[0] > 0
    if occupied.all():
        return moved
    far = farthest_rows(sample, moved[occupied], int(np.count_nonzero(~occupied)))
    return np.vstack([moved[occupied], far])


def largest_first(centers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The order of the segments: by size, ties by the centres; those without members are left out."""
    order = np.lexsort([*centers.T[::-1], -counts])
    return order[counts[order] > 0]


def start_stage(start: Start, unit: float) -> Stage:
    inertia = start.tally.inertia[0]
    return Stage("starts", start.n_rows, start.iterations, start.inertia_before * unit**2, inertia * unit**2)


def pass_stage(settled: Settled, n_rows: int, unit: float) -> Stage:
    inertia = settled.tally.inertia[0]
    return Stage("full_passes", n_rows, settled.n_passes, settled.inertia_before * unit**2, inertia * unit**2)


def warnings_of(settled: Settled, n_found: int, n_clusters: int) -> list[str]:
    warnings = []
    if n_found < n_clusters:
        warnings.append(f"there are only {n_found} different customers, so {n_clusters} segments became {n_found}")
    if not settled.converged:
        warnings.append(f"the fit still gained after {MOST_PASSES} passes over all customers and was stopped there")
    return warnings
