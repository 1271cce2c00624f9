"""Phases, their seconds, and the log lines that tell of them."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from unittest.mock import Mock

import pytest

from segjob.job import version
from segjob.job.run import scored_by_sample
from segjob.progress import Phase, Progress
from segjob.progress.log import Log

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[(\w+)\] (.*?)  (.*)")


class Clock:
    """A clock that goes on when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    return Progress("shop", Log("shop", clock), clock)


def told(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str, str]]:
    """Level, event and facts of each line so far."""
    lines = capsys.readouterr().err.splitlines()
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), lines
    return [(one[1], one[2], one[3]) for one in found if one]


def forecast(phase: Phase) -> tuple[float | None, float | None]:
    return phase.share, phase.remaining


def test_a_phase_ends_with_a_line_of_seconds_facts_rows_and_rate(progress, clock, capsys):
    with progress.phase("read") as phase:
        clock.now += 2
        phase.advance(300)
        phase.advance(100)
        phase.note(streams=4)
    facts = "seconds=2.0 streams=4 rows=400 rows_per_second=200 segmentation=shop"
    assert told(capsys) == [("info", "read", facts)]


def test_a_phase_without_rows_tells_no_rate(progress, clock, capsys):
    with progress.phase("score"):
        clock.now += 0.456
    assert told(capsys) == [("info", "score", "seconds=0.46 segmentation=shop")]


def test_scoring_is_told_with_its_own_seconds_though_it_is_waited_for_only_later(progress, clock, capsys, monkeypatch):
    def score(*_):
        clock.now += 3

    monkeypatch.setattr(version, "score_sample", score)
    task, fitted = Mock(progress=progress), Mock()
    with progress.phase("write"):
        scored_by_sample(task, fitted)
        clock.now += 4
    assert [facts for _, _, facts in told(capsys)] == [
        "seconds=3.0 segmentation=shop",
        "seconds=7.0 segmentation=shop",
    ]
    assert progress.seconds()["score"] == 3


def test_a_long_phase_tells_every_ten_seconds_how_far_it_is(progress, clock, capsys):
    with progress.phase("read", expected_rows=1000) as phase:
        for _ in range(7):
            clock.now += 3.75
            phase.advance(100)
        lines = told(capsys)
    assert [event for _, event, _ in lines] == ["read goes on"] * 2
    assert lines[0][2] == "rows=300 rows_per_second=27 remaining_seconds=26 segmentation=shop"
    assert lines[1][2] == "rows=600 rows_per_second=27 remaining_seconds=15 segmentation=shop"


def test_a_wrong_forecast_gives_no_remaining_time(progress, clock, capsys):
    with progress.phase("read", expected_rows=10) as phase:
        for _ in range(2):
            clock.now += 10
            phase.advance(1000)
        assert forecast(phase) == (None, None)
    assert all("remaining" not in facts for _, _, facts in told(capsys))


def test_a_phase_that_no_one_has_a_forecast_for_tells_rows_and_rate(progress, clock, capsys):
    with progress.phase("read") as phase:
        clock.now += 10
        phase.advance(1000)
        assert told(capsys) == [("info", "read goes on", "rows=1000 rows_per_second=100 segmentation=shop")]


def test_the_forecast_may_come_on_the_way_and_reaches_its_end(progress, clock):
    with progress.phase("read") as phase:
        phase.expect(200)
        assert forecast(phase) == (0, None)
        phase.advance(50)
        assert forecast(phase) == (0.25, None)  # too early
        clock.now += 4
        assert forecast(phase) == (0.25, 12)
        phase.advance(150)
        assert forecast(phase) == (1, None)


def test_a_phase_that_fails_is_not_told_as_done_and_its_seconds_count(progress, clock, capsys):
    def broken() -> None:
        clock.now += 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"), progress.phase("write"):
        broken()
    assert told(capsys) == []
    assert progress.seconds()["write"] == 1


def test_phases_overlap_and_each_counts_all_of_its_seconds(progress, clock):
    with progress.phase("write"):
        clock.now += 1
        with progress.phase("score"):
            clock.now += 2
        with progress.timing("label"):
            clock.now += 4
    zeros = {"read": 0, "fit": 0, "publish": 0}
    assert progress.seconds() == zeros | {"label": 4, "score": 2, "write": 7, "total": 7}


def test_a_phase_in_two_parts_counts_both_and_one_that_goes_on_counts_so_far(progress, clock):
    with progress.phase("write"):
        clock.now += 1
    clock.now += 10
    with progress.phase("write"):
        clock.now += 2
        assert progress.seconds()["write"] == 3
    assert progress.seconds() == dict.fromkeys(("read", "fit", "label", "score", "publish"), 0) | {
        "write": 3,
        "total": 13,
    }


def test_time_in_which_several_threads_do_the_same_counts_once(progress, clock):
    with progress.timing("label"):
        clock.now += 1
        with progress.timing("label"):
            clock.now += 1
        clock.now += 1
    assert progress.seconds()["label"] == 3


def test_the_time_that_items_take_to_come_is_counted_apart_from_their_use(progress, clock):
    def items():
        for item in (1, 2, 3):
            clock.now += 1
            yield item

    with progress.phase("write"):
        for _ in progress.timed("label", items()):
            clock.now += 10
    assert (progress.seconds()["label"], progress.seconds()["write"]) == (3, 33)


def test_rows_told_by_many_threads_at_once_are_all_counted(progress, clock):
    together = Barrier(8)

    def advance(phase: Phase) -> None:
        together.wait()
        for _ in range(2000):
            phase.advance(3)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with progress.phase("label") as phase, ThreadPoolExecutor(8) as pool:
            clock.now += 1
            for done in [pool.submit(advance, phase) for _ in range(8)]:
                done.result()
        assert phase.rows == 8 * 2000 * 3
    finally:
        sys.setswitchinterval(before)


def test_what_happens_and_what_is_wrong_are_lines_of_their_own(progress, capsys):
    progress.log("dropped a table", table="a b", n=3, text="é", empty="")
    progress.warn("column gender = one value")
    assert told(capsys) == [
        ("info", "dropped a table", 'table="a b" n=3 text=é empty="" segmentation=shop'),
        ("warning", "column gender = one value", "segmentation=shop"),
    ]


def test_without_a_terminal_nothing_that_draws_is_loaded():
    script = """
import sys
from segjob.progress import Progress
progress = Progress("shop")
with progress.phase("read") as phase:
    phase.advance(1)
print([name for name in ("rich", "structlog") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert "read  seconds=" in done.stderr
