"""What is wrong with a configuration, in sentences: the place, what was expected, the nearest valid name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from segjob.config.fields import PATTERNS
from segjob.spelling import nearest, nearest_name

Place = tuple[str | int, ...]
"""Keys and list indices that lead to a value of the configuration."""

SENTENCES = {
    "missing": "is missing",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le:g}",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text, in quotes if it looks like something else",
    "string_too_short": "must not be empty",
    "string_unicode": "must be valid Unicode text",
    "dict_type": "must be a mapping, with a name and a value on each line",
    "model_type": "must be a mapping, with a name and a value on each line",
    "tuple_type": "must be a list",
    "too_short": "must have at least {min_length} entry",
    "byte_size": "must be a size such as 1GiB or 900MB",
    "byte_size_unit": "must be a size such as 1GiB or 900MB",
}
SHOW_VALUE = frozenset(SENTENCES) - {"missing", "string_too_short", "string_unicode", "too_short"} | {"literal_error"}
MAPPINGS_BY_ID = ("names", "colors")  # their keys are numbers, and no indices of a list


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where in the configuration."""

    place: Place
    sentence: str


def written(place: Place) -> str:
    """Write a place as people do: `segmentations.shop.features[2].weight`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def problems_of(error: ValidationError, model: type[BaseModel], secret: Callable[[Place], bool]) -> list[Problem]:
    """Say in sentences what a model refused; the value is shown unless its place is secret.

    A missing key is left out when an unknown one beside it was probably meant to be it: that is one mistake.
    """
    details = error.errors(include_url=False)
    meant = {
        (*place_of(detail)[:-1], close)
        for detail in details
        if detail["type"] == "extra_forbidden" and (close := nearest_name(*unknown(detail, model))) is not None
    }
    return [
        Problem(place_of(detail), sentence_of(detail, model, secret))
        for detail in details
        if not (detail["type"] == "missing" and place_of(detail) in meant)
    ]


def place_of(detail: ErrorDetails) -> Place:
    """Return the place in the file: without the marks that pydantic sets for keys and for kinds of a union."""
    parts = detail["loc"]
    return tuple(
        str(part) if before in MAPPINGS_BY_ID else part
        for before, part in zip(("", *parts), parts, strict=False)
        if part != "[key]" and not (before == "n_clusters" and part in ("number", "range"))
    )


def sentence_of(detail: ErrorDetails, model: type[BaseModel], secret: Callable[[Place], bool]) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key; {nearest(*unknown(detail, model))}"
        case "value_error":
            return str(context["error"])
        case "string_pattern_mismatch":
            return PATTERNS[context["pattern"]]
        case "literal_error":
            sentence = one_of(re.findall(r"'([^']*)'", context["expected"]), detail["input"])
        case kind:
            sentence = SENTENCES.get(kind, detail["msg"]).format(**context)
    shown = detail["type"] in SHOW_VALUE and not secret(place_of(detail))
    return f"{sentence}, not {displayed(detail['input'])}" if shown else sentence


def one_of(valid: list[str], value: Any) -> str:
    close = nearest_name(value, valid) if isinstance(value, str) else None
    *others, last = valid
    choice = f"{', '.join(others)} or {last}" if others else last
    return f"must be {choice}" + (f" (did you mean {close}?)" if close else "")


def displayed(value: Any) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
    text = str(value)
    return f"'{text[:40]}…'" if len(text) > 40 else f"'{text}'" if isinstance(value, str) else text


# Which keys are valid at a place


def unknown(detail: ErrorDetails, model: type[BaseModel]) -> tuple[str, list[str]]:
    """Return an unknown key and the keys that are valid beside it."""
    *above, name = place_of(detail)
    return str(name), list(fields_of(model_at(tuple(above), model)))


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def model_at(place: Place, model: type[BaseModel]) -> type[BaseModel]:
    """Follow a place through the models; the element after a list or a mapping of names is no key of ours."""
    parts = iter(place)
    for part in parts:
        annotation = fields_of(model)[str(part)]
        model = next(models_in(annotation), model)
        if get_origin(annotation) in (dict, tuple):
            next(parts, None)
    return model


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)
