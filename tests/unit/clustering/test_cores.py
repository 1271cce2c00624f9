"""Parts of the sample, each worked on by a thread of ours."""

from __future__ import annotations

import threading

import pytest
import torch

from segjob.clustering.cores import at_once, use_threads


def met(barrier: threading.Barrier, part: int) -> tuple[int, str]:
    """A part with the thread that worked on it, which waits until as many others are at work."""
    barrier.wait(30)
    return part, threading.current_thread().name


@pytest.mark.parametrize("n_threads", [1, 2])
def test_so_many_threads_of_ours_work_at_once_and_none_of_torch(n_threads: int) -> None:
    use_threads(n_threads)
    barrier = threading.Barrier(n_threads)
    found = at_once(lambda part: met(barrier, part), range(4))
    assert torch.get_num_threads() == 1
    assert [part for part, _ in found] == [0, 1, 2, 3]
    assert len({name for _, name in found}) == n_threads


def test_who_works_on_a_part_has_no_other_threads() -> None:
    use_threads(3)
    barrier = threading.Barrier(2)

    def parts_of(part: int) -> set[str]:
        _, name = met(barrier, part)
        return {name, *at_once(lambda _: threading.current_thread().name, range(4))}

    first, second = at_once(parts_of, range(2))
    assert (len(first), len(second), len(first | second)) == (1, 1, 2)
