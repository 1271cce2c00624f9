"""`segjob.yaml` as YAML: read with every mistake at its line, and `${VAR}` replaced in its values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from segjob.config.problems import Place, Problem, written
from segjob.errors import ConfigurationError


class Loader(yaml.SafeLoader):
    """The safe loader; a scalar that looks like a date or a number and is none is an error with a line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None


def read_document(file: Path) -> dict[str, Any]:
    """Read the file as it is written, without the keys at the top that begin with `x-` or have nothing below them.

    Raises
    ------
    ConfigurationError
        When the file can not be read or is not YAML, when a key is given twice, when it is not a mapping.
    """
    document = parsed(text_of(file), file)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigurationError(f"{file}: must be a mapping with database, resources and segmentations")
    return {key: value for key, value in document.items() if value is not None and not str(key).startswith("x-")}


def text_of(file: Path) -> str:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            f"{file}: there is no such file; write one with `segjob init`, or name another with --config"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{file}: can not be read: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}:{content[: error.start].count(10) + 1}: is not UTF-8") from None


def parsed(text: str, file: Path) -> Any:
    """Parse YAML; every error becomes one sentence with file and line."""
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        found = [f"{file}:{line}: {sentence}" for line, sentence in mistakes(node)]
        if found:
            raise ConfigurationError("\n".join(found))
        return loader.construct_document(node)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise ConfigurationError(f"{file}:{line}: not valid YAML: {error.reason}") from None
    except yaml.MarkedYAMLError as error:
        raise ConfigurationError(f"{file}:{sentence_of(error, text.splitlines())}") from None


def sentence_of(error: yaml.MarkedYAMLError, lines: list[str]) -> str:
    """Say in which line the parser stopped, why, and where that began when it is another line."""
    begin, end = error.context_mark, error.problem_mark or error.context_mark
    began = f", {error.context} that begins in line {begin.line + 1}" if begin and end and begin.line < end.line else ""
    line = end.line if end else 0
    unquoted = line < len(lines) and re.search(r"[\[{,].*\$\{", lines[line])
    hint = '; within [ ] and { } write "${VAR}" in quotes' if unquoted else ""
    return f"{line + 1}: not valid YAML: {error.problem or error.context}{began}{hint}"


def mistakes(node: yaml.Node, place: Place = (), above: tuple[int, ...] = ()) -> Iterator[tuple[int, str]]:
    """Yield line and sentence of what YAML itself lets pass: a key given twice, an anchor within itself."""
    if id(node) in above:
        yield node.start_mark.line + 1, "an anchor is used within itself"
        return
    above = (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from mistakes(item, (*place, index), above)
    if isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            line, name = key.start_mark.line + 1, str(key.value)
            if (key.tag, name) in lines:
                yield line, f"{written((*place, name))} is given twice, first in line {lines[key.tag, name]}"
            lines.setdefault((key.tag, name), line)
            yield from mistakes(value, (*place, name), above)


# ${VAR}

VARIABLE = re.compile(
    r"""
    (?P<dollar> \$\$ )
    | \$\{ (?P<name> [A-Za-z_][A-Za-z0-9_]* ) (?: :- (?P<default> (?: [^}$] | \$(?!\{) )* ) )? \}
    | (?P<malformed> \$\{ )
    """,
    re.VERBOSE,
)

Lookup = Callable[[str], str | None]


def interpolated(text: str, lookup: Lookup) -> str:
    """Replace `${VAR}`, `${VAR:-default}` (unset or empty) and `$$` (one dollar); a dollar alone stays.

    What a variable holds is taken as it is. Raises ValueError with a sentence for an unset variable.
    """

    def replacement(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["malformed"]:
            raise ValueError("a ${ must be ${VAR} or ${VAR:-default}; write $${ for a dollar and a brace")
        value = lookup(match["name"])
        if match["default"] is not None:
            return value or match["default"].replace("$$", "$")
        if value is None:
            raise ValueError(
                f"the variable {match['name']} is not set; set it, or give a default with ${{{match['name']}:-…}}"
            )
        return value

    return VARIABLE.sub(replacement, text)


@dataclass
class Interpolation:
    """Replaces variables all over a document, and remembers where, and what could not be replaced."""

    lookup: Lookup
    problems: list[Problem] = field(default_factory=list)
    replaced: set[Place] = field(default_factory=set)

    def apply(self, value: Any, place: Place = ()) -> Any:
        if isinstance(value, dict):
            return {key: self.apply(inner, (*place, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.apply(inner, (*place, index)) for index, inner in enumerate(value)]
        if not isinstance(value, str) or "$" not in value:
            return value
        self.replaced.add(place)
        try:
            return interpolated(value, self.lookup)
        except ValueError as error:
            self.problems.append(Problem(place, str(error)))
            return value
