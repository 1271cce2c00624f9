"""`segjob migrate`: what the configuration asks for, made in the database."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from segjob.commands.database import open_database
from segjob.config import Settings
from segjob.job.source import plan_source, shape_of
from segjob.postgres import migrate as migrations
from segjob.postgres.migrate import Grants
from segjob.postgres.shapes import Shape


def migrate(settings: Settings, revision: str) -> list[str]:
    """Bring everything up to date; returns what was done, in sentences."""
    database = open_database(settings)
    with database.customers.begin() as connection:
        shapes = list(shapes_of(connection, settings))
    return migrations.migrate(database, shapes, grants_of(settings), revision)


def migration_script(settings: Settings) -> str:
    """The same as SQL for a DBA; nothing is changed."""
    database = open_database(settings)
    with database.customers.begin() as connection:
        shapes = list(shapes_of(connection, settings))
    return migrations.migration_sql(database, shapes, grants_of(settings))


def shapes_of(connection: Connection, settings: Settings) -> Iterator[Shape]:
    """What the objects of every segmentation depend on."""
    for name, segmentation in settings.segmentations.items():
        yield shape_of(name, plan_source(connection, segmentation, {}))


def grants_of(settings: Settings) -> Grants:
    return Grants(tuple(settings.database.analysts), settings.database.job_role)
