"""Work on the sample by several cores at once.

Torch's own threads wait for one another after every small step, which gains little on cores that are idle and loses
much on cores that are not; so it starts none, anywhere. Rows or starts are split into as many parts as there may be
threads, each part is worked on by one, and the results, which are exact, are put together. Who works on a part has
no other threads: what has parts inside of a part is computed one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial, reduce
from threading import local
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from segjob.clustering.nearest import Tally, tally
from segjob.threads import Pool

T = TypeVar("T")
P = TypeVar("P")
LEAST_ROWS = 2**12

_threads = 1
_here = local()  # what a thread knows of itself


def use_threads(n_threads: int) -> None:
    """Work on parts by so many threads, and let torch compute in those that call it; said before it computes."""
    global _threads
    _threads = n_threads
    torch.set_num_threads(1)


def at_once(compute: Callable[[P], T], parts: Sequence[P]) -> list[T]:
    """Compute something of every part, begun in their order; the results come in the order of the parts."""
    threads = min(threads_here(), len(parts))
    if threads < 2:
        return [compute(part) for part in parts]
    return list(team(threads).map(compute, parts))


def threads_here() -> int:
    """How many threads may work for the one that asks."""
    return 1 if hasattr(_here, "in_team") else _threads


@cache
def team(threads: int) -> Pool:
    """Threads that stay: a fit asks for them a hundred times, and a new one begins without memory of its own."""
    return Pool(threads, "segjob-start", initializer=join_team)


def join_team() -> None:
    """Have it known that this thread works on parts."""
    _here.in_team = True


def row_parts(rows: Tensor) -> Sequence[Tensor]:
    """The rows in one part a core, unless they are few or lie on another device."""
    if rows.device.type != "cpu":
        return [rows]
    return rows.chunk(max(min(threads_here(), len(rows) // LEAST_ROWS), 1))


def tally_at_once(rows: Tensor, centers: np.ndarray, squares: int | None = None) -> Tally:
    """`tally` by several cores."""
    of_part = None if squares is None else 0
    found = reduce(Tally.merge, at_once(partial(tally, centers=centers, squares=of_part), row_parts(rows)))
    return found if squares is None else replace(found, squares=squares)
