"""Means and deviations that are exact: values become 62-bit integers, and integers are summed.

So the result depends neither on the order of the rows nor on how they were cut into chunks. The step of the integers
is a power of two chosen from the column's extremes, finer than float64 resolves near the largest value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WORD = 31
HALF_BITS = 32
FINEST_EXPONENT = -960  # a finer step could not be turned into a float64 factor


def exponent_for(low: float, high: float) -> int:
    """The exponent e with which every value of [low, high] is at most 2**62 steps of 2**e."""
    reach = max(abs(low), abs(high))
    return max(math.frexp(reach)[1] - 2 * WORD, FINEST_EXPONENT) if math.isfinite(reach) else 0


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of squares of one column; the sums count steps of 2**exponent and of 4**exponent."""

    exponent: int
    n: int = 0
    total: int = 0
    squares: int = 0

    @classmethod
    def from_words(cls, exponent: int, n: int, high: int, low: int, *squares: int) -> Moments:
        """From the sums of both words of the values, and of the words' products, each in upper and lower half."""
        upper, both, lower = ((squares[place] << HALF_BITS) + squares[place + 1] for place in (0, 2, 4))
        return cls(exponent, n, (high << WORD) + low, (upper << 2 * WORD) + (both << WORD + 1) + lower)

    def merge(self, other: Moments) -> Moments:
        return Moments(self.exponent, self.n + other.n, self.total + other.total, self.squares + other.squares)

    def with_repeats(self, value: float, times: int) -> Moments:
        """The moments as if `value` had come `times` more, as it does when missing values are imputed."""
        step = round(math.ldexp(value, -self.exponent))
        return Moments(self.exponent, self.n + times, self.total + times * step, self.squares + times * step * step)

    @property
    def mean(self) -> float | None:
        return math.ldexp(self.total / self.n, self.exponent) if self.n else None

    @property
    def std(self) -> float | None:
        """The population standard deviation."""
        if not self.n:
            return None
        variance = (self.n * self.squares - self.total**2) / self.n**2
        return math.ldexp(math.sqrt(variance), self.exponent)
