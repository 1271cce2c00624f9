"""The JSON Schema of `segjob.yaml`, for editors and for checks in CI."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

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
    return {
        "$schema": WithoutTitles.schema_dialect,
        **schema,
        "title": "segjob.yaml",
        "description": DESCRIPTION,
        "patternProperties": {"^x-": {}},
    }
