"""The end of a segmentation: its views, tables and books."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, text

from segjob.errors import ConfigurationError
from segjob.postgres.assign import drop_assign
from segjob.postgres.connecting.connect import Database
from segjob.postgres.patience import patiently
from segjob.postgres.publishing.scoring import drop_scratch
from segjob.postgres.queries import Names, query, quote, sql
from segjob.postgres.tables import metadata, run, version
from segjob.postgres.writing.write import loose_parts

ANEW = "which must be made anew; drop it, run `segjob migrate`, and create it again"
GONE = "which are to go; drop it first"
REMOVAL = ("drop_history", "drop_views", "drop_label_table", "drop_membership_table")
"""How the objects of a segmentation go, each before what it reads."""
REMOVE_DEADLINE = 30.0  # seconds of short attempts until a reader's lock is given up on


@dataclass(frozen=True)
class Contents:
    """What a segmentation consists of."""

    versions: int
    runs: int
    views: tuple[str, ...]


def contents(connection: Connection, names: Names) -> Contents:
    """Count what would go."""
    n_versions, n_runs = (
        connection.execute(
            select(func.count()).select_from(table).filter_by(segmentation=names.segmentation)
        ).scalar_one()
        for table in (version, run)
    )
    return Contents(n_versions, n_runs, names.views)


def remove_segmentation(database: Database, names: Names, deadline: float = REMOVE_DEADLINE) -> None:
    """Remove all objects of a segmentation and all rows about it in one transaction. Readers never queue for long.

    Raises
    ------
    ConfigurationError
        Somebody's view depends on ours.
    InTheWay
        Somebody held one of the objects for the whole deadline; nothing is gone.
    """

    def step(connection: Connection) -> None:
        refuse_dependents(connection, names, GONE)
        remove_objects(connection, names)
        remove_books(connection, names)

    patiently(database, names, step, deadline)


def remove_objects(connection: Connection, names: Names) -> None:
    """The views, functions and tables; who depends on the views has been asked for."""
    drop_scratch(connection, names)
    parts = [f"{quote(names.schemas.private)}.{quote(part)}" for part in loose_parts(connection, names)]
    statements = drop_assign(connection, names, whole=True)
    statements += [statement for step in REMOVAL for statement in sql(step, **names.identifiers())]
    for statement in [*statements, *(one for part in parts for one in sql("drop_part", part=part))]:
        connection.execute(text(statement))


def remove_books(connection: Connection, names: Names) -> None:
    """Every row that speaks of the segmentation, in every table that has such rows."""
    for table in reversed(metadata.sorted_tables):
        if "segmentation" in table.c:
            connection.execute(delete(table).filter_by(segmentation=names.segmentation))


def refuse_dependents(connection: Connection, names: Names, way_out: str = ANEW) -> None:
    """Never take somebody's view or function along."""
    ours = {"relations": list(names.views), "functions": list(names.functions)}
    dependents = connection.execute(query("dependent_objects"), ours).scalars().all()
    if dependents:
        raise ConfigurationError(
            f"{', '.join(dependents)} depends on the views of segmentation {names.segmentation}, {way_out}"
        )
