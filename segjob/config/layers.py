"""Values from several places laid over each other, with the memory of where each one comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from segjob.config.problems import Place

PREFIX = "segjob__"


@dataclass
class Layer:
    """Values that take precedence, nested as in the file, each with the words that say where it comes from."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Place, str] = field(default_factory=dict)
    secret: set[Place] = field(default_factory=set)

    def put(self, place: Place, value: Any, origin: str, secret: bool = False) -> None:
        nested = value
        for part in reversed(place):
            nested = {part: nested}
        self.values = overlaid(self.values, nested)
        self.origins[place] = origin
        if secret:
            self.secret.add(place)


def place_of_variable(name: str) -> Place | None:
    """Return the place in the file that a variable sets, as SEGJOB__DATABASE__URL sets database.url."""
    folded = name.lower()
    if folded == "database_url":
        return ("database", "url")
    return tuple(folded.removeprefix(PREFIX).split("__")) if folded.startswith(PREFIX) else None


def structured(text: str) -> Any:
    """Read a list or mapping out of a variable; anything else stays text, and its field makes a number of it."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text


def leaves(values: Mapping[str, Any], place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield the given options; one that is None was not given."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*place, name))
        elif value is not None:
            yield (*place, name), value


# Merging


def overlaid(lower: Any, upper: Any) -> Any:
    """Put one tree over another; names of variables find the keys of the file in any case."""
    if not (isinstance(lower, Mapping) and isinstance(upper, Mapping)):
        return upper
    result = dict(lower)
    for name, value in upper.items():
        known = same_name(result, name)
        result[known] = overlaid(result.get(known), value)
    return result


def uncovered(lower: Any, upper: Any) -> Any:
    """Return the tree with None for what `overlaid` would replace: its variables need not be set."""
    if not (isinstance(lower, Mapping) and isinstance(upper, Mapping)):
        return lower
    above = {same_name(lower, name): value for name, value in upper.items()}
    replaced = {name for name, value in above.items() if not isinstance(value, Mapping)}
    return {name: None if name in replaced else uncovered(value, above.get(name)) for name, value in lower.items()}


def same_name(names: Mapping[Any, Any], name: Any) -> Any:
    return next((known for known in names if str(known).casefold() == str(name).casefold()), name)


def related(one: Place, other: Place) -> bool:
    """Tell whether one place is the other, lies in it or around it."""
    return all(str(a).casefold() == str(b).casefold() for a, b in zip(one, other, strict=False))


def holds(tree: Any, place: Place) -> bool:
    for part in place:
        if not isinstance(tree, Mapping) or part not in tree:
            return False
        tree = tree[part]
    return True
