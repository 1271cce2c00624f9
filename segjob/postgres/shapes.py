"""What the objects of a segmentation were made for: the names and types of its key and feature columns."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, select

from segjob.errors import ConfigurationError
from segjob.postgres import tables
from segjob.records import FeatureColumn, KeyColumn


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
