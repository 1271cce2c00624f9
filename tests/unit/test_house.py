"""The rules of the house that no tool holds by itself."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "segjob").rglob("*.py"))
LONGEST_FUNCTION = 60
LONGEST_FILE = 400
VAGUE = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}

# Each in two parts, so that this file does not find itself.
OF_A_MACHINE = ["/" + "root/", "/" + "home/", "/tmp" + "/w/", "/" + "work/"]
OF_AN_INDEX = ["pypi" + ".org", "files.python" + "hosted", "download.py" + "torch"]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Every function with the number of its lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            yield node.name, node.end_lineno - node.lineno + 1


def tracked_files() -> list[Path]:
    """What belongs to the project: in git, or not there yet and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_files_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE
    assert [(name, length) for name, length in functions(path) if length > LONGEST_FUNCTION] == []


def test_most_functions_are_very_short() -> None:
    lengths = sorted(length for path in SOURCES for _, length in functions(path))
    assert lengths[len(lengths) // 2] <= 10
    assert lengths[len(lengths) * 9 // 10] <= 25


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [named(path) for path in SOURCES if path.stem in VAGUE] == []


def test_only_the_configuration_reads_the_environment() -> None:
    readers = [path for path in SOURCES if re.search(r"\bos\.(environ|getenv)\b|\bgetenv\b", path.read_text())]
    assert {path.relative_to(ROOT / "segjob").parts[0] for path in readers} <= {"config"}


def test_nothing_that_is_read_can_run() -> None:
    """Neither pickles nor their kin, nor text as a program: what is read are numbers and text."""
    words = re.compile(
        r"\b(pickle|cPickle|dill|cloudpickle|joblib|marshal|shelve)\b|torch\.load\b|allow_pickle=True"
        r"|yaml\.(unsafe_|full_)?load\(|read_pickle|\beval\(|\bexec\(|shell=True|os\.system"
    )
    assert [named(path) for path in SOURCES if words.search(path.read_text())] == []


def test_only_the_log_asks_this_machine_for_the_time_of_day() -> None:
    """What is written down has the server's time; durations and deadlines are of a clock that never jumps."""
    asking = re.compile(r"\btime\.(time|time_ns|localtime|gmtime)\(|\bdatetime\.(now|utcnow|today)\(|\bdate\.today\(")
    assert [named(path) for path in SOURCES if asking.search(path.read_text())] == ["segjob/progress/log.py"]


def test_no_check_is_switched_off() -> None:
    switched_off = re.compile(r"#\s*(noqa|type:\s*ignore|pragma:\s*no cover)")
    assert [named(path) for path in SOURCES if switched_off.search(path.read_text())] == []


@pytest.mark.parametrize("trace", OF_A_MACHINE + OF_AN_INDEX)
def test_the_project_speaks_of_itself_alone(trace: str) -> None:
    """No path of the machine it was made on, and no host that packages come from: both belong to who runs it."""
    pattern = re.compile(rf"(?<![\w.$}}-]){re.escape(trace)}" if trace.startswith("/") else re.escape(trace))
    found = [named(path) for path in tracked_files() if pattern.search(path.read_text(errors="replace"))]
    assert found == []
