"""From the configuration to a database that can be worked on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from segjob.errors import ConfigurationError
from segjob.postgres.connecting.connect import Database, Schemas, deadline_of
from segjob.postgres.listing import Session, is_migrated

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from segjob.config import Settings, settings


def open_database(settings: Settings) -> Database:
    """The configured database, with the one that has the customers if that is another."""
    return open_place(settings.database)


def open_place(place: settings.Database) -> Database:
    """The same before there is a whole configuration."""
    schemas, source = Schemas(place.public_schema, place.private_schema), None
    if place.source is not None:
        source = database_at(place.source, schemas, key="database.source_url")
    return replace(database_at(place, schemas), source=source)


def database_at(place: settings.Database, schemas: Schemas, key: str = "database.url") -> Database:
    conninfo = conninfo_of(place)
    return Database(conninfo, schemas, deadline_of(conninfo), key=key)


def conninfo_of(place: settings.Database) -> str:
    """A libpq URL of the place; the bundled server is started if it is the one."""
    if place.embedded_dir is None:
        return place.conninfo
    from segjob.postgres.embedded import start

    return start(place.embedded_dir)


def require_migrated(session: Session, database: Database) -> None:
    """Commands that only read ask for the views, not for the newest revision: they load no migrations."""
    if not is_migrated(session, database.schemas):
        raise ConfigurationError(
            f"schema {database.schemas.public} has no segmentation yet, or none for this role; run `segjob migrate`"
        )


@contextmanager
def opened(settings: Settings, name: str) -> Iterator[tuple[Database, Connection]]:
    """A transaction on the migrated database of a segmentation that the configuration has."""
    settings.segmentation(name)
    database = open_database(settings)
    with database.reading() as session:
        require_migrated(session, database)
    with database.begin() as connection:
        yield database, connection
