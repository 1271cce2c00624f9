"""A hundred runs of one segmentation start at the same moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import psycopg
import pytest

from tests.acceptance.conftest import MALL, write_configuration
from tests.command import run_segjob
from tests.conftest import ROOT, load_mall
from tests.faults.server import MortalServer, mortal_server
from tests.waiting import wait_until

N = 100
PLACES = {"max_connections": str(3 * N + 20)}
PATIENCE = 60  # seconds to get in, where a hundred at once share few cores


@pytest.fixture
def roomy() -> Iterator[MortalServer]:
    """A server with places for everybody."""
    with mortal_server(**PLACES) as server:
        yield server


@pytest.fixture
def project(roomy: MortalServer, mall_csv: Path, tmp_path: Path) -> Path:
    """The mall, configured and migrated, in the server's own database."""
    write_configuration(tmp_path, {"mall": MALL})
    with roomy.connect() as session:
        load_mall(session, mall_csv)
    done = run_segjob(tmp_path, roomy.url, "migrate")
    assert done.returncode == 0, done.stderr
    return tmp_path


@pytest.fixture
def started(roomy: MortalServer, project: Path) -> Iterator[IO[str]]:
    """All of them, at work; the lines tell who has ended."""
    command = [sys.executable, "-m", "tests.faults.starts", str(N), str(project)]
    url = f"{roomy.url}&connect_timeout={PATIENCE}"
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": url}
    with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout
        (project / "go").touch()
        assert process.wait(120) == 0


def written(session: psycopg.Connection) -> list[Any]:
    """Everything that a run writes: its row, its version, its tables."""
    tables = "SELECT relname FROM pg_class WHERE relname ~ '^(label|membership)_' AND relkind = 'r'"
    queries = ("SELECT status FROM segments.run", "SELECT status FROM segments.version", tables)
    return [session.execute(query.encode()).fetchall() for query in queries]


def test_one_of_a_hundred_works_and_the_others_write_nothing(
    started: IO[str], roomy: MortalServer, project: Path
) -> None:
    others = [json.loads(started.readline()) for _ in range(N - 1)]
    said = [(one["exit_code"], (project / f"{one['number']}.stderr").read_text()) for one in others]
    assert [(code, words) for code, words in said if code != 75 or "another run holds the lock" not in words] == []
    wait_until((project / "held").exists)
    assert (project / "held").read_text() == "False", "torch was loaded before the lock was taken"
    with roomy.connect() as session:
        assert written(session) == [[("running",)], [], []]
        (project / "go").touch()
        winner = json.loads(started.readline())
        assert winner["exit_code"] == 0, (project / f"{winner['number']}.stderr").read_text()
        assert written(session) == [[("succeeded",)], [("published",)], [("label_mall$1",)]]
        left = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert session.execute(left).fetchone() == (0,)
