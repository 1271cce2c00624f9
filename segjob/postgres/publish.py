"""Making a version visible: ATTACH its labels, then move one pointer, each in a short transaction of its own."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, text, update
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from segjob.errors import TryAgain
from segjob.postgres.connect import Database
from segjob.postgres.queries import Names, query, quote, sql
from segjob.postgres.runs import finish_run
from segjob.postgres.tables import publication, version
from segjob.postgres.write import Part

ATTACH_DEADLINE = 60.0  # seconds of short attempts until a reader's lock is given up on


def attach(database: Database, part: Part, deadline: float = ATTACH_DEADLINE) -> None:
    """Make a version's table a partition. Waits for locks in short attempts, so that readers never queue behind it.

    Raises
    ------
    TryAgain
        Somebody held the label table for the whole deadline; the version stays staged.
    """
    for attempt in Retrying(
        stop=stop_after_delay(deadline),
        wait=wait_random_exponential(multiplier=0.2, max=3.0),
        retry=retry_if_exception_type(TryAgain),
        reraise=True,
    ):
        with attempt, database.begin() as connection:
            connection.execute(query("lock_timeout"))
            if not is_attached(connection, part):
                part.execute(connection, "attach_part")


def is_attached(connection: Connection, part: Part) -> bool:
    tables = {"label": part.names.label, "part": part.names.part(part.version_id)}
    return bool(connection.execute(query("is_attached"), tables).scalar_one())


def publish(
    database: Database, part: Part, run_id: int, parent_version_id: int | None, finished: dict[str, Any]
) -> datetime:
    """Move the pointer, mark the versions, finish the run, tell listeners: all of it or nothing.

    Parameters
    ----------
    finished : columns of the run's row that are known now

    Raises
    ------
    TryAgain
        Another version was published since this run began.
    """
    with database.begin() as connection:
        connection.execute(query("lock_timeout"))
        number, published_at = move_pointer(connection, part, run_id, parent_version_id)
        mark_versions(connection, part, parent_version_id, published_at)
        identity = {"segmentation": part.names.segmentation, "version_id": part.version_id}
        connection.execute(
            insert(publication).values(
                **identity, publication=number, kind="run", published_at=published_at, run_id=run_id
            )
        )
        finish_run(connection, run_id, "succeeded", version_id=part.version_id, exit_code=0, **finished)
        connection.execute(query("notify"), {"payload": json.dumps(identity | {"publication": number})})
    return published_at


def move_pointer(
    connection: Connection, part: Part, run_id: int, parent_version_id: int | None
) -> tuple[int, datetime]:
    """Compare and swap; returns the number and the time of the publication."""
    arguments = {
        "segmentation": part.names.segmentation,
        "version_id": part.version_id,
        "parent_version_id": parent_version_id,
        "run_id": run_id,
    }
    statement = query("move_pointer", private=quote(part.names.schemas.private))
    moved = connection.execute(statement, arguments).one_or_none()
    if moved is None:
        raise TryAgain(
            f"segmentation {part.names.segmentation}: another version was published since this run began; "
            f"version {part.version_id} stays staged"
        )
    return moved.publication, moved.published_at


def mark_versions(connection: Connection, part: Part, parent_version_id: int | None, published_at: datetime) -> None:
    ours = version.c.segmentation == part.names.segmentation
    connection.execute(
        update(version).where(ours, version.c.version_id == parent_version_id).values(status="superseded")
    )
    connection.execute(
        update(version)
        .where(ours, version.c.version_id == part.version_id)
        .values(status="published", published_at=published_at)
    )


def analyze_labels(database: Database, names: Names) -> None:
    """Statistics of the partitioned table: without them the first join of an analyst is planned blindly."""
    with database.autocommit() as connection:
        eighteen = (connection.dialect.server_version_info or (0,)) >= (18,)
        step = "analyze_only" if eighteen else "analyze"
        connection.execute(text(sql(step, relation=names.label)[0]))
