"""The programs that somebody writes who has no segjob. They print seconds by phase, as JSON."""

from __future__ import annotations

import json
import sys
from typing import ClassVar

from benchmarks.contenders.contender import Contender


class Program(Contender):
    """A Python program beside this file, with its name and what it is told besides."""

    module: ClassVar[str]
    extra: ClassVar[list[str]] = []

    def command(self) -> list[str]:
        customers = self.ground.customers
        arguments = {
            "--url": self.ground.server.url,
            "--customers": customers.table,
            "--features": str(customers.features),
            "--labels": self.labels,
            "--n-clusters": str(self.ground.n_clusters),
        }
        words = [word for argument in arguments.items() for word in argument]
        return [sys.executable, "-m", f"benchmarks.contenders.{self.module}", *words, *self.extra]

    def seconds(self, printed: str) -> dict[str, float]:
        seconds: dict[str, float] = json.loads(printed)
        return seconds


class ByHand(Program):
    name: ClassVar[str] = "by-hand"
    module: ClassVar[str] = "by_hand"


class Pandas(Program):
    name: ClassVar[str] = "pandas"
    module: ClassVar[str] = "notebook"


class PandasMulti(Program):
    """The same with method="multi", which many recommend and which takes longer."""

    name: ClassVar[str] = "pandas-multi"
    module: ClassVar[str] = "notebook"
    extra: ClassVar[list[str]] = ["--to-sql-method", "multi"]
