"""Models with constants of our choice, published without a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import psycopg

from segjob.clustering.model_arrays import model_arrays
from segjob.postgres.connecting.connect import Database
from segjob.postgres.migrate import Grants, migrate
from segjob.postgres.publishing.versions import store_model, store_version
from segjob.postgres.shapes import Shape
from segjob.records.model import Model, ModelColumn
from segjob.records.source import FeatureColumn, KeyColumn
from segjob.records.version import Version
from tests.unit.report.records_by_hand import fitted

DOUBLE = FeatureColumn("x", "double precision", "number")
TEXT = FeatureColumn("gender", "text", "text")

KEY = (KeyColumn("id", "integer", "integer"),)
POINTER = """
INSERT INTO segjob.published VALUES ('mall', {version_id}, 1, now(), 1)
ON CONFLICT (segmentation) DO UPDATE SET version_id = excluded.version_id
"""


def make_functions(database: Database, features: Sequence[FeatureColumn], grants: Grants | None = None) -> list[str]:
    """The objects of a segmentation with these features."""
    return migrate(database, [Shape("mall", KEY, tuple(features))], grants or Grants())


def store(database: Database, connection: psycopg.Connection, model: Model, version_id: int = 1) -> None:
    """A version with this model, as a run stores it; it is not published."""
    connection.execute(
        "INSERT INTO segjob.run (segmentation, kind, program_version, config_hash)"
        " SELECT 'mall', 'run', '0', '' WHERE NOT EXISTS (SELECT FROM segjob.run)"
    )
    stored = replace(
        any_version(),
        version_id=version_id,
        run_id=1,
        model=model,
        segments=(),
        centroids=(),
        sample=(),
        status="staged",
    )
    with database.begin() as session:
        store_version(session, stored)
        store_model(session, stored, model_arrays(model))


@cache
def any_version() -> Version:
    return fitted("mall", pd.DataFrame({"x": [1.0, 2.0]}), [ModelColumn("x", "x", 0, "number")], 1)


def point_to(connection: psycopg.Connection, version_id: int) -> None:
    """Publish a version by hand."""
    connection.execute(POINTER.format(version_id=version_id).encode())


def publish(database: Database, connection: psycopg.Connection, model: Model, version_id: int = 1) -> None:
    store(database, connection, model, version_id)
    point_to(connection, version_id)


def plain(name: str, position: int | None = 0, **constants: Any) -> ModelColumn:
    """A numeric column that is clustered as it is."""
    return replace(ModelColumn(name, name, position, "number", impute_value=0.0), **constants)


def model_of(columns: Sequence[ModelColumn], centers: Sequence[Sequence[int]], exponent: int = 0) -> Model:
    """Segments 1, 2, … with these centres, in grid units."""
    ids = tuple(range(1, len(centers) + 1))
    return Model(tuple(columns), exponent, ids, np.array(centers, np.int64).reshape(len(centers), -1))


def segment(connection: psycopg.Connection, statement: str, *values: Any) -> Any:
    """What a SELECT of one value gives."""
    row = connection.execute(f"SELECT {statement}".encode(), values).fetchone()
    return row and row[0]
