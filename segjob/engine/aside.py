"""Work that gives way: it takes what others leave of the cores, and is dropped where nobody waits for it any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, get_native_id
from typing import Any, TypeVar

from segjob.engine.local import LocalPopulation
from segjob.threads import Pool

C = TypeVar("C")

NICENESS = 10  # a tenth of what another thread gets where both want the same core


class Dropped(Exception):
    """Nobody waits for this any more."""


@contextmanager
def aside(population: LocalPopulation[C]) -> Iterator[tuple[Pool, LocalPopulation[C]]]:
    """A thread for what is computed while the block does something else, and the customers that it may go over.

    Who is done with the block drops its passes.
    """
    dropped = Event()
    with Pool(1, "segjob-aside", give_way) as thread:
        try:
            yield thread, until(dropped, population)
        finally:
            dropped.set()


def give_way() -> None:
    """Let all others go first: this thread, and those that it starts; where a thread can have a priority of its own."""
    if sys.platform == "linux":
        mine = os.PRIO_PROCESS, get_native_id()
        os.setpriority(*mine, max(os.getpriority(*mine), NICENESS))


def until(dropped: Event, population: LocalPopulation[C]) -> LocalPopulation[C]:
    """The same customers, but a pass over them ends where it is dropped."""

    def decode(read: Any) -> C:
        if dropped.is_set():
            raise Dropped
        return population.decode(read)

    return LocalPopulation(population.chunks, decode, population.threads, population.during)
