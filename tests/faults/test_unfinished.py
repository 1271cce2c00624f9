"""What a run leaves that died between its labels and its publication, and what becomes of that."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.command import run_segjob
from tests.faults.points import Point
from tests.faults.process import held_command
from tests.faults.scenarios import RUN, SCENARIOS
from tests.faults.state import NAME
from tests.faults.walk import Ground

STATUS = "SELECT version_id, status FROM segments.version ORDER BY 1"
IDS = "SELECT array_agg(DISTINCT segment_id ORDER BY segment_id) FROM segments.shop"


@pytest.fixture
def unfinished(ground: Ground) -> Iterator[str]:
    """The name of a database whose first run was killed when its version was stored and not published."""
    with ground.database(SCENARIOS["first run"]) as name:
        with held_command(ground.folder, ground.server.url_of(name), RUN, Point("publish: begins")) as held:
            assert held.arrive()
            held.send_signal(signal.SIGKILL)
            held.end()
        yield name


def segjob(ground: Ground, database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_segjob(ground.folder, ground.server.url_of(database), *arguments)


def test_the_next_run_gives_the_segments_the_ids_that_they_would_have_had(ground: Ground, unfinished: str) -> None:
    assert segjob(ground, unfinished, *RUN).returncode == 0
    with ground.server.connect(unfinished) as session:
        assert session.execute(IDS).fetchone() == ([1, 2, 3],)
        assert session.execute(STATUS).fetchall() == [(1, "pruned"), (2, "published")]


def test_it_can_not_be_published_behind_a_later_one_that_has_its_ids(ground: Ground, unfinished: str) -> None:
    assert segjob(ground, unfinished, *RUN, "--no-prune").returncode == 0
    refused = segjob(ground, unfinished, "publish", NAME, "1", "--force", "--reason", "why not")
    assert (refused.returncode, "its run did not end well" in refused.stderr) == (65, True)


def test_it_can_be_published_as_long_as_no_later_one_is(ground: Ground, unfinished: str) -> None:
    forced = segjob(ground, unfinished, "publish", NAME, "1", "--force", "--reason", "it is whole")
    assert forced.returncode == 0, forced.stderr
    assert segjob(ground, unfinished, *RUN).returncode == 0
    with ground.server.connect(unfinished) as session:
        assert session.execute(IDS).fetchone() == ([1, 2, 3],)
