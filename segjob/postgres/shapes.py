"""What the objects in the database were made for, and whether that is what is wanted now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, select, text

from segjob.errors import ConfigurationError
from segjob.postgres import tables
from segjob.postgres.connecting.connect import Schemas
from segjob.postgres.queries import query, quote
from segjob.records.source import FeatureColumn, KeyColumn

REVISION = "0001"
"""The newest migration, so that a run need not load Alembic to know it; a test holds it."""


@dataclass(frozen=True)
class Shape:
    """What the objects of one segmentation depend on."""

    segmentation: str
    keys: tuple[KeyColumn, ...]
    features: tuple[FeatureColumn, ...]

    def key_columns(self) -> list[dict[str, str]]:
        return [asdict(key) for key in self.keys]

    def feature_columns(self) -> list[dict[str, str]]:
        return [asdict(feature) for feature in self.features]


def stored_shape(connection: Connection, segmentation: str) -> Shape | None:
    """What the objects were made for; None if there are no objects yet."""
    table = tables.segmentation
    chosen = select(table.c.key_columns, table.c.feature_columns).where(table.c.segmentation == segmentation)
    row = connection.execute(chosen).one_or_none()
    if row is None:
        return None
    keys = tuple(KeyColumn(**key) for key in row.key_columns)
    return Shape(segmentation, keys, tuple(FeatureColumn(**feature) for feature in row.feature_columns))


def stored_keys(connection: Connection, segmentation: str) -> tuple[KeyColumn, ...]:
    """The key columns of a segmentation's labels."""
    stored = stored_shape(connection, segmentation)
    if stored is None:
        raise ConfigurationError(f"segmentation {segmentation} is new; run `segjob migrate`")
    return stored.keys


def has_version_table(connection: Connection, schemas: Schemas) -> bool:
    relation = f"{quote(schemas.private)}.alembic_version"
    return bool(connection.execute(query("has_relation"), {"relation": relation}).scalar_one())


def current_revision(connection: Connection, schemas: Schemas) -> str | None:
    """The revision that the database has; None before the first migration."""
    if not has_version_table(connection, schemas):
        return None
    return connection.execute(
        text(f"SELECT version_num FROM {quote(schemas.private)}.alembic_version")
    ).scalar_one_or_none()


def check_up_to_date(connection: Connection, schemas: Schemas, shape: Shape | None = None) -> None:
    """Refuse to work on a schema that `segjob migrate` has not brought up to date (78)."""
    current = current_revision(connection, schemas)
    if current is not None and current > REVISION:
        raise ConfigurationError(f"the schema has version {current}, newer than this program knows; update segjob")
    if current != REVISION:
        raise ConfigurationError(f"the schema has version {current or 'none'}, not {REVISION}; run `segjob migrate`")
    if shape is not None:
        check_shape(stored_shape(connection, shape.segmentation), shape)


def check_shape(stored: Shape | None, shape: Shape) -> None:
    """Refuse to work with objects that were made for other columns (78), and name these."""
    if stored is None:
        raise ConfigurationError(f"segmentation {shape.segmentation}: it is new; run `segjob migrate`")
    if stored != shape:
        changed = ", ".join(differences(stored, shape)) or "their order"
        raise ConfigurationError(
            f"segmentation {shape.segmentation}: names or types of key or feature columns changed ({changed}); run "
            "`segjob migrate`"
        )


def differences(stored: Shape, shape: Shape) -> Iterator[str]:
    """What is another column now, in words."""
    before, now = described(stored), described(shape)
    for column in dict.fromkeys([*before, *now]):
        if column not in now:
            yield f"{column} is gone"
        elif column not in before:
            yield f"{column} is new"
        elif before[column] != now[column]:
            yield f"{column} was {before[column]} and is {now[column]}"


def described(shape: Shape) -> dict[str, str]:
    """The columns by what they are for, each with its type and, where that tells more, with how it is read."""
    features = {
        f"feature {one.name}": one.type + (" as a category" if one.family == "text" else "") for one in shape.features
    }
    return {f"key {one.name}": one.type for one in shape.keys} | features
