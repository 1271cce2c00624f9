"""How far today's customers are from those of the fit. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segjob.clustering.quantiles import upper_quantile

FLOOR = 1e-4
"""The least share that a segment counts with, so that an empty one makes no infinity."""

FAR_QUANTILE = 0.99
"""At the fit, one customer in a hundred is farther from its centre than this quantile of its segment."""


@dataclass(frozen=True)
class Drift:
    """How the customers changed since the fit.

    Attributes
    ----------
    psi : population stability index of the segments' shares: the sum of (now - then) * ln(now / then)
    far_share : share of the customers farther from their centre than 99 % of its segment were at the fit
    """

    psi: float
    far_share: float


def measure_drift(then: Sequence[int], now: Sequence[int], far: Sequence[int]) -> Drift:
    """Compare the customers of each segment at the fit with those of now, of whom so many are far from its centre."""
    n_customers = max(sum(now), 1)
    return Drift(stability_index(shares(then), shares(now)), sum(far) / n_customers)


def shares(counts: Sequence[int]) -> np.ndarray:
    return np.array(counts, np.float64) / max(sum(counts), 1)


def stability_index(then: np.ndarray, now: np.ndarray) -> float:
    """The population stability index of two distributions over the same segments."""
    then, now = np.maximum(then, FLOOR), np.maximum(now, FLOOR)
    return float(np.sum((now - then) * np.log(now / then)))


def far_bounds(distances: np.ndarray, index: np.ndarray, n_segments: int) -> list[float]:
    """From which distance on a customer counts as far from its centre: of each segment, from the fit's sample.

    Parameters
    ----------
    distances, index : (s,) from the own centre, and the position of that. A segment without a row has the bound 0
    """
    own = [distances[index == position] for position in range(n_segments)]
    return [upper_quantile(one, FAR_QUANTILE) if len(one) else 0.0 for one in own]
