"""A version that is there already is published, or the one before it: no fit, and none is disturbed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection

from segjob.errors import DataError, GateRefused, SegjobError, Stopped
from segjob.job.comparing import compared
from segjob.job.gates import refusals
from segjob.job.pruning import prune_after
from segjob.job.publishing import analyze
from segjob.job.recording import Record, Started, recorded, warn_late
from segjob.job.scoring import score
from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import Lock, fenced, hold_lock
from segjob.postgres.publishing.gates import load_gates
from segjob.postgres.publishing.publications import Candidate, candidate, is_overtaken, version_before
from segjob.postgres.publishing.publish import Move, Pointer, attach, overtaken, pointer_of, publish
from segjob.postgres.queries import Names
from segjob.postgres.runs import ending_run, finish_run
from segjob.postgres.shapes import check_up_to_date, stored_keys
from segjob.postgres.writing.write import Part, part_state
from segjob.progress import Progress

if TYPE_CHECKING:
    from segjob.config import Settings

PATIENCE = 5.0  # seconds to wait for who publishes or prunes right now


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes
    ----------
    version_id : None goes back to the version before
    force : publish a version that a gate refused
    """

    kind: Literal["publish", "rollback"]
    version_id: int | None = None
    force: bool = False
    reason: str | None = None

    def params(self) -> dict[str, Any]:
        """As it is kept on the run; only what was said."""
        said = {"version": self.version_id, "force": "true" if self.force else None, "reason": self.reason}
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True)
class Work:
    """A segmentation whose pointer is to be moved."""

    database: Database
    settings: Settings
    name: str
    wish: Wish
    progress: Progress

    @property
    def names(self) -> Names:
        return Names(self.database.schemas, self.name)


def republish(work: Work) -> dict[str, Any]:
    """Move the pointer to a version that is there; returns `publish --json`.

    Raises
    ------
    DataError
        There is no such version, or its labels are gone.
    GateRefused
        A gate refused it, and nobody insists.
    TryAgain
        Somebody else published meanwhile.
    """
    segmentation, database = work.settings.segmentation(work.name), work.database
    with database.begin() as connection:
        check_up_to_date(connection, database.schemas)
        seen = pointer_of(connection, work.name)
    with hold_lock(database, work.name, "publish", PATIENCE) as lock:
        started = Started(work.name, work.wish.kind, segmentation.config_hash(), work.wish.params())
        with recorded(database, work.progress, started) as record, fenced(lock):
            document = move(work, lock, record, seen)
    if document["changed"]:
        prune_after(database, work.names, segmentation.keep_versions, record, work.progress)
        if work.wish.kind == "rollback":
            document["scored"] = scored_since(work, record)
    return document | {"warnings": record.warnings, "seconds": work.progress.seconds()}


def move(work: Work, lock: Lock, record: Record, seen: Pointer | None) -> dict[str, Any]:
    """All that happens under the lock."""
    with work.progress.phase("publish"):
        with ending_run(work.database, record.run_id) as connection:
            pointer = pointer_of(connection, work.name)
            wanted = wanted_version(connection, work)
            part = Part(work.names, wanted.version_id, stored_keys(connection, work.name))
            check_not_overtaken(part, seen, pointer)
            if pointer and pointer.version_id == wanted.version_id:
                return already_there(connection, work, record, pointer)
            check_publishable(connection, work.wish, part, wanted)
        before = pointer.version_id if pointer else None
        return put_in_place(work, lock, record, part, before, carried=wanted.parent_version_id == before)


def wanted_version(connection: Connection, work: Work) -> Candidate:
    """The version that was named, or the one before."""
    version_id = work.wish.version_id
    if version_id is None:
        version_id = version_before(connection, work.name)
    if version_id is None:
        raise DataError(f"segmentation {work.name}: no version that still has its labels was published before")
    return candidate(connection, work.name, version_id)


def check_not_overtaken(part: Part, seen: Pointer | None, pointer: Pointer | None) -> None:
    """Who asked for a version had seen what was published then: of two who ask at once, one comes too late."""
    if (seen.version_id if seen else None) != (pointer.version_id if pointer else None):
        raise overtaken(part)


def check_publishable(connection: Connection, wish: Wish, part: Part, wanted: Candidate) -> None:
    """Refuse a version whose labels are not there as a whole, and one that its gates have not let pass."""
    place = f"version {wanted.version_id} of {part.names.segmentation}"
    state = part_state(connection, part)
    if wanted.status == "pruned" or not state.present:
        raise DataError(f"{place} can not be published: its labels are gone; a new `run` makes new ones")
    if state.half_detached:
        raise DataError(f"{place} can not be published: it is half detached, until a reader ends; `prune` finishes it")
    if is_overtaken(connection, part.names.segmentation, wanted.version_id):
        raise DataError(
            f"{place} can not be published: its run did not end well, and what was published since may use the same "
            "numbers for other segments; a new `run` makes a version that knows them"
        )
    if wish.force:
        return
    found = refusals(load_gates(connection, part.names.segmentation, wanted.version_id))
    if found or wanted.status == "rejected":  # a run may have died between asking the gates and saying so
        raise GateRefused(f"{place} was rejected: {found}; publish it with --force --reason TEXT")
    if wanted.status == "staged" and not wanted.gated:
        raise GateRefused(
            f"{place} was never asked through the gates, for its run ended early; `run` again, or --force"
        )


def already_there(connection: Connection, work: Work, record: Record, pointer: Pointer) -> dict[str, Any]:
    """What was asked for is so: a command that is called twice does no harm."""
    finished = record.columns(work.progress)
    finish_run(connection, record.run_id, "succeeded", version_id=pointer.version_id, exit_code=0, **finished)
    return document(work, record, pointer.version_id, pointer.version_id, pointer.publication)


def put_in_place(
    work: Work, lock: Lock, record: Record, part: Part, before: int | None, *, carried: bool
) -> dict[str, Any]:
    """Attach the labels and move the pointer, with what changes by it."""
    history = work.settings.segmentation(work.name).history
    with compared(work.database, before, part, carried=carried, history=history) as found:
        attach(work.database, part)
        kept = found.keep(work.database)
        lock.verify()
        wish = work.wish
        asked = Move(
            part,
            wish.kind,
            record.run_id,
            before,
            found.publication,
            begins_history=not kept,
            comparison=found.comparison,
            forced=wish.force,
            reason=wish.reason,
        )
        done = publish(work.database, asked, record.columns(work.progress))
    warn_late(work.database, record, work.progress, analyze(work.database, part.names))
    return document(work, record, part.version_id, before, done.publication)


def scored_since(work: Work, record: Record) -> dict[str, Any] | None:
    """A version that is visible again has labels of long ago; where they can not be renewed, it is visible as it is."""
    try:
        return score(work.database, work.settings, work.name, {}, Progress(work.name))
    except Stopped:
        raise
    except SegjobError as error:
        sentence = f"the labels are those that the version had when it was last published; `score`: {error}"
        warn_late(work.database, record, work.progress, [sentence])
        return None


def document(work: Work, record: Record, version_id: int, before: int | None, publication: int) -> dict[str, Any]:
    """What `publish --json` and `rollback --json` print."""
    return {
        "segmentation": work.name,
        "run_id": record.run_id,
        "kind": work.wish.kind,
        "status": "published",
        "version_id": version_id,
        "previous_version_id": before,
        "changed": version_id != before,
        "publication": publication,
        "forced": work.wish.force,
        "reason": work.wish.reason,
    }
