"""What it costs to have the number of segments chosen: a run with a range beside one with a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from benchmarks.customers import Customers
from benchmarks.ground import Ground
from benchmarks.rounds import Comparison, compare
from benchmarks.server import Server

NUMBER = 8
RANGE = (3, 12)


def print_ranges(server: Server, sizes: Sequence[int], times: int, memory: str) -> list[Comparison]:
    """For each number of customers, runs of both kinds in turn."""
    print("\n| rows | n_clusters | whole process | fit | peak MB |")
    print("|---:|---|---:|---:|---:|")
    found: list[Comparison] = []
    for rows in sizes:
        number = Ground(server, Customers(rows), NUMBER, memory)
        chosen = replace(number, n_clusters=RANGE[1], least=RANGE[0])
        rounds = [[compare(ground, ["segjob"], 1) for ground in (number, chosen)] for _ in range(times)]
        for ground, measured in zip((number, chosen), zip(*rounds, strict=True), strict=True):
            print_line(ground, measured)
            found += measured
        number.remove()
    return found


def print_line(ground: Ground, measured: Sequence[Comparison]) -> None:
    wall = median(one.median("segjob", "wall") for one in measured)
    fit = median(one.phases("segjob")["fit"] for one in measured)
    peak = median(one.median("segjob", "peak") for one in measured)
    print(f"| {ground.customers.rows:,} | {ground.clusters} | {wall:.1f} | {fit:.1f} | {peak / 1e6:.0f} |", flush=True)
