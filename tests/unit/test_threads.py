"""Threads where there is no room for them: refused at once, where others would wait for ever, or end the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A stack of 8 MiB fits in here, but little else.
WITHOUT_ROOM = """
import resource, threading
from pathlib import Path
from segjob.errors import unexpected
from segjob.threads import Pool, start

threading.stack_size(8 * 2**20)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
with Pool(1) as pool:
    resource.setrlimit(resource.RLIMIT_AS, (used + 10 * 2**20, resource.RLIM_INFINITY))
    try:
        {begin}
    except Exception as error:
        print(unexpected(error).code)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space")
@pytest.mark.parametrize("begin", ["pool.submit(int)", "start(threading.Thread(target=int))"])
def test_a_thread_without_room_is_refused_as_memory_is(begin: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOM.format(begin=begin)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("out_of_memory\n", "", 0)
