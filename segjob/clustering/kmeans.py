"""K-Means on whole numbers, cold or from the centres of a parent: the same for any chunks, threads or order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.chance import chance
from segjob.clustering.cores import tally_at_once
from segjob.clustering.kernels import tally_blocks
from segjob.clustering.minibatch import MiniBatchKMeans
from segjob.clustering.nearest import Tally, as_rows, resolve_device
from segjob.clustering.passes import (
    Settled,
    largest_first,
    ordered_passes,
    sample_passes,
    tally_all,
    warm_passes,
)
from segjob.clustering.scripted import SLOWER, is_compiled
from segjob.clustering.tournament import START_ROWS, Start, find_start
from segjob.errors import DataError
from segjob.records.population import Population
from segjob.records.version import Stage

BATCH_ROWS = 16_384
COLD_WINS = 0.995
"""A cold fit replaces a warm one where it leaves less than this share of its inertia."""

COLD_CAN_WIN = 0.998
"""One that leaves more than this is not followed further: on the rows of the starts, or in a pass over everyone."""


@dataclass(frozen=True)
class Fit:
    """The result of a fit.

    Attributes
    ----------
    tally : of the centres over the population, R = 1, with `member_squares`. Those of a cold fit have the largest
        segment first, ties in lexicographic order; those of a warm one are in the order of the parent's centres
    stages : what each stage did, with inertias in the clustered space
    warnings : sentences, such as that there are fewer different customers than segments asked for
    warm_start : whether these centres came from the parent's, and no cold fit was more than 0.5 % better
    parents : (k,) int64, of a warm fit, which of the parent's centres each one was; -1 where that one had lost all its
        customers and was placed anew. None of a cold fit
    """

    tally: Tally
    stages: tuple[Stage, ...]
    n_minibatches: int
    n_full_passes: int
    warnings: tuple[str, ...]
    warm_start: bool = False
    parents: np.ndarray | None = None

    @property
    def centers(self) -> np.ndarray:
        """(k, d) int64, grid units."""
        return np.asarray(self.tally.centers[0])

    @property
    def counts(self) -> np.ndarray:
        """Members of each centre, (k,) int64."""
        return np.asarray(self.tally.counts[0])

    @property
    def inertia(self) -> int:
        """Over the population, squared grid units; times `unit ** 2` in the clustered space."""
        return self.tally.inertia[0]


def fit(
    sample: np.ndarray,
    population: Population[np.ndarray],
    n_clusters: int,
    *,
    seed: int,
    unit: float,
    device: str = "auto",
    parent: np.ndarray | None = None,
) -> Fit:
    """Find the centres of a population.

    Starts on the first 2**18 rows of the sample, mini-batches over the rest of it, exact passes over everyone until
    the next would gain less than 1e-5 of the inertia, by what the last one tells or by looking; the centres before
    that pass are kept. With a parent, its centres go through such passes alone and are kept unless the cold fit is more
    than 0.5 % better on everyone. So a parent that was fitted to the same customers is kept to the last bit.

    Parameters
    ----------
    sample : (s, d) float32 grid coordinates in the order of the hashes
    population : chunks (n, d) of float32 grid coordinates
    unit : of the grid, for the inertias of the stages
    parent : (k, d) int64, the centres of the version before on today's grid (`warm.warm_centers`), of the same
        features; it is left aside where it has other than `n_clusters` centres, as after a fit of too few different
        customers

    Raises
    ------
    DataError
        There are fewer customers than segments asked for.
    """
    if population.n_rows < n_clusters:
        raise DataError(f"{population.n_rows} customers can not make {n_clusters} segments: lower n_clusters")
    resolved, fallback = resolve_device(device)
    rows = as_rows(sample, resolved)
    if parent is not None and parent.shape == (n_clusters, rows.shape[1]):
        warm = warm_fit(rows, population, parent, unit, resolved)
    else:
        warm = None
    cold = cold_fit(rows, population, n_clusters, seed, unit, resolved, warm)
    chosen = choose(warm, cold)
    slower = None if is_compiled(tally_blocks) else SLOWER
    told = [sentence for sentence in (fallback, slower) if sentence]
    return chosen.fit((*told, *warnings_of(chosen.settled, n_clusters)))


@dataclass(frozen=True)
class Candidate:
    """One way to the centres, cold or warm."""

    settled: Settled
    stages: tuple[Stage, ...]
    n_minibatches: int
    warm: bool

    @property
    def inertia(self) -> int:
        return self.settled.inertia

    def fit(self, warnings: tuple[str, ...]) -> Fit:
        """The centres that have members, as the result of the fit."""
        settled = self.settled
        kept = np.flatnonzero(settled.counts)
        return Fit(
            settled.tally.take(kept),
            self.stages,
            self.n_minibatches,
            settled.n_passes,
            warnings,
            self.warm,
            settled.placed.origins[kept] if self.warm else None,
        )


def choose(warm: Candidate | None, cold: Candidate | None) -> Candidate:
    """The warm fit unless the cold one is more than 0.5 % better."""
    if warm is None or (cold is not None and cold.inertia < COLD_WINS * warm.inertia):
        assert cold is not None
        return cold
    return warm


def warm_fit(
    rows: Tensor, population: Population[np.ndarray], parent: np.ndarray, unit: float, device: str
) -> Candidate:
    """The parent's centres after their passes, in their order."""
    settled = warm_passes(rows, population, parent, device)
    return Candidate(settled, (pass_stage("warm_start", settled, population.n_rows, unit),), 0, warm=True)


def cold_fit(
    rows: Tensor,
    population: Population[np.ndarray],
    n_clusters: int,
    seed: int,
    unit: float,
    device: str,
    warm: Candidate | None = None,
) -> Candidate | None:
    """Centres from scratch; None as soon as they are too far from beating the warm ones."""
    start = find_start(rows, n_clusters, chance(seed))
    seen = rows[: start.n_rows]
    if warm and can_not_win(start.tally, tally_at_once(seen, warm.settled.centers[None], start.tally.squares)):
        return None
    model, batch_stages = learn_rest(rows[START_ROWS:], start, unit)
    centers = model.cluster_centers_
    if warm and can_not_win(tally_all(population, centers, device), warm.settled.tally):
        return None
    centers, stages = centers[largest_first(centers, model.counts_)], [*start_stages(start, unit), *batch_stages]
    if len(rows) < population.n_rows:
        near = sample_passes(rows, centers)
        centers = near.centers
        stages.append(pass_stage("sample_passes", near, len(rows), unit))
    settled = ordered_passes(rows[:START_ROWS], population, centers, device)
    stages.append(pass_stage("full_passes", settled, population.n_rows, unit))
    return Candidate(settled, tuple(stages), sum(stage.steps for stage in batch_stages), warm=False)


def can_not_win(cold: Tally, warm: Tally) -> bool:
    """Whether cold centres are not far enough below warm ones, on the same rows."""
    return cold.inertia[0] > COLD_CAN_WIN * warm.inertia[0]


def learn_rest(rest: Tensor, start: Start, unit: float) -> tuple[MiniBatchKMeans, list[Stage]]:
    """Stream the rows that the starts have not seen, if there are any, through `partial_fit`."""
    model = MiniBatchKMeans(len(start.centers), device=rest.device.type).begin(start.centers, start.tally)
    if not len(rest):
        return model, []
    batches = torch.split(rest, BATCH_ROWS)
    for batch in batches:
        model.partial_fit(batch)
    before = tally_at_once(rest, start.centers[None])
    after = tally_at_once(rest, model.cluster_centers_[None], before.squares)
    stage = Stage("minibatches", len(rest), len(batches), before.inertia[0] * unit**2, after.inertia[0] * unit**2)
    return model, [stage]


def start_stages(start: Start, unit: float) -> list[Stage]:
    """The starts, and the swaps where there were any."""
    inertia, swapped, square = start.tally.inertia[0], start.swapped, unit**2
    stages = [Stage("starts", start.n_rows, start.iterations, start.inertia_before * square, inertia * square)]
    if swapped.rounds:
        before, after = swapped.inertia_before * square, swapped.tally.inertia[0] * square
        stages.append(Stage("swaps", swapped.n_rows, swapped.rounds, before, after))
    return stages


def pass_stage(
    name: Literal["warm_start", "sample_passes", "full_passes"], settled: Settled, n_rows: int, unit: float
) -> Stage:
    return Stage(name, n_rows, settled.n_passes, settled.inertia_before * unit**2, settled.inertia * unit**2)


def warnings_of(settled: Settled, n_clusters: int) -> list[str]:
    if not settled.converged:
        raise DataError(
            f"the fit still gained after {settled.n_passes} passes over all customers, so these have no settled "
            "segments: ask for another number of segments, or clip what reaches far"
        )
    n_found = int(np.count_nonzero(settled.counts))
    if n_found < n_clusters:
        return [f"there are only {n_found} different customers, so {n_clusters} segments became {n_found}"]
    return []
