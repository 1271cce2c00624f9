"""Work that gives way: it takes what others leave of the cores, and is dropped where nobody waits for it any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Event, get_native_id
from typing import Any, TypeVar

from segjob.engine.local import LocalPopulation
from segjob.threads import Pool

C = TypeVar("C")
T = TypeVar("T")

NICENESS = 10  # a tenth of what another thread gets where both want the same core


class Dropped(Exception):
    """Nobody waits for this any more."""


@contextmanager
def aside(compute: Callable[[LocalPopulation[C]], T], population: LocalPopulation[C]) -> Iterator[Future[T]]:
    """Compute something of a population while the block does something else; who is done with the block drops it."""
    dropped = Event()
    with Pool(1, "segjob-aside", give_way) as thread:
        try:
            yield thread.submit(compute, until(dropped, population))
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
