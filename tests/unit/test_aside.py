"""Work beside a phase."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from segjob.engine.aside import NICENESS, aside
from segjob.engine.local import LocalPopulation
from segjob.job import run, version
from segjob.job.task import Task
from segjob.progress import Progress


class Numbers:
    """A chunk a number."""

    def __init__(self, n: int) -> None:
        self.n_rows = self.n_chunks = n

    def read(self, place: int) -> int:
        return place


def population(n: int, threads: int) -> LocalPopulation[int]:
    return LocalPopulation(Numbers(n), int, threads)


def threads_aside() -> Sequence[str]:
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.startswith(("segjob-aside", "segjob-pass"))]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_pass_beside_the_block_meets_everyone_in_order(threads: int) -> None:
    with aside(population(50, threads)) as (thread, everyone):
        assert thread.submit(lambda: [*everyone.map(str)]).result() == [*map(str, range(50))]
    assert not threads_aside()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_block_that_fails_does_not_wait_for_a_pass_that_nobody_wants_any_more(threads: int) -> None:
    began = threading.Event()

    def endless(everyone: LocalPopulation[int]) -> None:
        for _ in everyone.map(int):
            began.set()

    def failing() -> None:
        with aside(population(sys.maxsize, threads)) as (thread, everyone):
            for _ in range(2):  # one that has begun, and one that waits for it
                thread.submit(endless, everyone)
            assert began.wait(10)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert not threads_aside()


def test_what_fails_beside_the_block_is_told_to_who_asks() -> None:
    with aside(population(3, 1)) as (thread, numbers):
        found = thread.submit(lambda: [*numbers.map(lambda one: 1 // one)])
        assert isinstance(found.exception(), ZeroDivisionError)


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own here")
def test_all_of_its_threads_give_way_and_nobody_else_does() -> None:
    def niceness(_: int = 0) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = niceness()
    with aside(population(10, 2)) as (thread, numbers):
        found = thread.submit(lambda: [niceness(), *numbers.map(niceness)])
        assert set(found.result()) == {max(before, NICENESS)}
    assert niceness() == before


def test_scores_are_timed_wherever_they_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def scoring(*_: Any) -> None:
        now[0] += 2.0

    monkeypatch.setattr(version, "score_sample", scoring)
    monkeypatch.setattr(version, "score_everyone", scoring)
    task, nothing = SimpleNamespace(progress=Progress("mall", clock=lambda: now[0]), device="cpu"), cast(Any, None)
    run.scored_by_sample(cast(Task, task), nothing)
    run.scored_by_everyone(cast(Task, task), nothing, nothing, nothing)
    assert task.progress.seconds()["score"] == 4.0
