"""Which points are walked: all in hours, or in minutes those that differ most, by each fault others."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from math import ceil

from tests.faults.points import Point
from tests.faults.scenarios import SCENARIOS

EVERY_POINT = os.environ.get("SEGJOB_TEST_POINTS") == "all"
SLICES = 12 if EVERY_POINT else 2
FAULTS = ("SIGKILL", "SIGTERM", "sessions ended", "server restarted")
BUDGET = {"first run": 6, "next run": 18, "score": 10, "rollback": 12, "prune": 5, "forget": 8}
"""Points a fault; where they are most, and where most can be lost."""

DECISIVE = re.compile(r"COMMIT \((?!nothing)|begins$|COPY|(at|de)tach_part|finish_detach|try_lock|vacuum|reindex")
"""Where the database becomes another one, a stream is open, or a lock is taken."""

assert set(BUDGET) == set(SCENARIOS)


def chosen(points: Sequence[Point], scenario: str, fault: str) -> list[Point]:
    """Two thirds decisive points, one third others, evenly from the first to the last; each fault begins elsewhere."""
    if EVERY_POINT:
        return list(points)
    decisive = [point for point in points if DECISIVE.search(point.name)]
    others = [point for point in points if not DECISIVE.search(point.name)]
    n_others = BUDGET[scenario] // 3
    start = FAULTS.index(fault) / len(FAULTS)
    return spread(decisive, BUDGET[scenario] - n_others, start) + spread(others, n_others, start)


def spread(points: Sequence[Point], n: int, start: float) -> list[Point]:
    """So many of them, evenly; `start` from 0 to 1 shifts them by a part of the distance between two."""
    step = len(points) / min(n, len(points))
    return [points[int(i * step + start * step)] for i in range(min(n, len(points)))]


def sliced(points: Sequence[Point], number: int) -> Sequence[Point]:
    """One of the parts that are walked beside each other."""
    size = ceil(len(points) / SLICES)
    return points[number * size : (number + 1) * size]
