"""What a run says while it works: lines on stderr, and the seconds of each phase."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

PHASES = ("read", "fit", "label", "score", "write", "publish")

T = TypeVar("T")


class Progress:
    """Times the phases of one run, and logs them."""

    def __init__(self, segmentation: str) -> None:
        self.segmentation = segmentation
        self.began = time.monotonic()
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._elsewhere = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[dict[str, object]]:
        """Time one phase; what the block puts into the mapping is logged with it."""
        began, elsewhere = time.monotonic(), self._elsewhere
        facts: dict[str, object] = {}
        yield facts
        spent = time.monotonic() - began - (self._elsewhere - elsewhere)
        self._seconds[name] += spent
        rows = facts.get("rows")
        rate = {"rows_per_second": round(rows / spent)} if isinstance(rows, int) and spent > 0 else {}
        self.log(name, seconds=round(spent, 2), **facts, **rate)

    def timed(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Count the time that the items take to come towards another phase than the one that asks for them."""
        iterator = iter(items)
        while True:
            began = time.monotonic()
            item = next(iterator, None)
            self._seconds[name] += time.monotonic() - began
            self._elsewhere += time.monotonic() - began
            if item is None:
                return
            yield item

    def log(self, event: str, **facts: object) -> None:
        """Write one line for whoever reads the pod's log."""
        logger().info(event, segmentation=self.segmentation, **facts)

    def warn(self, sentence: str) -> None:
        """Write one warning; the run keeps it as well."""
        logger().warning(sentence, segmentation=self.segmentation)

    def seconds(self) -> dict[str, float]:
        """Seconds by phase, and in all."""
        spent = {**self._seconds, "total": time.monotonic() - self.began}
        return {name: round(value, 3) for name, value in spent.items()}


@cache
def logger() -> Any:
    """Lines of time, level, event and key=value on stderr; plain, so that they read the same everywhere."""
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return structlog.get_logger()
