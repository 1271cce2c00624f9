"""How a page gets into a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segjob.errors import ConfigurationError, TryAgain
from segjob.report import write


def test_a_page_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    write("<p>é</p>", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text("utf-8") == "<p>é</p>"
    assert os.listdir(tmp_path) == ["report.html"]


def test_others_may_read_it_as_the_umask_says(tmp_path: Path) -> None:
    write("page", tmp_path / "report.html")
    (tmp_path / "other").touch()
    assert (tmp_path / "report.html").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_an_older_page_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write("a long old page", path)
    with path.open() as reader:
        write("new", path)
        assert reader.read() == "a long old page"
    assert path.read_text() == "new"


def test_a_page_that_fails_half_way_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write("old", path)
    with pytest.raises(UnicodeEncodeError):
        write("new \ud800", path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "latest.html").symlink_to(tmp_path / "report.html")
    write("page", tmp_path / "latest.html")
    assert (tmp_path / "latest.html").is_symlink()
    assert (tmp_path / "report.html").read_text() == "page"


@pytest.mark.parametrize(
    ("below", "reason"),
    [
        ("missing/report.html", "No such file or directory"),
        ("file/report.html", "Not a directory"),
        ("folder", "Is a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_an_unwritable_path_is_one_clear_sentence(tmp_path: Path, below: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as raised:
        write("page", tmp_path / below)
    assert raised.value.exit_code == 78
    expected = (
        f"The report can not be written to {tmp_path / below}: {reason}; give a file in a folder you may write to"
    )
    assert str(raised.value) == f"{expected} with --out."
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_full_disk_may_be_tried_again() -> None:
    with pytest.raises(TryAgain, match="No space left on device"):
        write("page", Path("/dev/full"))


def test_a_device_is_written_to_and_not_replaced() -> None:
    write("page", Path(os.devnull))
    assert Path(os.devnull).is_char_device()
