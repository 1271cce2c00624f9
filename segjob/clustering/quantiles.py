"""Quantiles of large arrays. numpy finds one place in the order of an array ten times faster than several at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def median(values: np.ndarray) -> float:
    """What `numpy.median` gives of values (n,) that hold no NaN; there is at least one."""
    half = len(values) // 2
    ordered = np.partition(values, half)
    upper = float(ordered[half])
    return upper if len(values) % 2 else (float(ordered[:half].max()) + upper) / 2.0


def upper_quantile(values: np.ndarray, share: float) -> float:
    """What `numpy.quantile` gives with the method "higher": a value that is there."""
    place = math.ceil(share * (len(values) - 1))
    return float(np.partition(values, place)[place])


def quantiles(values: np.ndarray, shares: Sequence[float]) -> list[float]:
    """What `numpy.quantile` gives of values (n,) that hold no NaN; each lies between two neighbours."""
    ordered = in_order(values)
    places = [share * (len(ordered) - 1) for share in shares]
    return [float(np.quantile(ordered[int(place) : int(place) + 2], place - int(place))) for place in places]


def in_order(values: np.ndarray) -> np.ndarray:
    """Values (n,) from the lowest to the highest, NaN last."""
    return values if np.all(values[1:] >= values[:-1]) else np.sort(values)
