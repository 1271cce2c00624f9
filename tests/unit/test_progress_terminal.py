"""What a person sees of a run on a terminal."""

from __future__ import annotations

import os
import sys

import pytest

from segjob.progress.terminal import duration
from tests.screen import Watched, watch

STAGE = """
import sys, time
from segjob.progress import Progress
progress = Progress("shop")
def pause():
    time.sleep(0.6)  # two pictures of the display
"""
PLAY = (
    STAGE
    + """
with progress.phase("read", expected_rows=400) as phase:
    phase.advance(100)
    progress.warn("a column is [constant]")
    time.sleep(1.2)  # past the first second, in which nothing is forecast
    phase.advance(300)
    pause()
with progress.phase("fit") as phase:
    phase.note(full_passes=4)
with progress.phase("write", expected_rows=10) as phase, progress.phase("score"):
    pause()
    print("a line of somebody else", file=sys.stderr)
    phase.advance(1000)
    pause()
print("the result")
"""
)


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory):
    """Run a script whose stderr is a terminal."""
    folder = tmp_path_factory.mktemp("play")

    def run(script: str, columns: int = 100, **variables: str) -> Watched:
        known = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        settled = {**known, "TERM": "xterm-256color", "LANG": "C.UTF-8", **variables}
        return watch([sys.executable, "-c", script], folder, settled, columns)

    return run


def words(line: str) -> str:
    """A line without what differs from run to run."""
    return " ".join("N" if any(letter.isdigit() for letter in word) else word for word in line.split())


@pytest.fixture(scope="module")
def played(play) -> Watched:
    watched: Watched = play(PLAY)
    assert watched.returncode == 0, watched.screen.text
    return watched


def test_finished_phases_stay_as_one_line_each_and_nothing_else_does(played):
    assert [words(line) for line in played.screen.text.splitlines()] == [
        "shop",
        "warning: a column is [constant]",
        "read N s N rows at N",
        "fit N s N full passes",
        "a line of somebody else",
        "score N s",
        "write N s N rows at N",
    ]
    assert not played.screen.cursor_hidden


def test_the_result_is_all_that_comes_out_of_stdout(played):
    assert played.stdout == "the result\n"


def test_a_running_phase_shows_a_bar_its_share_and_what_remains(played):
    last = [screen.splitlines()[-1] for screen in played.seen if screen]
    assert any("100 rows at" in line and "25 %" in line and line.endswith("s left") for line in last), last
    assert any("400 rows at" in line and line.endswith("100 %") for line in last), last


def test_two_phases_that_go_on_at_once_have_a_line_each(played):
    assert any([line.split()[0] for line in screen.splitlines()[-2:]] == ["write", "score"] for screen in played.seen)


def test_more_rows_than_were_expected_show_neither_a_share_nor_a_time(played):
    lines = [line for screen in played.seen for line in screen.splitlines() if "1,000 rows" in line]
    assert len(lines) > 1
    assert not any("%" in line or "left" in line for line in lines)


def test_a_phase_that_fails_ends_its_line_and_gives_the_cursor_back(play):
    watched = play(STAGE + 'with progress.phase("write") as phase:\n    phase.advance(5)\n    raise SystemExit(3)')
    assert watched.returncode == 3
    assert watched.screen.text.splitlines()[-1].endswith("not finished")
    assert not watched.screen.cursor_hidden


def test_every_line_fits_a_narrow_terminal(play):
    script = """
with progress.phase("read", expected_rows=40_000_000) as phase:
    phase.advance(10_000_000)
    time.sleep(1.4)  # past the first second, in which nothing is forecast
"""
    watched = play(STAGE + script, columns=50)
    running = [line for screen in watched.seen for line in screen.splitlines() if " 25 %" in line]
    assert running
    assert all(len(line) <= 50 for screen in watched.seen for line in screen.splitlines()), watched.screen.text


def test_no_color_leaves_only_bold_and_faint(play, played):
    assert set(played.screen.styles) - {"0", "1", "2"}
    script = (
        STAGE + 'with progress.phase("read", 10) as phase:\n    phase.advance(5)\n    progress.warn("one")\n    pause()'
    )
    watched = play(script, NO_COLOR="1")
    assert " 50 %" in "".join(watched.seen)
    assert set(watched.screen.styles) <= {"0", "1", "2"}


def test_a_dumb_terminal_gets_log_lines(play):
    watched = play(STAGE + 'with progress.phase("read") as phase:\n    phase.advance(1)', TERM="dumb")
    assert "[info] read  seconds=" in watched.screen.text
    assert watched.screen.styles == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (7, "7 s"), (60, "1:00"), (185.9, "3:05"), (3723.0, "1:02:03")],
)
def test_seconds_as_a_person_reads_them(seconds, shown):
    assert duration(seconds) == shown
