"""The JSON Schema of `segjob.yaml`, for editors and for checks in CI."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from segjob.config.rules import NOT_YET
from segjob.config.settings import Settings

DESCRIPTION = (
    "The configuration of segjob. A value may be text with ${VAR} or ${VAR:-default}, also where a number is expected; "
    "this schema is strict and accepts that only where text is valid. Keys at the top that begin with x- are ignored."
)


class WithoutTitles(GenerateJsonSchema):
    """A title would only repeat the key."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema: every key with its type, its default and what it means."""
    schema = Settings.model_json_schema(schema_generator=WithoutTitles)
    for rule in NOT_YET:
        key = property_at(schema, rule.key.split("."))
        key["description"] += f" Not yet: {rule.sentence}."
    return {
        "$schema": WithoutTitles.schema_dialect,
        **schema,
        "title": "segjob.yaml",
        "description": DESCRIPTION,
        "patternProperties": {"^x-": {}},
    }


def property_at(schema: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """Follow a path of keys through `$ref`; `*` is any name of a mapping."""
    part: dict[str, Any] = schema
    for name in path:
        definition = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        part = next(iter(definition["patternProperties"].values())) if name == "*" else definition["properties"][name]
    return part
