"""What was chosen, and why, in words."""

from __future__ import annotations

from dataclasses import dataclass

from segjob.clustering.null_reference import Null
from segjob.records.version import Candidate

MARGIN = 0.02  # by which a silhouette has to beat those of clouds without groups


@dataclass(frozen=True)
class Choice:
    """The number of segments that a run takes.

    Attributes
    ----------
    candidates : what was tried, ascending; the suggested one is marked if the choice is clear
    n_clusters : the number to take; where none is clear, the one that speaks best for itself
    clear : whether the customers have so many groups
    reason : a sentence that begins with the number of segments, or with "no clear k"
    """

    candidates: tuple[Candidate, ...]
    n_clusters: int
    clear: bool
    reason: str

    @property
    def suggested(self) -> int | None:
        return self.n_clusters if self.clear else None


@dataclass(frozen=True)
class Grounds:
    """Why a candidate was chosen, and whether it is clear.

    Attributes
    ----------
    chosen, best : the candidate that is taken, and the one with the highest silhouette
    error : the paired standard error of the difference between the two
    null : what clouds without groups give
    stable : the segments of the chosen one come out again in bootstrap samples
    published : it is the number that is published now
    """

    chosen: Candidate
    best: Candidate
    error: float
    null: Null
    stable: bool
    published: bool

    @property
    def clear(self) -> bool:
        return self.stable and self.chosen.silhouette.value is not None and self.gain >= MARGIN

    @property
    def gain(self) -> float:
        """By how much the silhouette beats clouds without groups."""
        return value(self.chosen) - self.null.silhouette

    @property
    def sentence(self) -> str:
        if self.clear:
            without = f"{self.null.kind} of the same shape gives at most {self.null.silhouette:.3f}"
            return f"{counted(self.chosen)}: {self.merit}; {without}"
        if self.chosen.silhouette.value is None:
            return "no clear k: one segment has no silhouette"
        if not self.stable:
            return (
                f"no clear k: the best silhouette is {value(self.best):.3f} at {counted(self.best)}, and other samples "
                f"of the customers make other segments (stability {self.best.stability:.2f})"
            )
        compared = "no better" if self.gain <= 0 else "hardly better"
        return (
            f"no clear k: the best silhouette, {value(self.chosen):.3f} at {counted(self.chosen)}, is {compared} than "
            f"what {self.null.kind} of the same shape gives, {self.null.silhouette:.3f}"
        )

    @property
    def merit(self) -> str:
        kept = "as published, with " if self.published else ""
        if self.chosen.n_clusters == self.best.n_clusters:
            return f"{kept}the highest silhouette, {value(self.chosen):.3f}"
        if value(self.best) - value(self.chosen) > self.error:
            return (
                f"{kept}the most that all lie apart from one another, with a silhouette of {value(self.chosen):.3f} "
                f"(the highest is {value(self.best):.3f} at {counted(self.best)})"
            )
        return (
            f"{kept}a silhouette of {value(self.chosen):.3f}, which is within one standard error ({self.error:.4f}) of "
            f"the highest, {value(self.best):.3f} at {counted(self.best)}"
        )


def counted(candidate: Candidate) -> str:
    return "1 segment" if candidate.n_clusters == 1 else f"{candidate.n_clusters} segments"


def value(candidate: Candidate) -> float:
    return candidate.silhouette.value or 0.0
