"""From the configuration to a database that can be worked on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection

from segjob.errors import ConfigurationError
from segjob.postgres.connect import Database, Schemas
from segjob.postgres.listing import is_migrated

if TYPE_CHECKING:
    from segjob.config import Settings, settings


def open_database(settings: Settings) -> Database:
    """The configured database; the bundled server is started if it is the one."""
    return open_place(settings.database)


def open_place(place: settings.Database) -> Database:
    """The same before there is a whole configuration."""
    schemas = Schemas(place.public_schema, place.private_schema)
    if place.embedded_dir is None:
        return Database(place.conninfo, schemas)
    from segjob.postgres.embedded import start

    return Database(start(place.embedded_dir), schemas)


def require_migrated(connection: Connection, database: Database) -> None:
    """Commands that only read ask for the tables, not for the newest revision: they load no migrations."""
    if not is_migrated(connection, database.schemas):
        raise ConfigurationError(
            f"schema {database.schemas.private} is not there yet, or not for this role; run `segjob migrate`"
        )
