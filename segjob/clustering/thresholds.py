"""Where a feature may be cut in a rule: few places, each the roundest value that is to be had there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from functools import cache, partial

import numpy as np

from segjob.records.source import FeatureFamily

MOST_PLACES = 64  # of a column's own quantiles; up to so many different values are all kept
SEGMENT_QUANTILES = (0.005, 0.02, 0.05, 0.1, 0.25, 0.75, 0.9, 0.95, 0.98, 0.995)
DIGITS = 17  # that a float8 needs at most
FAR_DAYS = 1e8  # beyond what a timestamp of Postgres holds
SECONDS = 86_400.0
MICROSECONDS = 1e6


@dataclass(frozen=True)
class Thresholds:
    """Candidates for `value >= threshold`.

    Attributes
    ----------
    values : (b,) ascending
    lengths : (b,) how long each is to write: its significant digits, or the fineness of the calendar's unit
    """

    values: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class Ascending:
    """A column's values in ascending order, without those that are missing.

    Attributes
    ----------
    values : (m,) finite; zero has no sign, for sorting does not order the two
    customers : (m,) whose each is, by position in the column
    """

    values: np.ndarray
    customers: np.ndarray

    @classmethod
    def of(cls, column: np.ndarray) -> Ascending:
        present = np.flatnonzero(np.isfinite(column))
        values = column[present] + 0.0
        order = np.argsort(values)
        return cls(values[order], present[order])


def find_thresholds(
    family: FeatureFamily, column: Ascending, index: np.ndarray, n_clusters: int, between: bool = False
) -> Thresholds:
    """Cut a column where its customers thin out evenly, and where those of each segment begin and end.

    Parameters
    ----------
    index : (n,) the position of each customer's segment
    between : whether to cut numbers between the values where that can be, and not at one
    """
    owners = index[column.customers]
    members = (column.values[owners == segment] for segment in range(n_clusters))
    places = cutting_places(column.values, members)
    roundest = ROUNDEST.get(family) or partial(roundest_number, column.values if between else None)
    found: dict[float, int] = {}
    for low, high in zip(places[:-1].tolist(), places[1:].tolist(), strict=True):
        threshold = roundest(low, high)
        if threshold is not None:
            found.setdefault(*threshold)
    return Thresholds(np.array(list(found), np.float64), np.array(list(found.values()), np.int64))


def cutting_places(ordered: np.ndarray, members: Iterable[np.ndarray]) -> np.ndarray:
    """Values of a column, ascending and different, between which it may be cut.

    Parameters
    ----------
    ordered : (n,) ascending
    members : those of each segment, ascending
    """
    distinct = ordered[np.diff(ordered, prepend=-np.inf) > 0.0]
    if len(distinct) <= MOST_PLACES:
        return distinct
    places = [ordered[np.linspace(0, len(ordered) - 1, MOST_PLACES).astype(np.intp)]]
    for own in members:
        if len(own):
            places.append(own[(np.array(SEGMENT_QUANTILES) * (len(own) - 1)).astype(np.intp)])
    return np.unique(np.concatenate(places))


def roundest_number(avoided: np.ndarray | None, low: float, high: float) -> tuple[float, int] | None:
    """The value of (low, high] with the fewest digits, and their number; none of the `avoided`, if that can be."""
    top = Decimal(repr(high))
    exponent = max(Decimal(repr(end)).adjusted() for end in (low, high)) + 1
    for step in steps(exponent):
        multiple = (top / step).to_integral_value(ROUND_FLOOR)
        if avoided is not None and multiple * step == top:
            multiple -= 1
        rounded = float(multiple * step) + 0.0
        if low < rounded <= high and not (avoided is not None and holds(avoided, rounded)):
            return rounded, significant_digits(multiple * step)
    return high, significant_digits(top)


def holds(ordered: np.ndarray, value: float) -> bool:
    return bool(np.searchsorted(ordered, value, "left") < np.searchsorted(ordered, value, "right"))


@cache
def steps(exponent: int) -> tuple[Decimal, ...]:
    """10, 5, 1, 0.5, … from a power of ten on."""
    powers = range(exponent, exponent - DIGITS, -1)
    return tuple(step for power in powers for step in (Decimal(1).scaleb(power), Decimal(5).scaleb(power - 1)))


def significant_digits(value: Decimal) -> int:
    return len(value.normalize().as_tuple().digits)


def roundest_date(low: float, high: float) -> tuple[float, int] | None:
    """The first day of a year or a month, or else any day of (low, high], as days since 1970-01-01."""
    top = np.datetime64(int(high), "D")
    for length, unit in enumerate("YMD"):
        day = top.astype(f"datetime64[{unit}]").astype("datetime64[D]").astype(np.int64)
        if low < day <= high:
            return float(day), length
    return None


def roundest_moment(low: float, high: float) -> tuple[float, int] | None:
    """The same for timestamps, down to microseconds: what can not be written so is no threshold."""
    if max(abs(low), abs(high)) > FAR_DAYS:
        return None
    top = np.datetime64(round(high * SECONDS * MICROSECONDS), "us")
    for length, unit in enumerate(("Y", "M", "D", "h", "m", "s", "ms", "us")):
        moment = top.astype(f"datetime64[{unit}]").astype("datetime64[us]").astype(np.int64)
        days = float(moment) / MICROSECONDS / SECONDS
        if low < days <= high:
            return days, length
    return None


ROUNDEST: dict[FeatureFamily, Callable[[float, float], tuple[float, int] | None]] = {
    "date": roundest_date,
    "timestamp": roundest_moment,
}
