"""Work beside a phase."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from segjob.engine.aside import NICENESS, aside
from segjob.job import run, version
from segjob.job.task import Task
from segjob.progress import Progress
from segjob.threads import Pool


def threads_aside() -> Sequence[str]:
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.startswith("segjob-aside")]


def test_what_is_computed_beside_the_block_is_there_when_it_is_asked_for() -> None:
    with aside() as thread:
        assert thread.submit(lambda: 2 + 2).result() == 4
    assert not threads_aside()


def test_a_block_that_fails_waits_for_what_has_begun_and_for_nothing_that_would_come_then() -> None:
    began, failed = threading.Event(), threading.Event()
    futures: list[Future[Any]] = []

    def working() -> None:
        began.set()
        assert failed.wait(10)

    def failing() -> None:
        with aside() as thread:
            futures.extend([thread.submit(working), thread.submit(began.clear)])
            assert began.wait(10)
            threading.Timer(0.1, failed.set).start()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert (futures[0].result(), futures[1].cancelled(), began.is_set()) == (None, True, True)
    assert not threads_aside()


def test_what_fails_beside_the_block_is_told_to_who_asks() -> None:
    with aside() as thread:
        found = thread.submit(lambda: 1 // 0)
        assert isinstance(found.exception(), ZeroDivisionError)


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own here")
def test_it_gives_way_with_all_threads_that_it_starts_and_nobody_else_does() -> None:
    def niceness(_: int = 0) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def both() -> set[int]:
        with Pool(1, "another") as pool:
            return {niceness(), *pool.map(niceness, range(3))}

    before = niceness()
    with aside() as thread:
        assert thread.submit(both).result() == {max(before, NICENESS)}
    assert niceness() == before


def test_scores_are_timed_where_they_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def scoring(*_: Any) -> None:
        now[0] += 2.0

    monkeypatch.setattr(version, "score_sample", scoring)
    task, nothing = SimpleNamespace(progress=Progress("mall", clock=lambda: now[0]), device="cpu"), cast(Any, None)
    run.scored_by_sample(cast(Task, task), nothing)
    assert task.progress.seconds()["score"] == 2.0
