"""Comparisons as people read them."""

from __future__ import annotations

import os
from collections.abc import Iterator

from benchmarks.rounds import Comparison
from benchmarks.server import Server

FLOOR = "psql"
HEADINGS = ("wall", "(least-most)", "to psql", "client CPU", "server CPU", "peak MB", "WAL MB")
NAMES = 13
WIDTHS = (8, 16, 9, 11, 11, 9, 8)


def machine(server: Server) -> str:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"PostgreSQL {server.value('SHOW server_version')}, default settings; {cores} cores, {memory:.0f} GiB"


def print_comparison(comparison: Comparison) -> None:
    """One line a contender, medians of the rounds, then the seconds by phase."""
    print(f"\n{comparison.title}; median of {len(next(iter(comparison.measured.values())))}")
    print(f"{'':{NAMES}}" + "".join(f"{heading:>{width}}" for heading, width in zip(HEADINGS, WIDTHS, strict=True)))
    for contender in comparison.measured:
        cells = zip(row(comparison, contender), WIDTHS, strict=True)
        print(f"{contender:{NAMES}}" + "".join(f"{cell:>{width}}" for cell, width in cells))
    for contender in comparison.measured:
        phases = comparison.phases(contender).items()
        print(f"{contender:{NAMES}} " + "  ".join(f"{phase} {seconds:.2f}" for phase, seconds in phases))


def row(comparison: Comparison, contender: str) -> Iterator[str]:
    walls = [one.wall for one in comparison.measured[contender]]
    yield f"{comparison.median(contender, 'wall'):.2f} s"
    yield f"({min(walls):.2f}-{max(walls):.2f})"
    yield f"{comparison.ratio(contender, FLOOR):.2f}" if FLOOR in comparison.measured else ""
    yield f"{comparison.median(contender, 'client_cpu'):.2f} s"
    yield f"{comparison.median(contender, 'server_cpu'):.2f} s"
    yield f"{comparison.median(contender, 'peak') / 1e6:.0f}"
    yield f"{comparison.median(contender, 'wal') / 1e6:.0f}"
