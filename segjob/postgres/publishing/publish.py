"""Making a version visible: ATTACH its labels, then move one pointer, each in a short transaction of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection, insert, select, text, update

from segjob.errors import TryAgain
from segjob.postgres.connecting.connect import Database
from segjob.postgres.patience import patiently, short_attempts
from segjob.postgres.publishing.transitions import store_transitions
from segjob.postgres.queries import Names, execute, query, quote, sql
from segjob.postgres.runs import ending_run, finish_run
from segjob.postgres.tables import publication, published, segmentation, version
from segjob.postgres.writing.write import Part
from segjob.records.comparison import Comparison

ANALYZE_DEADLINE = 5.0  # seconds; the version is visible, and its statistics can wait

Kind = Literal["run", "score", "publish", "rollback"]


@dataclass(frozen=True)
class Pointer:
    """What is published now, under the number of its publication."""

    version_id: int
    publication: int


@dataclass(frozen=True)
class Move:
    """One move of the pointer that somebody asks for.

    Attributes
    ----------
    run_id : also the fencing number: a later publication has a larger one
    before : the version that gives way; the pointer moves only if it is still there
    publication : the number that it gets; what history has under it must be of no other one
    begins_history : who moved with it was not kept, so that nothing is known of before
    comparison : who moves with it, to be stored; None if there is nothing before, or it is stored already
    forced, reason : why a version is published that a gate refused
    """

    part: Part
    kind: Kind
    run_id: int
    before: int | None
    publication: int
    begins_history: bool
    comparison: Comparison | None = None
    forced: bool = False
    reason: str | None = None

    @property
    def segmentation(self) -> dict[str, str]:
        return {"segmentation": self.part.names.segmentation}

    @property
    def identity(self) -> dict[str, Any]:
        return {**self.segmentation, "version_id": self.part.version_id}


@dataclass(frozen=True)
class Published:
    """A move that was made."""

    publication: int
    published_at: datetime


def pointer_of(connection: Connection, segmentation: str) -> Pointer | None:
    """What is published, None before the first publication."""
    wanted = select(published.c.version_id, published.c.publication)
    row = connection.execute(wanted.where(published.c.segmentation == segmentation)).one_or_none()
    return Pointer(*row) if row else None


def attach(database: Database, part: Part) -> None:
    """Make a version's table a partition. Waits for locks in short attempts, so that readers never queue behind it.

    Raises
    ------
    InTheWay
        Somebody held the label table for the whole deadline; the version stays as it is.
    """

    def step(connection: Connection) -> None:
        if not is_attached(connection, part):
            part.execute(connection, "attach_part")

    patiently(database, part.names, step)


def is_attached(connection: Connection, part: Part) -> bool:
    tables = {"label": part.names.label, "part": part.names.part(part.version_id)}
    return bool(connection.execute(query("is_attached"), tables).scalar_one())


def publish(database: Database, move: Move, finished: dict[str, Any]) -> Published:
    """Move the pointer, mark the versions, finish the run, tell listeners: all of it or nothing, and once.

    Parameters
    ----------
    finished : columns of the run's row that are known now

    Raises
    ------
    TryAgain
        Another version was published since this run began; or, InTheWay, somebody held the books for too long.
    """

    def step(connection: Connection) -> Published:
        done = move_pointer(connection, move)
        mark_versions(connection, move, done.published_at)
        log_publication(connection, move, done)
        if move.kind == "run":
            connection.execute(update(segmentation).filter_by(**move.segmentation).values(fit_due=False))
        finish_run(connection, move.run_id, "succeeded", version_id=move.part.version_id, exit_code=0, **finished)
        tell(connection, move.identity, done)
        return done

    return patiently(database, move.part.names, step, begin=partial(ending_run, database, move.run_id))


def tell(connection: Connection, identity: Mapping[str, Any], done: Published) -> None:
    """Whoever listens hears of it when the transaction is through."""
    payload = json.dumps({**identity, "publication": done.publication})
    connection.execute(query("notify"), {"payload": payload})


def move_pointer(connection: Connection, move: Move) -> Published:
    """Compare and swap."""
    arguments = move.identity | {"parent_version_id": move.before, "run_id": move.run_id}
    statement = query("move_pointer", private=quote(move.part.names.schemas.private))
    moved = connection.execute(statement, arguments).one_or_none()
    if moved is None or moved.publication != move.publication:
        raise overtaken(move.part)
    return Published(moved.publication, moved.published_at)


def overtaken(part: Part) -> TryAgain:
    return TryAgain(
        f"segmentation {part.names.segmentation}: another version was published since this run began; "
        f"version {part.version_id} was not, and is kept"
    )


def mark_versions(connection: Connection, move: Move, published_at: datetime) -> None:
    ours = version.c.segmentation == move.part.names.segmentation
    connection.execute(update(version).where(ours, version.c.version_id == move.before).values(status="superseded"))
    connection.execute(
        update(version)
        .where(ours, version.c.version_id == move.part.version_id)
        .values(status="published", published_at=published_at)
    )


def log_publication(connection: Connection, move: Move, done: Published) -> None:
    """The row of the publication, and who moved with it."""
    values = {
        "kind": move.kind,
        "run_id": move.run_id,
        "begins_history": move.begins_history,
        "forced": move.forced,
        "reason": move.reason,
    }
    log(connection, move.identity, done, **values)
    if move.before is not None and move.comparison is not None:
        names = move.part.names
        store_transitions(connection, names.segmentation, move.before, move.part.version_id, move.comparison)


def log(connection: Connection, identity: Mapping[str, Any], done: Published, **values: Any) -> None:
    """One row a publication; `values` are its other columns."""
    connection.execute(insert(publication).values(**identity, **asdict(done), **values))


def analyze_labels(database: Database, names: Names) -> None:
    """Statistics of the partitioned table: without them the first join of an analyst is planned blindly.

    Raises
    ------
    InTheWay
        Somebody analyses or vacuums it, or worse, for longer than is worth waiting.
    """
    for attempt in short_attempts(ANALYZE_DEADLINE):
        with attempt, database.autocommit() as connection:
            execute(connection, "session_lock_timeout")
            execute(connection, "brief_statistics")
            eighteen = (connection.dialect.server_version_info or (0,)) >= (18,)
            step = "analyze_only" if eighteen else "analyze"
            connection.execute(text(sql(step, relation=names.label)[0]))
