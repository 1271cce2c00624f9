"""The documentation says what the program is: no command, option, key or code is missing, and none is invented."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from segjob import errors
from segjob.cli import app
from segjob.config import config_schema, load
from tests.markdown import ROOT, Page, codes, named, page, pages

COMMANDS: dict[str, Any] = vars(get_command(app))["commands"]
SCHEMA = config_schema()
TYPES = {
    "string": ("text", "path", "size", "`"),
    "integer": ("whole number", "size"),
    "number": ("number",),
    "boolean": ("true or false",),
    "array": ("list",),
    "object": ("mapping",),
}


# Links, and commands of the shell


@pytest.mark.parametrize("one", pages(), ids=named)
def test_every_link_leads_somewhere(one: Page) -> None:
    for target in one.links():
        path, _, heading = target.partition("#")
        reached = (one.path.parent / path).resolve() if path else one.path
        assert reached.exists(), target
        if heading:
            assert heading in Page(reached).anchors(), target


def test_every_page_can_be_reached_from_the_readme() -> None:
    waiting, reached = [ROOT / "README.md"], set()
    while waiting:
        one = waiting.pop()
        if one not in reached:
            reached.add(one)
            found = ((one.parent / link.partition("#")[0]).resolve() for link in Page(one).links())
            waiting += [path for path in found if path.suffix == ".md"]
    assert {one.path for one in pages()} - reached == set()


def shell_lines(one: Page) -> Iterator[list[str]]:
    """The commands of a page as words, without assignments before them, redirections and comments."""
    typed = [line for block in one.blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    typed += [line[2:] for block in one.blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    for line in typed:
        words = shlex.split(line.partition(" #")[0].partition(" > ")[0])
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        if words:
            yield words


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {words[1] for one in pages() for words in shell_lines(one) if words[0] == "make"}
    assert {"demo", "test"} <= {words[1] for words in shell_lines(page("README.md")) if words[0] == "make"}
    assert shown <= targets


@pytest.mark.parametrize("one", pages(), ids=named)
def test_every_segjob_command_that_is_shown_can_be_typed(one: Page) -> None:
    for words in shell_lines(one):
        if Path(words[0]).name == "segjob":
            command = next((word for word in words if word in COMMANDS), None)
            known = {"--help", "--version", "--config", "--database-url"} | (options(command) if command else set())
            assert command or "--version" in words, words
            assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, words


@pytest.mark.parametrize("one", pages(), ids=named)
def test_every_configuration_that_is_shown_is_valid(one: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example.com/shop")
    for block in one.blocks("yaml"):
        if "segmentations:" in block:
            file = tmp_path / "segjob.yaml"
            file.write_text(block)
            assert load(file).segmentations


def test_the_roles_that_are_shown_are_those_of_the_script() -> None:
    assert (ROOT / "sql" / "roles.sql").read_text() in page("docs/how-to/roles.md").blocks("sql")


# docs/reference/commands.md


def options(command: str) -> set[str]:
    found = (opt for param in COMMANDS[command].params if param.param_type_name == "option" for opt in param.opts)
    return {opt for opt in found if opt.startswith("--")} - {"--help"}


def section_of(command: str) -> str:
    headings = page("docs/reference/commands.md").sections()
    return next(heading for heading in headings if re.match(rf"`segjob {command}[ `]", heading))


def test_every_command_and_option_has_help() -> None:
    for command in COMMANDS.values():
        assert command.help
        assert [param.name for param in command.params if not param.help and param.name != "help"] == []


def test_the_commands_are_the_documented_ones() -> None:
    headings = page("docs/reference/commands.md").sections()
    documented = [found[1] for heading in headings if (found := re.match(r"`segjob ([a-z-]+)", heading))]
    assert sorted(documented) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_stands_in_its_section_and_no_other(command: str) -> None:
    commands, heading = page("docs/reference/commands.md"), section_of(command)
    also = re.search(r"^Also: (.*)\.$", commands.sections()[heading], re.MULTILINE)
    documented = [codes(row[0])[0] for row in commands.rows(heading)] + codes(also[1] if also else "")
    assert sorted(documented) == sorted(options(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_defaults_and_arguments_are_the_documented_ones(command: str) -> None:
    heading = section_of(command)
    rows = {codes(row[0])[0]: row for row in page("docs/reference/commands.md").rows(heading)}
    for param in COMMANDS[command].params:
        if param.param_type_name == "argument":
            shown = param.name.upper().replace("NAMES", "NAME…")
            assert (shown if param.required or shown.endswith("…") else f"[{shown}]") in heading
        elif param.default not in (None, False) and param.opts[0] in rows:
            assert codes(rows[param.opts[0]][1]) == [str(param.default)]


# docs/reference/configuration.md


def schema_keys(part: dict[str, Any], above: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Every key of the schema with its place, what the schema says of it, and whether it is required."""
    for name, value in part.get("properties", {}).items():
        place = f"{above}{name}"
        yield place, value, name in part.get("required", [])
        for below, inner in inner_parts(place, value):
            yield from schema_keys(inner, f"{below}.")


def inner_parts(place: str, value: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The mappings of ours that lie in a key, each with its place."""
    if references := re.findall(r"#/\$defs/(\w+)", str(value)):
        (name,) = set(references)
        suffix = {"Segmentation": ".<name>", "Feature": "[]"}.get(name, "")
        below = place.rpartition(".")[0] + ".<gate>" if name == "Gate" else f"{place}{suffix}"
        yield below, SCHEMA["$defs"][name]


KEYS = {place: (value, required) for place, value, required in schema_keys(SCHEMA)}


def documented_keys() -> dict[str, list[str]]:
    """Every row of every table of keys, by the whole place of its key."""
    configuration = page("docs/reference/configuration.md")
    above = {"The file": ""}
    above |= {heading: f"{codes(heading)[0]}." for heading in configuration.sections() if heading.startswith("`")}
    tables = ((start, configuration.rows(heading)) for heading, start in above.items())
    found = [(f"{start}{codes(row[0])[0]}", row) for start, rows in tables for row in rows]
    assert len(found) == len(dict(found))
    return dict(found)


def test_every_key_of_the_schema_is_documented_and_none_is_invented() -> None:
    assert sorted(documented_keys()) == sorted(KEYS)


@pytest.mark.parametrize("place", KEYS)
def test_the_default_of_a_key_is_the_documented_one(place: str) -> None:
    value, required = KEYS[place]
    default = documented_keys()[place][2]
    if required:
        assert default == "required"
    elif "$ref" in value:
        assert default == "as below"
    elif value["default"] is None:
        assert default.startswith("none")
    else:
        assert yaml.safe_load(codes(default)[0]) == value["default"]


@pytest.mark.parametrize("place", KEYS)
def test_the_type_of_a_key_is_the_documented_one(place: str) -> None:
    value, _ = KEYS[place]
    shown = documented_keys()[place][1]
    for choice in value.get("enum", []):
        assert f"`{choice}`" in shown
    for kind in {one["type"] for one in (value, *value.get("anyOf", ())) if "type" in one} - {"null"}:
        assert any(word in shown for word in TYPES[kind]), kind


# docs/reference/exit-codes.md


def test_the_exit_codes_are_those_of_the_errors() -> None:
    raised = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.SegjobError)]
    expected = {(str(one.exit_code), one.code, "yes" if one.retryable else "no") for one in raised}
    rows = page("docs/reference/exit-codes.md").rows("Exit codes")
    assert {(row[0], codes(row[1])[0], row[3]) for row in rows if row[1]} == expected
    assert {row[0] for row in rows if not row[1]} == {"0"}


def test_every_failure_that_the_guide_speaks_of_has_a_code() -> None:
    advised = {
        code for row in page("docs/how-to/failures.md").rows("What to do") for code in re.findall(r"\d+", row[0])
    }
    known = {row[0] for row in page("docs/reference/exit-codes.md").rows("Exit codes")}
    assert known - {"0", "3", "130"} <= advised
    assert advised <= known | {"137"}
