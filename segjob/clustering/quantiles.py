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
    """What `numpy.quantile` gives, which is faster of what is sorted than its own search."""
    found: list[float] = np.quantile(np.sort(values), shares).tolist()
    return found
