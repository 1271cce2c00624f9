"""What the report shows of the numbers of segments that were tried."""

from __future__ import annotations

from dataclasses import dataclass

from segjob.records import Score


@dataclass(frozen=True)
class Candidate:
    """One number of segments that was tried, with the scores of its best fit."""

    n_clusters: int
    inertia: float
    silhouette: Score
