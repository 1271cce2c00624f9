"""How many segments: every number in a range is tried and scored, and one is suggested if the customers have groups.

The suggestion is the smallest number whose silhouette is within one paired standard error of the best, and whose
segments come out again in bootstrap samples; or a larger one whose segments all lie apart. It is clear only if the
silhouette beats what a single cloud of the same shape gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from segjob.clustering.candidates import fit_candidates, summarise_candidates
from segjob.clustering.choice import Choice, Grounds
from segjob.clustering.cores import at_once
from segjob.clustering.nearest import as_rows, assign, resolve_device
from segjob.clustering.null_reference import null_silhouette
from segjob.clustering.paired_silhouettes import PairedSilhouettes, paired_silhouettes
from segjob.clustering.scores import calinski_harabasz, davies_bouldin, spreads_about_centers
from segjob.clustering.separation import ROWS, lie_apart
from segjob.clustering.stability import stability
from segjob.clustering.summary import SegmentSummary
from segjob.errors import DataError
from segjob.records.population import Population
from segjob.records.version import Candidate, Score

SCORED_ROWS = 2**15  # of the sample; all customers where the silhouettes are exact
STABLE = 0.8  # adjusted Rand index


@dataclass(frozen=True)
class Trial:
    """What was tried: one candidate a number of segments, ascending, and their silhouettes side by side.

    `apart` are the places of those whose segments all lie apart from one another.
    """

    candidates: tuple[Candidate, ...]
    silhouettes: PairedSilhouettes
    apart: tuple[int, ...] = ()


def choose(
    sample: np.ndarray,
    population: Population[np.ndarray],
    n_clusters: Sequence[int],
    *,
    seed: int,
    unit: float,
    device: str = "auto",
    published: int | None = None,
) -> Choice:
    """Try every number of segments, and choose.

    The candidates are fitted on the first 2**15 rows of the sample. Inertia, shares, Davies-Bouldin and
    Calinski-Harabasz are exact over everyone, from one pass; the silhouettes are exact for up to 20,000 customers.

    Parameters
    ----------
    sample : (s, d) float32 grid coordinates in the order of the hashes
    population : chunks (n, d) of float32 grid coordinates
    n_clusters : the numbers to try, ascending, each at least 2
    unit : of the grid
    published : the number of segments that is published now; it stays while it is as good as the best

    Raises
    ------
    DataError
        There are fewer customers than the smallest number of segments.
    """
    possible = [k for k in n_clusters if k <= population.n_rows]
    if not possible:
        raise DataError(f"{population.n_rows} customers can not make {n_clusters[0]} segments: lower n_clusters.min")
    resolved, _ = resolve_device(device)
    centers = fit_candidates(sample, possible, seed=seed, unit=unit, device=resolved)
    if len(centers[0]) < possible[0]:
        return too_few_different(possible[0], len(centers[0]))
    rows = as_rows(sample[:SCORED_ROWS], resolved)
    summaries = summarise_candidates(population, centers, resolved)
    found = trial(rows, centers, summaries, population.n_rows, seed, unit)
    return decide(found, rows, seed, published)


def too_few_different(n_clusters: int, n_different: int) -> Choice:
    return Choice((), n_clusters, False, f"no clear k: there are only {n_different} different customers")


def trial(
    rows: Tensor,
    centers: Sequence[np.ndarray],
    summaries: Sequence[SegmentSummary],
    n_rows: int,
    seed: int,
    unit: float,
) -> Trial:
    """Score the candidates."""
    indexes = [assign(rows, one).index for one in centers]
    silhouettes = paired_silhouettes(rows, indexes, n_rows)
    matrix = rows[:ROWS].cpu().numpy()
    apart = (place for place, one in enumerate(centers) if lie_apart(matrix, indexes[place], one))
    agreements = at_once(lambda one: stability(rows, one, seed), centers)
    candidates = (
        candidate(one, summary, silhouettes.score(place), agreements[place], unit)
        for place, (one, summary) in enumerate(zip(centers, summaries, strict=True))
    )
    return Trial(tuple(candidates), silhouettes, tuple(apart))


def candidate(
    centers: np.ndarray, summary: SegmentSummary, silhouette: Score, agreement: float, unit: float
) -> Candidate:
    return Candidate(
        n_clusters=len(centers),
        inertia=summary.total_inertia * unit**2,
        silhouette=silhouette,
        davies_bouldin=davies_bouldin(summary, centers, spreads_about_centers(summary)),
        calinski_harabasz=calinski_harabasz(summary, centers),
        smallest_share=int(summary.counts.min()) / int(summary.counts.sum()),
        stability=agreement,
    )


def decide(found: Trial, rows: Tensor, seed: int, published: int | None) -> Choice:
    """Choose among the candidates; only the chosen one is held against clouds without groups."""
    best = int(np.argmax(found.silhouettes.means))
    taken = preferred(found, best, published)
    chosen = found.candidates[taken]
    null = null_silhouette(rows, chosen.n_clusters, seed)
    error = found.silhouettes.difference_error(best, taken)
    grounds = Grounds(chosen, found.candidates[best], error, null, is_stable(chosen), chosen.n_clusters == published)
    candidates = tuple(replace(one, suggested=grounds.clear and one is chosen) for one in found.candidates)
    return Choice(candidates, chosen.n_clusters, grounds.clear, grounds.sentence)


def preferred(found: Trial, best: int, published: int | None) -> int:
    """The place of the published number if it is as good as the best; else the one that the silhouettes prefer, or a
    larger stable one whose segments all lie apart."""
    near = [place for place in range(len(found.candidates)) if is_near(found.silhouettes, best, place)]
    for place in near:
        if found.candidates[place].n_clusters == published:
            return place
    stable = [place for place, one in enumerate(found.candidates) if is_stable(one)]
    apart = [place for place in found.apart if place in stable]
    return max([by_silhouette(found, best, near, stable), *apart])


def by_silhouette(found: Trial, best: int, near: list[int], stable: list[int]) -> int:
    """The smallest stable one that is as good as the best; without any the best stable one, or the best."""
    for place in near:
        if place in stable:
            return place
    return max(stable, key=lambda place: found.silhouettes.means[place], default=best)


def is_near(silhouettes: PairedSilhouettes, best: int, place: int) -> bool:
    """Whether a silhouette is within one standard error of the best."""
    return bool(silhouettes.means[best] - silhouettes.means[place] <= silhouettes.difference_error(best, place))


def is_stable(one: Candidate) -> bool:
    return one.stability is not None and one.stability >= STABLE
