"""docs/reliability.md names a test for every fault and every input, and the tests that pages name are there."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.markdown import ROOT, codes, page, pages

RELIABILITY = page("docs/reliability.md")
TEST = re.compile(r"tests/[\w/]+\.py(?:::\w+)*")
UNTESTED = "**not tested**"
INPUTS = 32
UNNUMBERED = "–"


@cache
def functions(path: str) -> set[str]:
    """The names of all functions of a file, also of those in classes."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def named_tests() -> list[str]:
    found = ((one, test) for one in pages() for test in TEST.findall(one.text))
    return sorted({test for one, test in found if one == RELIABILITY or "::" in test})


def all_rows() -> list[list[str]]:
    return [row for heading in RELIABILITY.sections() for row in RELIABILITY.rows(heading)]


@pytest.mark.parametrize("test", named_tests())
def test_every_test_that_is_named_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert name.startswith("test_"), "a file alone is not the name of a test"
    assert name in functions(path)


def test_every_row_names_its_tests_or_says_that_there_is_none() -> None:
    for row in all_rows():
        tests = codes(row[-1])
        assert row[-1] == UNTESTED or row[-1] == ", ".join(f"`{test}`" for test in tests), row
        assert all(TEST.fullmatch(test) for test in tests), row


def test_every_input_of_the_list_has_its_rows() -> None:
    numbers = [int(row[0]) for row in RELIABILITY.rows("Bad input") if row[0] != UNNUMBERED]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, INPUTS + 1))
