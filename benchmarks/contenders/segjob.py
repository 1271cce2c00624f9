"""segjob itself, as a user runs it."""

from __future__ import annotations

import json
from typing import ClassVar

from benchmarks.contenders.contender import Contender
from benchmarks.ground import SEGJOB


class Segjob(Contender):
    name: ClassVar[str] = "segjob"

    def clean(self) -> None:
        """Nothing: the ground is made anew for it before every round."""

    def command(self) -> list[str]:
        return [*SEGJOB, "run", "bench", "--json"]

    def seconds(self, printed: str) -> dict[str, float]:
        seconds: dict[str, float] = json.loads(printed)["seconds"]
        return seconds
