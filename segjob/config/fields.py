"""The kinds of value that the configuration is made of, each with the sentence that a wrong one gets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)

EMBEDDED = "embedded:"
MOST_CLUSTERS = 100  # of a range: every number in it is tried
SEGMENTATION_NAME = r"^[a-z][a-z0-9_]{0,39}$"
SCHEMA_NAME = r"^[a-z_][a-z0-9_]{0,62}$"
PARAMETER_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
COLOR = r"^#[0-9a-fA-F]{6}$"
PATTERNS = {
    SEGMENTATION_NAME: "a segmentation's name is a small letter, then at most 39 small letters, digits and underscores",
    SCHEMA_NAME: "a schema's name is made of small letters, digits and underscores, at most 63, so that nobody needs "
    "to quote it",
    PARAMETER_NAME: "a parameter's name is made of letters, digits and underscores and does not begin with a digit",
    COLOR: 'must be a colour such as "#1b9e77", in quotes',
}


class Model(BaseModel):
    """A part of the file: unknown keys are refused, nothing changes after loading, no value shows in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


def folder_of_the_file(info: ValidationInfo) -> Path:
    """Return the folder that relative paths of the configuration start from."""
    return Path((info.context or {}).get("folder", ".")).absolute()


# Text


def without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not hold a NUL character")
    return text


def absent_when_empty(value: Any) -> Any:
    """Treat empty text as absent, so that `${VAR:-}` switches an optional value off."""
    return None if isinstance(value, str) and not value.strip() else value


Text = Annotated[str, StringConstraints(min_length=1), AfterValidator(without_nul)]
OptionalText = Annotated[Text | None, BeforeValidator(absent_when_empty)]
SegmentationName = Annotated[str, StringConstraints(pattern=SEGMENTATION_NAME)]
ParameterName = Annotated[str, StringConstraints(pattern=PARAMETER_NAME)]
Color = Annotated[str, StringConstraints(pattern=COLOR)]


def usable_schema(name: str) -> str:
    if name.startswith("pg_") or name == "information_schema":
        raise ValueError(f"{name} belongs to Postgres itself; choose another name")
    return name


SchemaName = Annotated[str, StringConstraints(pattern=SCHEMA_NAME), AfterValidator(usable_schema)]


# Numbers


def not_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {str(value).lower()}")
    return value


Count = Annotated[int, Field(ge=1), BeforeValidator(not_boolean)]
Several = Annotated[int, Field(ge=2, le=MOST_CLUSTERS), BeforeValidator(not_boolean)]
Seed = Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(not_boolean)]
Number = Annotated[float, BeforeValidator(not_boolean)]
PositiveNumber = Annotated[float, Field(gt=0), BeforeValidator(not_boolean)]
Threshold = Annotated[float, Field(ge=0), BeforeValidator(not_boolean)]
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(not_boolean)]


def at_least_a_mebibyte(size: int) -> int:
    if size < 2**20:
        raise ValueError("must be at least 1MiB; a number without a unit counts bytes")
    return size


MemorySize = Annotated[
    ByteSize,
    BeforeValidator(not_boolean),
    AfterValidator(at_least_a_mebibyte),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 2**20},
                {"type": "string", "pattern": r"^\d+(\.\d+)?\s*([kmgtKMGT]([iI]?[bB])?|[bB])?$"},
            ]
        }
    ),
]


def two_quantiles(value: Any) -> Any:
    if value is not None and (not isinstance(value, (list, tuple)) or len(value) != 2):
        raise ValueError("must be [low, high], two quantiles such as [0.001, 0.999]")
    return value


def ascending(clip: tuple[float, float] | None) -> tuple[float, float] | None:
    if clip is not None and not 0 <= clip[0] < clip[1] <= 1:
        raise ValueError(f"must be [low, high] with 0 <= low < high <= 1, not [{clip[0]:g}, {clip[1]:g}]")
    return clip


Clip = Annotated[tuple[Number, Number] | None, BeforeValidator(two_quantiles), AfterValidator(ascending)]


# Where things are


def server_url(value: Any, info: ValidationInfo) -> Any:
    """Turn what people write into what libpq reads: without the driver of a SQLAlchemy URL, embedded:PATH absolute."""
    url = value.get_secret_value() if isinstance(value, SecretStr) else absent_when_empty(value)
    if url is None:
        return None
    if not isinstance(url, str):
        raise ValueError("must be text; put it in quotes")
    if url.startswith(EMBEDDED):
        return f"{EMBEDDED}{folder_of_the_file(info) / embedded_path(url)}"
    match = re.fullmatch(r"postgres(?:ql)?(?:\+\w+)?://(.*)", url.strip(), re.DOTALL)
    if match is None:
        raise ValueError("must begin with postgresql://, postgres:// or embedded:")
    return f"postgresql://{match[1]}"


def embedded_path(url: str) -> str:
    path = url.removeprefix(EMBEDDED).strip()
    if not path:
        raise ValueError("embedded: names no folder; write embedded:.segjob/postgres, for example")
    return path


ServerUrl = Annotated[SecretStr | None, BeforeValidator(server_url)]


@dataclass(frozen=True)
class QueryFile:
    """A query that lies in a file of its own, read when the configuration is loaded."""

    path: Path
    text: str


def read_query_file(value: Any, info: ValidationInfo) -> QueryFile | None:
    value = absent_when_empty(value)
    if value is None or isinstance(value, QueryFile):
        return value
    if not isinstance(value, str):
        raise ValueError("must be the path of a file")
    path = folder_of_the_file(info) / value
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"can not read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8") from None
    if not text.strip():
        raise ValueError(f"{path} is empty")
    return QueryFile(path, text)


QueryFileField = Annotated[
    QueryFile | None,
    PlainValidator(read_query_file),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]}),
]


def folder(value: Any, info: ValidationInfo) -> Any:
    value = absent_when_empty(value)
    return folder_of_the_file(info) / value if isinstance(value, str) else value


Folder = Annotated[Path | None, BeforeValidator(folder)]


# Parameters of a query


def scalar(value: Any) -> Any:
    if value is not None and not isinstance(value, (str, int, float, date)):
        raise ValueError("must be one value: text, a number, true, false, a date or null")
    return value


Parameter = Annotated[Any, AfterValidator(scalar), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]
