"""What several threads read arrives in the order of its parts, and nobody waits for ever."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from segjob.postgres.reading.arrivals import AHEAD, Arrivals
from segjob.postgres.reading.replies import GaveUp

SIZES = [3, 0, 40, 1, 25, 0, 0, 7, 12]


def put_all(arrivals: Arrivals[tuple[int, int], str], parts: Iterator[int]) -> None:
    """What a session does: one part after the other that nobody has begun yet."""
    for part in parts:
        for item in range(SIZES[part]):
            time.sleep(random.random() / 5000)
            arrivals.put(part, (part, item))
        arrivals.end(part)


@pytest.mark.parametrize("readers", [1, 2, 5])
def test_items_come_part_after_part_however_many_put_them(readers):
    arrivals = Arrivals[tuple[int, int], str]([1] * len(SIZES), readers)
    parts = iter(range(len(SIZES)))
    with ThreadPoolExecutor(readers) as threads:
        putting = [threads.submit(put_all, arrivals, parts) for _ in range(readers)]
        found = list(arrivals)
        wait(putting)
    assert found == [(part, item) for part, size in enumerate(SIZES) for item in range(size)]


def put_numbers(arrivals: Arrivals[int, str], part: int, numbers: range) -> None:
    for number in numbers:
        arrivals.put(part, number)
    arrivals.end(part)


def test_what_several_put_of_one_part_all_arrives():
    arrivals = Arrivals[int, str]([3], 3)
    ranges = [range(0, 50), range(100, 150), range(200, 250)]
    with ThreadPoolExecutor(3) as threads:
        for numbers in ranges:
            threads.submit(put_numbers, arrivals, 0, numbers)
        assert sorted(arrivals) == [number for numbers in ranges for number in numbers]


def test_who_is_ahead_waits_when_enough_lies_there():
    arrivals = Arrivals[int, str]([1, 1], 2)
    with ThreadPoolExecutor(1) as thread:
        putting = thread.submit(put_numbers, arrivals, 1, range(AHEAD + 1))
        with pytest.raises(TimeoutError):
            putting.result(timeout=0.2)
        arrivals.end(0)
        assert list(arrivals) == list(range(AHEAD + 1))


def test_a_note_overtakes_the_items():
    arrivals = Arrivals[int, str]([1], 1)
    arrivals.put(0, 1)
    arrivals.tell("slower")
    arrivals.end(0)
    assert list(arrivals) == ["slower", 1]


def test_a_failure_is_raised_at_once_and_the_first_one_counts():
    arrivals = Arrivals[int, str]([1, 1], 2)
    arrivals.put(1, 1)
    arrivals.fail(ValueError("first"))
    arrivals.fail(ValueError("second"))
    with pytest.raises(ValueError, match="first"):
        next(iter(arrivals))


def test_who_waits_for_room_hears_that_nobody_wants_the_rest():
    arrivals = Arrivals[int, str]([1, 1], 2)
    with ThreadPoolExecutor(1) as thread:
        putting = thread.submit(put_numbers, arrivals, 1, range(AHEAD + 1))
        arrivals.give_up()
        with pytest.raises(GaveUp):
            putting.result(timeout=5)
