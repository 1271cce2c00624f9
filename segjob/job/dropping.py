"""A segmentation is removed, while nothing of it is at work."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, select

from segjob.errors import UsageError
from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import hold_locks
from segjob.postgres.queries import Names
from segjob.postgres.removing.removal import contents, remove_segmentation
from segjob.postgres.shapes import check_up_to_date
from segjob.postgres.tables import segmentation
from segjob.spelling import nearest

EVERY_LOCK = ("fit", "score", "choose-k", "prune", "publish")


def drop_segmentation(database: Database, name: str, yes: bool) -> dict[str, Any]:
    """Remove a segmentation, whether or not the configuration still has it; returns `drop --json`.

    Raises
    ------
    UsageError
        There is no such segmentation, or nobody said yes; the message tells what would go.
    """
    names = Names(database.schemas, name)
    with database.begin() as connection:
        check_up_to_date(connection, database.schemas)
        check_known(connection, name)
        found = contents(connection, names)
    if not yes:
        raise UsageError(
            f"this would remove segmentation {name} for good: {found.versions} versions with their labels and history, "
            f"{found.runs} runs, and {', '.join(found.views)}; to do so, give --yes"
        )
    with hold_locks(database, name, EVERY_LOCK):
        remove_segmentation(database, names)
    return {"segmentation": name, "status": "dropped", **asdict(found)}


def check_known(connection: Connection, name: str) -> None:
    known = connection.execute(select(segmentation.c.segmentation)).scalars().all()
    if name not in known:
        raise UsageError(f"the database has no segmentation {name}; {nearest(name, known)}")
