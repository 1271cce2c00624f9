"""The table of what segjob promises: the asked limit beside what is measured. It judges nothing by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.customers import Customers
from benchmarks.ground import Ground
from benchmarks.printing import print_comparison
from benchmarks.rounds import Comparison, compare
from benchmarks.server import Server


@dataclass(frozen=True)
class Limit:
    """At most so many times what another contender takes, plus some seconds."""

    factor: float
    against: str
    plus: float = 0.0

    def asked(self, found: Comparison) -> float:
        against = found.median(self.against, "wall") if self.against else 0.0
        return self.factor * against + self.plus

    def __str__(self) -> str:
        if not self.against:
            return f"{self.plus:.0f} s"
        times = f"{self.against} / {1 / self.factor:.3g}" if self.factor < 1 else f"{self.factor:g} x {self.against}"
        return f"{times} + {self.plus:.0f} s" if self.plus else times


@dataclass(frozen=True)
class Promise:
    """A table of customers, who runs on it beside segjob, and what segjob is asked for."""

    customers: Customers
    limits: tuple[Limit, ...]
    peak: int | None = None

    @property
    def contenders(self) -> list[str]:
        return ["segjob", "psql", *(limit.against for limit in self.limits if limit.against not in ("", "psql"))]


WITHIN_TWICE = (Limit(2.0, "psql", 2.0),)
PROMISES = {
    "5m": Promise(Customers(5_000_000, 7), (Limit(1.5, "psql"), Limit(1 / 1.7, "by-hand"))),
    "second-version": Promise(Customers(5_000_000, 7, changing=True), (Limit(1.5, "psql", 5.0),)),
    "20m": Promise(Customers(20_000_000, 8), (Limit(1.2, "psql"),), peak=2**30),
    "500k": Promise(Customers(500_000, 7), (Limit(1 / 12, "pandas"),)),
    "200": Promise(Customers(200, 7), (Limit(0.0, "", 4.0),)),
    "text": Promise(Customers(1_000_000, 7, key="text"), WITHIN_TWICE),
    "uuid": Promise(Customers(1_000_000, 7, key="uuid"), WITHIN_TWICE),
    "40-features": Promise(Customers(1_000_000, 40), WITHIN_TWICE),
    "nulls": Promise(Customers(1_000_000, 7, nulls=0.3), WITHIN_TWICE),
}


def measure_promises(server: Server, names: Sequence[str], times: int, memory: str) -> list[Comparison]:
    """Measure the promises one after the other, and print all limits together at the end."""
    found: dict[str, Comparison] = {}
    for name in names:
        ground = Ground(server, PROMISES[name].customers, memory=memory)
        found[name] = compare(ground, PROMISES[name].contenders, times)
        print_comparison(found[name])
        ground.remove()
    print_limits(found)
    return list(found.values())


def print_limits(found: dict[str, Comparison]) -> None:
    print("\n| customers | asked: at most | that is | measured | |")
    print("|---|---|---:|---:|---|")
    for name, comparison in found.items():
        for line in limit_lines(PROMISES[name], comparison):
            print(line)


def limit_lines(promise: Promise, found: Comparison) -> list[str]:
    wall = found.median("segjob", "wall")
    asked = [(str(limit), limit.asked(found), wall, "s") for limit in promise.limits]
    if promise.peak:
        asked.append(
            (f"{promise.peak / 2**20:.0f} MiB", promise.peak / 2**20, found.median("segjob", "peak") / 2**20, "MiB")
        )
    return [
        f"| {found.title} | {words} | {limit:.2f} {unit} | {measured:.2f} {unit} | {verdict(measured, limit)} |"
        for words, limit, measured, unit in asked
    ]


def verdict(measured: float, limit: float) -> str:
    return "reached" if measured <= limit else f"{measured / limit:.2f} times too much"
