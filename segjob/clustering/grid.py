"""The grid of integers on which all clustering is done, so that every sum is exact and no order can matter.

Each feature is measured from its own origin (the sample's median) in steps of one shared unit. The coordinates are at
most 2**20, so squared distances over 128 columns stay under 2**53 and float64 holds them exactly.
"""

from __future__ import annotations

import math

import numpy as np

LIMIT = 2**20
"""The largest coordinate: `score`, `predict` and SQL clamp there; the fit chooses a unit that keeps all within."""

DISTANCE_STEPS = 2.0**24
"""Distances are rounded to this many steps a grid unit before they are summed."""

SMALLEST_EXPONENT = -400  # below, the square of the unit would underflow


def unit_of(exponent: int) -> float:
    """The length of one grid step in the scaled space: 2**(exponent - 16)."""
    return float(2.0 ** (exponent - 16))


def smallest_exponent(reach: float) -> int:
    """The smallest integer e with `reach <= 16 * 2**e`; `reach` is the largest |scaled - origin| of all features."""
    if reach <= 0.0:
        return 0
    mantissa, exponent = math.frexp(reach)
    return max(exponent - 4 - (mantissa == 0.5), SMALLEST_EXPONENT)


def to_grid(scaled: np.ndarray, origin: float, unit: float) -> np.ndarray:
    """Round scaled values to whole steps from the origin; halves go to the even step."""
    steps = scaled - origin
    steps *= 1.0 / unit  # a power of two: the same as the quotient
    return np.rint(steps, out=steps)


def distance_steps(squared: np.ndarray) -> np.ndarray:
    """Distances from exact squared ones (grid units), in whole steps of 2**-24 grid unit, float64."""
    return np.asarray(np.rint(np.sqrt(squared) * DISTANCE_STEPS))
