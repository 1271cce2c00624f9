"""What the rounds ask of whoever is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from benchmarks.ground import Ground


class Contender(ABC):
    """One way to bring customers out of Postgres and labels back in, as a whole process."""

    name: ClassVar[str]

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    @property
    def labels(self) -> str:
        """The table that this contender writes, dropped before and after."""
        return f"public.label_{self.name.replace('-', '_')}"

    def clean(self) -> None:
        self.ground.server.execute(f"DROP TABLE IF EXISTS {self.labels}")

    @abstractmethod
    def command(self) -> list[str]:
        """What to run; what it needs is prepared here, unmeasured."""

    @abstractmethod
    def seconds(self, printed: str) -> dict[str, float]:
        """Seconds by phase, from what the command printed."""
