"""Not enough memory, wherever it gives out: little, then more and more of it, until a run gets through."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from segjob.config import resources
from tests.faults.large import Run, database_url, published_large, run
from tests.faults.little import Little
from tests.faults.standing import last_run, left_behind, standing

__all__ = ["database_url", "published_large", "run"]  # the fixtures

MIB = 2**20
MEBIBYTES = (4, 16, 32, 48, 64, 80, 96, 128, 256, 512, 1024, 2048)
# What can not be caught: a thread that OpenMP can not start, an exception in a thread of C++, a thread that ends.
BY_A_LIBRARY = {1: "libgomp", -signal.SIGABRT: "bad_alloc|out of memory"}
GROUPS = Path("/sys/fs/cgroup")


def walk(
    run: Run, connection: psycopg.Connection, little: Callable[[int], Little], expect: Callable[[Any], None]
) -> int:
    """Give a run more and more until it gets through; returns how often it did not."""
    before = standing(connection, "large")
    for n_failed, mebibytes in enumerate(MEBIBYTES):
        done = run("run", "large", "--json", become=little(mebibytes * MIB))
        if done.returncode == 0:
            assert left_behind(connection) == []
            assert standing(connection, "large").versions == {json.loads(done.stdout)["version_id"]}
            return n_failed
        expect(done)
        assert standing(connection, "large") == before
    raise AssertionError(f"not even {MEBIBYTES[-1]} MiB are enough")


def test_memory_that_is_refused_is_told_wherever_it_is(run: Run, connection: psycopg.Connection) -> None:
    told = []

    def expect(done: Any) -> None:
        if done.returncode in BY_A_LIBRARY:
            assert re.search(BY_A_LIBRARY[done.returncode], done.stderr)
            return
        told.append(last_run(connection))
        assert done.returncode == 70, done.stderr
        assert json.loads(done.stdout)["error"]["code"] == "out_of_memory"
        assert "Traceback" not in done.stderr
        assert left_behind(connection) == []

    walk(run, connection, lambda n_bytes: Little(addresses=n_bytes), expect)
    assert len(told) >= 2
    for status, exit_code, error in told:
        assert (status, exit_code) == ("failed", 70)
        assert error.startswith("there is not enough memory for the run")


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of our own, in which the kernel can be told to spare no more than so much memory."""
    own = resources.cgroup_path(Path("/"), "memory").lstrip("/")
    folder = next((path for path in (GROUPS / "memory" / own, GROUPS / own) if path.is_dir()), GROUPS) / uuid4().hex
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        if limit_file(folder) is None:
            pytest.skip("control groups do not limit memory here")
        yield folder
    finally:
        folder.rmdir()


def limit_file(group: Path) -> Path | None:
    names = ("memory.limit_in_bytes", "memory.max")
    return next((group / name for name in names if (group / name).exists()), None)


def test_who_takes_more_than_the_limit_is_killed_and_the_next_run_clears_up(
    run: Run, connection: psycopg.Connection, group: Path
) -> None:
    def little(n_bytes: int) -> Little:
        limit = limit_file(group)
        assert limit is not None
        limit.write_text(str(n_bytes))
        return Little(group=group)

    def expect(done: Any) -> None:
        assert done.returncode == -signal.SIGKILL, done.stderr

    assert walk(run, connection, little, expect) >= 2
    statuses = [
        status for (status,) in connection.execute("SELECT status FROM segments.run ORDER BY run_id").fetchall()
    ]
    assert "lost" in statuses
    assert set(statuses[:-1]) <= {"succeeded", "lost"}
