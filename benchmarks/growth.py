"""How the cost grows with rows, features and k: measured seconds by phase, a model of them, who takes over where."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from benchmarks.customers import Customers
from benchmarks.ground import Ground
from benchmarks.model import Model, Point, Size, errors, fit, takeovers
from benchmarks.printing import print_comparison
from benchmarks.rounds import Comparison, compare
from benchmarks.server import Server

BESIDE = 1_000_000  # rows at which features and k vary
ROWS = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
FEATURES = (2, 20, 40)
N_CLUSTERS = (2, 20, 50)


def measure_growth(server: Server, most_rows: int, times: int, memory: str) -> list[Comparison]:
    """Measure every size that the disk has room for, and print what grows how."""
    sizes = [Size(rows) for rows in ROWS if rows <= most_rows and has_room(server, rows)]
    sizes += [Size(BESIDE, features) for features in FEATURES] + [Size(BESIDE, 7, k) for k in N_CLUSTERS]
    found = [measure_size(server, size, times, memory) for size in sizes]
    points = [point(comparison) for comparison in found]
    model = fit(points)
    print_points(points, found)
    print_model(model, points)
    print_takeovers(model)
    return found


def measure_size(server: Server, size: Size, times: int, memory: str) -> Comparison:
    customers = Customers(int(size.rows), int(size.features))
    ground = Ground(server, customers, int(size.n_clusters), memory)
    found = compare(ground, ["segjob", "psql"], times)
    print_comparison(found)
    ground.remove()
    return found


def has_room(server: Server, rows: int, features: int = 7) -> bool:
    """Room for the customers with their key, two tables of labels with theirs, a file of labels, the spool, WAL."""
    needed = rows * (16 * features + 300) + 3 * 2**30
    free = shutil.disk_usage(server.folder).free
    if free < needed:
        print(f"{rows:,} rows are left out: they need {needed / 1e9:.0f} GB, and {free / 1e9:.0f} GB are free")
    return free >= needed


def point(found: Comparison) -> Point:
    """The phases that segjob reports, what lies between them, and what comes before and after its own clock."""
    seconds = found.phases("segjob")
    total = seconds.pop("total")
    seconds["between"] = max(total - sum(seconds.values()), 0.0)
    seconds["start-up"] = found.median("segjob", "wall") - total
    return Point(Size(found.customers.rows, found.customers.features, found.n_clusters), seconds)


def print_points(points: Sequence[Point], found: Sequence[Comparison]) -> None:
    phases = list(points[0].seconds)
    print("\n| rows | features | k | " + " | ".join(phases) + " | whole process | to psql | peak MB |")
    print("|" + "---:|" * (len(phases) + 6))
    for one, comparison in zip(points, found, strict=True):
        size = f"{one.size.rows:,} | {one.size.features} | {one.size.n_clusters}"
        seconds = " | ".join(f"{one.seconds[phase]:.2f}" for phase in phases)
        wall, peak = comparison.median("segjob", "wall"), comparison.median("segjob", "peak") / 1e6
        print(f"| {size} | {seconds} | {wall:.1f} | {comparison.ratio('segjob', 'psql'):.2f} | {peak:.0f} |")


def print_model(model: Model, points: Sequence[Point]) -> None:
    worst = max(errors(model, points))
    print(f"\nthe model: seconds, with rows in millions; at worst {worst:.0%} off what was measured")
    for phase, terms in model.coefficients.items():
        words = (f"{value:.2f}" if term == "1" else f"{value * 1e6:.3g} x {term}" for term, value in terms.items())
        print(f"{phase:9} = {' + '.join(words) or '0'}")
    for rows in ROWS:
        seconds = model.seconds(Size(rows))
        parts = ", ".join(f"{phase} {value:.1f}" for phase, value in seconds.items())
        print(f"the model for {rows:,} x 7, k = 8: {sum(seconds.values()):.1f} s ({parts})")


def print_takeovers(model: Model) -> None:
    """Along rows, along features, along k: which phase takes the longest, and until where."""
    paths = {
        "rows": [Size(float(rows)) for rows in np.geomspace(1e3, 1e9, 601)],
        "features": [Size(1e7, features) for features in range(1, 129)],
        "n_clusters": [Size(1e7, 7, k) for k in range(2, 101)],
    }
    for axis, sizes in paths.items():
        found = takeovers(model, sizes)
        ends = [getattr(later, axis) for _, (later, _) in pairwise(found)]
        parts = [f"{phase} up to {end:,.0f}" for (_, phase), end in zip(found, ends, strict=False)]
        beside = "" if axis == "rows" else ", at 10,000,000 rows"
        print(f"the longest phase by {axis}{beside}: {', then '.join([*parts, found[-1][1]])}")
