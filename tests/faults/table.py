"""The table of points x faults, put together from what all the processes of pytest have walked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tests.faults.choice import FAULTS


def lines(walked: Iterable[Sequence[Any]]) -> list[str]:
    """A row for each command and part of it, a column for each fault; then what it comes to.

    Parameters
    ----------
    walked : of each case the scenario, the part of the run, the fault, whether it struck, and whether anything broke
    """
    cases = [tuple(case) for case in walked]
    struck = Counter((scenario, place, fault) for scenario, place, fault, reached, _ in cases if reached)
    rows = list(dict.fromkeys((scenario, place) for scenario, place, *_ in cases))
    rows.sort(key=lambda row: row[0])
    n_broken = sum(broken for *_, broken in cases)
    return [
        row_of("command", "part of it", FAULTS),
        *(row_of(*row, [struck[(*row, fault)] for fault in FAULTS]) for row in rows),
        row_of("all", "", [sum(n for (*_, one), n in struck.items() if one == fault) for fault in FAULTS]),
        f"{struck.total()} kills, {len(cases) - struck.total()} points not met again, {n_broken} broke an invariant",
    ]


def row_of(first: str, second: str, cells: Sequence[object]) -> str:
    return f"{first:<12}{second:<16}" + "".join(f"{cell!s:>18}" for cell in cells)
