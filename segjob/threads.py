"""Threads, started only where there is room for them.

`Thread.start` waits until the new thread says that it lives: for ever, where memory gives out before it can
(python/cpython#140746). And what a library in C keeps for each thread is asked for by the thread itself; where that is
refused the C library ends the process. So the room that a thread needs until it works is asked for before.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

ROOM = 16 * 2**20  # bytes: a stack of the usual 8 MiB, and what Python and the libraries take for a thread


class Pool(ThreadPoolExecutor):
    """Threads that work on what is submitted; where there is no room for one more, nothing waits for it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have something called by a thread.

        Raises
        ------
        OSError
            There is no room for another thread.
        """
        ask_for_room()
        return super().submit(fn, *args, **kwargs)


def start(thread: Thread) -> None:
    """Start a thread that is part of no pool.

    Raises
    ------
    OSError
        There is no room for it.
    """
    ask_for_room()
    thread.start()


def ask_for_room() -> None:
    """Take as much memory as a thread needs, and give it back untouched.

    Raises
    ------
    OSError
        It was refused.
    """
    mmap.mmap(-1, ROOM, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
