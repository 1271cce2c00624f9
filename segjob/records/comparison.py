"""Who moved between two versions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Transition:
    """How many customers went from one segment to another, or stayed; None for those who came or left.

    `n_features_moved` of them the old model would give another segment today, of `n_model_moved` the two models
    think differently; None where that is not known, and for those who stayed, came or left.
    """

    from_segment_id: int | None
    to_segment_id: int | None
    n_customers: int
    n_features_moved: int | None = None
    n_model_moved: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Who moved between two versions; customers without a segment count as not there."""

    transitions: tuple[Transition, ...]

    @property
    def n_shared(self) -> int:
        """Customers with a segment in both."""
        return sum(
            one.n_customers
            for one in self.transitions
            if one.from_segment_id is not None and one.to_segment_id is not None
        )

    @property
    def n_stayed(self) -> int:
        """Customers with the same segment in both."""
        return sum(one.n_customers for one in self.transitions if one.from_segment_id == one.to_segment_id)

    @property
    def n_came(self) -> int:
        """Customers with a segment in the second version only."""
        return sum(one.n_customers for one in self.transitions if one.from_segment_id is None)

    @property
    def n_left(self) -> int:
        """Customers with a segment in the first version only."""
        return sum(one.n_customers for one in self.transitions if one.to_segment_id is None)

    @property
    def n_moved(self) -> int:
        """Customers whose segment differs, with those who came and those who left."""
        return sum(one.n_customers for one in self.transitions) - self.n_stayed

    @property
    def label_churn(self) -> float | None:
        """The share of shared customers whose segment differs; None if no customer is in both."""
        return (self.n_shared - self.n_stayed) / self.n_shared if self.n_shared else None
