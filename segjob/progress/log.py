"""Log lines on stderr: time, level, event and key=value, the same everywhere.

Written by hand: structlog loads rich, whether or not a terminal is there.
"""

from __future__ import annotations

import json
import re
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from threading import Lock

from segjob.progress.phases import Clock, Phase

EVERY = 10.0  # seconds between two lines of a phase that goes on
PLAIN = re.compile(r'[^\s"=]+')


class Log:
    """One line at the end of each phase, and one every ten seconds while rows go by."""

    def __init__(self, segmentation: str, clock: Clock = time.monotonic) -> None:
        self._segmentation = segmentation
        self._clock = clock
        self._spoke: dict[Phase, float] = {}
        self._lock = Lock()

    def began(self, phase: Phase) -> None:
        with self._lock:
            self._spoke[phase] = self._clock()

    def advanced(self, phase: Phase) -> None:
        with self._lock:
            now = self._clock()
            if now - self._spoke.get(phase, now) < EVERY:
                return
            self._spoke[phase] = now
        left = {} if phase.remaining is None else {"remaining_seconds": round(phase.remaining)}
        self.say("info", f"{phase.name} goes on", measured(phase) | left)

    def ended(self, phase: Phase, finished: bool) -> None:
        with self._lock:
            self._spoke.pop(phase)
        if finished:
            self.say("info", phase.name, {"seconds": round(phase.seconds, 2)} | phase.facts | measured(phase))

    def say(self, level: str, event: str, facts: dict[str, object]) -> None:
        known = {**facts, "segmentation": self._segmentation}
        pairs = (f"{name}={quoted(value)}" for name, value in known.items())
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = f"{now} [{level}] {event}  {' '.join(pairs)}\n"
        with self._lock, suppress(OSError):  # a full disk under the log is no reason to give up the work
            sys.stderr.write(line)
            sys.stderr.flush()


def measured(phase: Phase) -> dict[str, object]:
    """Rows and their rate, of a phase that counts any."""
    rate = {} if phase.rate is None else {"rows_per_second": round(phase.rate)}
    return {"rows": phase.rows, **rate} if phase.rows else {}


def quoted(value: object) -> str:
    """A value that is one word as it is, any other in quotes."""
    text = str(value)
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
