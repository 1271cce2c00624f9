"""What no single key can tell: names that collide in the database, and what this release does not do yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from segjob.config.problems import Problem
from segjob.config.settings import Settings

SHARED_OBJECTS = ("segmentation", "version", "run", "gate", "transition", "publication", "k_candidate")
"""Views that every installation has in the analysts' schema, whatever is segmented."""

OWN_SUFFIXES = ("", "_profile", "_centroid", "_segment", "_history", "_unlabelled", "_as_of", "_assign")
"""What each segmentation has there under its own name. In the private schema every name of a segmentation follows
`label_`, `membership_` or `placed_`, which no other object there begins with."""


@dataclass(frozen=True)
class NotYet:
    """A key that the contract has and this release does not: refused when set, never ignored."""

    key: str
    sentence: str
    refused: Callable[[Any], bool] = lambda value: value is not None and value is not False


ANY_SEGMENTATION = "segmentations.*"
NOT_YET = (NotYet(f"{ANY_SEGMENTATION}.parallel_safe", "this release reads a view or query in one stream"),)


def broken_rules(settings: Settings) -> Iterator[Problem]:
    """Yield everything that is wrong with a configuration whose keys are valid one by one."""
    yield from colliding_names(settings)
    yield from not_yet(settings)


def colliding_names(settings: Settings) -> Iterator[Problem]:
    """Yield each segmentation whose views or functions would have the name of another object."""
    schema = settings.database.public_schema
    owners = dict.fromkeys(SHARED_OBJECTS)
    for name in sorted(settings.segmentations, key=len):
        own = [f"{name}{suffix}" for suffix in OWN_SUFFIXES]
        taken = next((other for other in own if other in owners), None)
        if taken is not None:
            owner = f"the segmentation {owners[taken]}" if owners[taken] else "the job itself"
            sentence = f"would make a second {schema}.{taken}, which {owner} has already; rename the segmentation"
            yield Problem(("segmentations", name), sentence)
        owners.update(dict.fromkeys(own, name))


def not_yet(settings: Settings) -> Iterator[Problem]:
    """Yield each key that is set and belongs to a later release."""
    for rule in NOT_YET:
        for path, value in keys_set(settings, tuple(rule.key.split("."))):
            if rule.refused(value):
                yield Problem(path, f"not yet: {rule.sentence}")


def keys_set(model: BaseModel, pattern: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield path and value of every key that somebody set and that fits the pattern; `*` is any name."""
    name, *rest = pattern
    if name not in model.model_fields_set:
        return
    value = getattr(model, name)
    if not rest:
        yield (name,), value
        return
    named = value.items() if rest[0] == "*" else [(None, value)]
    for key, inner in named:
        above = (name,) if key is None else (name, key)
        below = tuple(rest) if key is None else tuple(rest[1:])
        for path, found in keys_set(inner, below):
            yield (*above, *path), found
