"""Which customers of the sample are evaluated, and which stand for their segments.

The sample is in the order of the hashes, so the first rows of a segment are drawn at random and without replacement,
and so are the next ones. With e of n customers evaluated and m as references, e m / n customers are both: as many as
two independent draws would share. Then the two draws do not vary together, whatever parts of the segment they are:
they are disjoint in a large segment, and everybody is both in one that is wholly drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from segjob.clustering.pair_distances import Groups

N_GROUPS = 32
"""The references of a segment are left out group by group; more groups cost more, and fewer make wider intervals."""

LEAST = 4  # customers of a segment in the sample: of fewer there is nothing to say


@dataclass(frozen=True)
class Draw:
    """Rows of the sample in their roles, segment by segment.

    Attributes
    ----------
    evaluated : (e,) positions in the sample
    own : (e,) the segment of each
    own_group : (e,) the group of references in which it is itself, -1 where it is none
    references : (m,) positions in the sample, as they lie in `groups`
    groups : of the references of each segment
    counts : (k,) customers of each segment in the population
    """

    evaluated: np.ndarray
    own: np.ndarray
    own_group: np.ndarray
    references: np.ndarray
    groups: Groups
    counts: np.ndarray

    @property
    def n_evaluated(self) -> np.ndarray:
        """(k,) evaluated customers of each segment."""
        return np.bincount(self.own, minlength=len(self.counts))

    @property
    def exact(self) -> np.ndarray:
        """(k,) whether all customers of the segment are evaluated against everybody."""
        against_everybody = bool((self.groups.references == self.counts).all())
        return np.asarray((self.n_evaluated == self.counts) & against_everybody)

    def only(self, chosen: np.ndarray) -> Draw:
        """The same draw, with none evaluated but those of the chosen segments, a (k,) mask."""
        kept = chosen[self.own]
        return replace(self, evaluated=self.evaluated[kept], own=self.own[kept], own_group=self.own_group[kept])


class Members:
    """The rows of each segment in the order of the hashes.

    Parameters
    ----------
    index : (s,) the segment of every row of the sample
    """

    def __init__(self, index: np.ndarray, n_clusters: int) -> None:
        self.numbers = np.bincount(index, minlength=n_clusters)
        self._order = np.argsort(index.astype(np.min_scalar_type(n_clusters)), kind="stable")
        self._ends = np.cumsum(self.numbers)

    def of(self, segment: int, first: int, last: int) -> np.ndarray:
        """Positions of the members from the `first` up to the `last`, by rank."""
        begin = int(self._ends[segment] - self.numbers[segment])
        return self._order[begin + first : begin + last]


@dataclass(frozen=True)
class Roles:
    """How many customers of one segment are drawn for what; the references begin at a rank among the members."""

    n_evaluated: int
    n_references: int
    first_reference: int
    n_groups: int

    @property
    def group_size(self) -> int:
        return self.n_references // self.n_groups

    def own_groups(self) -> np.ndarray:
        """The group of references that each evaluated customer is in, -1 for none."""
        place = np.arange(self.n_evaluated) - self.first_reference
        return np.where((place >= 0) & (place < self.n_references), place // max(self.group_size, 1), -1)


def everybody(n_customers: int) -> Roles:
    return Roles(n_customers, n_customers, 0, 1)


def draw(members: Members, counts: np.ndarray, roles: list[Roles]) -> Draw:
    """The rows that take the roles, segment by segment."""
    evaluated = [members.of(place, 0, one.n_evaluated) for place, one in enumerate(roles)]
    references = [
        members.of(place, one.first_reference, one.first_reference + one.n_references)
        for place, one in enumerate(roles)
    ]
    return Draw(
        np.concatenate(evaluated),
        np.repeat(np.arange(len(roles)), [one.n_evaluated for one in roles]),
        np.concatenate([one.own_groups() for one in roles]),
        np.concatenate(references),
        Groups(np.array([one.n_groups for one in roles]), np.array([one.group_size for one in roles])),
        counts,
    )


def sampled_roles(available: np.ndarray, counts: np.ndarray, n_evaluated: int, n_references: int) -> list[Roles]:
    """Share the numbers to draw among the segments: one half evenly, the other by their customers.

    Parameters
    ----------
    available : (k,) members of each segment in the sample
    counts : (k,) in the population
    """
    shares = (1 / len(counts) + counts / counts.sum()) / 2
    return [
        segment_roles(int(count), int(there), max(int(n_evaluated * share), 2), max(int(n_references * share), 2))
        for count, there, share in zip(counts, available, shares.tolist(), strict=True)
    ]


def segment_roles(count: int, available: int, n_evaluated: int, n_references: int) -> Roles:
    """The roles of one segment with `count` customers, `available` of them in the sample."""
    if available < min(LEAST, count):
        return Roles(0, available, 0, 1)
    n_evaluated, n_references = fitting(count, available, min(n_evaluated, count), min(n_references, count))
    if n_references == count:
        return Roles(n_evaluated, count, 0, 1)
    n_groups = min(N_GROUPS, n_references)
    n_references -= n_references % n_groups
    both = max(round(n_evaluated * n_references / count), n_evaluated + n_references - available)
    return Roles(n_evaluated, n_references, n_evaluated - both, n_groups)


def fitting(count: int, available: int, n_evaluated: int, n_references: int) -> tuple[int, int]:
    """Both numbers, made smaller in proportion where the sample has not enough members for them."""
    both = n_evaluated * n_references / count
    total = n_evaluated + n_references
    if total - both <= available:
        return n_evaluated, n_references
    factor = (total - math.sqrt(total**2 - 4 * both * available)) / (2 * both)
    return max(int(factor * n_evaluated), 1), max(int(factor * n_references), 2)
