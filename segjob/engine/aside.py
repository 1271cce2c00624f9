"""Work that gives way: it takes what others leave of the cores, and is not begun where nobody waits for it any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_native_id

from segjob.threads import Pool

NICENESS = 10  # a tenth of what another thread gets where both want the same core


@contextmanager
def aside() -> Iterator[Pool]:
    """A thread for what is computed while the block does something else."""
    thread = Pool(1, "segjob-aside", give_way)
    try:
        yield thread
    finally:
        thread.shutdown(cancel_futures=True)


def give_way() -> None:
    """Let all others go first: this thread, and those that it starts; where a thread can have a priority of its own."""
    if sys.platform == "linux":
        mine = os.PRIO_PROCESS, get_native_id()
        os.setpriority(*mine, max(os.getpriority(*mine), NICENESS))
