"""Waiting for what a server or another process does in its own time: a look every hundredth of a second, to a limit."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE = 0.01


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Return as soon as the condition holds; a test in which it never does has failed."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(PAUSE)  # what is waited for can not be subscribed to
