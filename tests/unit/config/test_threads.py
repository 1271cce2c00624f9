"""The libraries keep to the cores that this process may use."""

from __future__ import annotations

import subprocess
import sys

import pytest

from segjob.config.threads import UNLESS_SET, VARIABLES, tell_libraries, threads


def test_every_library_is_told_the_number_of_cores():
    environment = {"PATH": "/bin"}
    tell_libraries(environment, cores=3)
    assert environment == {"PATH": "/bin"} | dict.fromkeys(VARIABLES, "3") | UNLESS_SET


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [("2", "2"), ("8", "4"), ("64,1", "4"), (" 2,4", "2"), ("0", "4"), ("", "4"), ("all", "4"), ("-1", "4")],
)
def test_who_asks_for_fewer_gets_fewer_and_nobody_gets_more(asked: str, allowed: str):
    environment = {"OMP_NUM_THREADS": asked}
    assert str(threads(environment, cores=4)) == allowed
    tell_libraries(environment, cores=4)
    assert {name: environment[name] for name in VARIABLES} == dict.fromkeys(VARIABLES, allowed)


def test_one_library_alone_can_be_held_back():
    environment = {"OPENBLAS_NUM_THREADS": "1"}
    tell_libraries(environment, cores=4)
    assert (environment["OPENBLAS_NUM_THREADS"], environment["OMP_NUM_THREADS"]) == ("1", "4")


@pytest.mark.parametrize(("name", "value"), [("OMP_WAIT_POLICY", "ACTIVE"), ("NUMPY_MADVISE_HUGEPAGE", "1")])
def test_who_wants_threads_to_spin_or_large_pages_gets_them(name: str, value: str):
    environment = {name: value}
    tell_libraries(environment, cores=2)
    assert environment == {name: value} | dict.fromkeys(VARIABLES, "2") | {**UNLESS_SET, name: value}


LIBRARIES = """
import os
from segjob.config import resources, threads
resources.cpu_quotas = lambda root: [1.5]
threads.tell_libraries()
import numpy, pyarrow, torch
print(torch.get_num_threads(), pyarrow.cpu_count(), pyarrow.io_thread_count())
print(numpy._core.multiarray._get_madvise_hugepage())
numpy.ones((300, 300)) @ numpy.ones((300, 300)), torch.ones(300, 300) @ torch.ones(300, 300)
names = [open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task")]
print(sum("jemalloc" not in name for name in names))  # Arrow's allocator tidies up in a thread that mostly sleeps
"""


def test_under_a_quota_of_one_core_the_libraries_start_no_thread_of_their_own_and_ask_for_small_pages():
    done = subprocess.run([sys.executable, "-c", LIBRARIES], capture_output=True, text=True, check=True)
    assert done.stdout == "1 1 1\nFalse\n1\n"
