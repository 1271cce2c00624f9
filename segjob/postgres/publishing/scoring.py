"""Labels between two fits: what was labelled now, beside what a version says, and the difference put into it.

All of it lies in tables of its own until one transaction makes the changes. Only under the lock of publishing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, text, update

from segjob.errors import TryAgain, if_possible
from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import is_held
from segjob.postgres.patience import patiently
from segjob.postgres.publishing.moves import Moves, create_moves
from segjob.postgres.publishing.publish import Pointer, Published, log, tell
from segjob.postgres.queries import Names, escaped, execute, query, quote, sql
from segjob.postgres.runs import ending_run, finish_run
from segjob.postgres.tables import segment, segmentation, version
from segjob.postgres.writing.write import Part

MOST_KEYS_SENT = 100_000  # to a server that has no table of ours; beyond that everyone is read
DROP_SECONDS = 1.0  # until a server that is gone is left to the next `score`


@dataclass(frozen=True)
class Scored(Part):
    """What is labelled now, for the version whose table is `target`; `purpose` keeps two at work apart."""

    purpose: str = "scored"

    @property
    def table(self) -> str:
        return self.names.scratch(self.purpose)

    @property
    def target(self) -> Part:
        return Part(self.names, self.version_id, self.keys)

    @property
    def identifiers(self) -> dict[str, str]:
        keys = [quote(name) for name in self.key_names]

        def same(left: str, right: str) -> str:
            return " AND ".join(f"{left}.{key} = {right}.{key}" for key in keys)

        return super().identifiers | {
            "target": self.target.table,
            "scored": self.table,
            "changes": self.names.scratch(f"{self.purpose}_changes"),
            "touched": self.names.scratch("touched"),
            "present": self.names.scratch("present"),
            "either_keys": ", ".join(f"coalesce(a.{key}, b.{key}) AS {key}" for key in keys),
            "same_key": same("a", "b"),
            "l_is_c": same("l", "c"),
            "k_is_p": same("k", "p"),
            "k_is_s": same("k", "s"),
            "texts_of_keys": ", ".join(f"{key}::text" for key in keys),
            "most": str(MOST_KEYS_SENT + 1),
            "s_is_p": same("s", "p"),
            "r_is_p": same("r", "p"),
            "l_is_p": same("l", "p"),
        }


@dataclass(frozen=True)
class Changes:
    """How many customers came, have other labels than before, and left; `n_moved` of them change their segment."""

    n_came: int
    n_changed: int
    n_left: int
    n_moved: int

    @property
    def n_touched(self) -> int:
        return self.n_came + self.n_changed + self.n_left


@dataclass(frozen=True)
class Occupied:
    """What a segment has once the changes are made."""

    segment_id: int
    n_customers: int
    n_far: int


@contextmanager
def scored_table(database: Database, scored: Scored) -> Iterator[None]:
    """The table for what is labelled now, and that of the changes; both go with the block."""
    patiently(database, scored.names, lambda connection: run(connection, scored, "create_scored"))
    try:
        yield
    finally:
        with if_possible(), replace(database, deadline=DROP_SECONDS).begin() as connection:
            run(connection, scored, "drop_scored")


def find_changes(connection: Connection, scored: Scored, known: str) -> Changes:
    """Write down where the labels differ.

    Parameters
    ----------
    known : the statement for the labels that are compared: `all_labels`, `labels_of_touched` or `labels_of_recent`
    """
    execute(connection, "compare_settings")
    (before,) = sql(known, **scored.identifiers)
    for statement in sql("create_changes", before=before, **scored.identifiers):
        connection.execute(text(escaped(statement)))
    (row,) = one_of(connection, scored, "count_changes")
    return Changes(*row)


def count_unknown(connection: Connection, scored: Scored) -> int:
    """How many keys there are that neither have a label nor were read as recent."""
    return int(one_of(connection, scored, "count_unknown").scalar_one())


def write_moves_of_changes(connection: Connection, scored: Scored, moves: Moves) -> None:
    """Those whose segment changes, for the history."""
    (compared,) = sql("moves_of_changes", **scored.identifiers)
    create_moves(connection, moves, compared, logged=True)


def occupied(connection: Connection, scored: Scored) -> tuple[Occupied, ...]:
    """Every segment that will have customers."""
    return tuple(Occupied(*row) for row in one_of(connection, scored, "count_far"))


def apply_changes(connection: Connection, scored: Scored, found: Sequence[Occupied]) -> None:
    """Make the changes; a fit that is at work hears of them. The caller's transaction makes them visible at once."""
    run(connection, scored, "apply_changes")
    count_customers(connection, scored, found)
    if is_held(connection, scored.names, "fit"):
        run(connection, scored, "record_touched")


def count_customers(connection: Connection, scored: Scored, found: Sequence[Occupied]) -> None:
    """How many customers each segment has now."""
    ours = (segment.c.segmentation == scored.names.segmentation, segment.c.version_id == scored.version_id)
    connection.execute(update(segment).where(*ours).values(n_customers_now=0))
    for one in found:
        row = update(segment).where(*ours, segment.c.segment_id == one.segment_id)
        connection.execute(row.values(n_customers_now=one.n_customers))


def has_touched(connection: Connection, scored: Scored) -> bool:
    """Whether `score` has labelled anybody since the fit that is at work began."""
    return bool(connection.execute(query("has_relation"), {"relation": scored.names.scratch("touched")}).scalar())


def touched_keys(connection: Connection, scored: Scored) -> list[list[str]] | None:
    """The keys of those, as texts column by column; None where they are too many to be sent anywhere."""
    rows = one_of(connection, scored, "touched_keys").all()
    columns = range(len(scored.key_names))
    return None if len(rows) > MOST_KEYS_SENT else [[row[place] for row in rows] for place in columns]


def apply_to_staged(connection: Connection, scored: Scored) -> Changes:
    """Bring those whom `score` touched up to date in a version that nobody sees yet; who else was read is left out."""
    run(connection, scored, "drop_untouched")
    changes = find_changes(connection, scored, "labels_of_touched")
    found = occupied(connection, scored)
    run(connection, scored, "apply_changes")
    count_customers(connection, scored, found)
    return changes


@dataclass(frozen=True)
class Scoring:
    """What `score` has found, about to become visible.

    Attributes
    ----------
    pointer : what was published when it was found, and must still be
    kept : whether the history knows the moves
    fit_due : whether the customers have drifted
    watermark : up to where changes of the source are in the labels, as it is kept; None where nothing tells
    """

    scored: Scored
    pointer: Pointer
    changes: Changes
    found: tuple[Occupied, ...]
    run_id: int
    kept: bool
    fit_due: bool
    watermark: str | None = None

    @property
    def identity(self) -> dict[str, Any]:
        return {"segmentation": self.scored.names.segmentation, "version_id": self.scored.version_id}


def make_changes(database: Database, scoring: Scoring, finished: dict[str, Any]) -> Published | None:
    """Change the labels, count them, and end the run: all of it or nothing.

    Returns the publication; None where nobody's segment changed, which makes none.

    Raises
    ------
    TryAgain
        Another version was published meanwhile; or, InTheWay, somebody held the labels for too long.
    """
    scored = scoring.scored

    def step(connection: Connection) -> Published | None:
        done = next_publication(connection, scoring) if scoring.changes.n_moved else None
        if done is None:
            compare_pointer(connection, scoring)
        apply_changes(connection, scored, scoring.found)
        note_state(connection, scoring)
        finish_run(connection, scoring.run_id, "succeeded", version_id=scored.version_id, exit_code=0, **finished)
        return done

    return patiently(database, scored.names, step, begin=partial(ending_run, database, scoring.run_id))


def note_state(connection: Connection, scoring: Scoring) -> None:
    """What the next one needs to know: whether a fit is due, and from where on to look for changes."""
    name = scoring.scored.names.segmentation
    due = update(segmentation).where(segmentation.c.segmentation == name)
    connection.execute(due.values(fit_due=scoring.fit_due))
    ours = (version.c.segmentation == name, version.c.version_id == scoring.scored.version_id)
    connection.execute(update(version).where(*ours).values(watermark=scoring.watermark))


def next_publication(connection: Connection, scoring: Scoring) -> Published:
    """Number the change and tell listeners; the pointer stays on its version."""
    row, identity = compared(connection, scoring, "next_publication"), scoring.identity
    done = Published(row.publication, row.published_at)
    log(connection, identity, done, kind="score", run_id=scoring.run_id, begins_history=not scoring.kept)
    tell(connection, identity, done)
    return done


def compare_pointer(connection: Connection, scoring: Scoring) -> None:
    """Make sure that what was scored is still what is published."""
    compared(connection, scoring, "same_publication")


def compared(connection: Connection, scoring: Scoring, name: str) -> Row[Any]:
    """Execute a statement that finds a row only as long as nobody has published meanwhile."""
    statement = query(name, private=quote(scoring.scored.names.schemas.private))
    row = connection.execute(statement, scoring.identity | {"publication": scoring.pointer.publication}).one_or_none()
    if row is None:
        raise outdated(scoring.scored)
    return row


def outdated(scored: Scored) -> TryAgain:
    return TryAgain(
        f"segmentation {scored.names.segmentation}: somebody published while customers were scored for version "
        f"{scored.version_id}; no label was changed, score again"
    )


def labelled_under(connection: Connection, names: Names, version_id: int) -> str | None:
    """The hash of the configuration by which a version was last labelled, by its fit or by `score`."""
    statement = query("labelled_under", private=quote(names.schemas.private))
    found = connection.execute(statement, {"segmentation": names.segmentation, "version_id": version_id})
    return found.scalar_one_or_none()


def forget_touched(connection: Connection, names: Names) -> None:
    """A fit that begins now reads what any earlier `score` has read, or later. With what a dead fit left."""
    execute(connection, "drop_touched", touched=names.scratch("touched"))
    drop_tables(connection, names, "caught")


def drop_left(connection: Connection, names: Names) -> None:
    """What a dead `score` left, while we have its lock."""
    connection.execute(query("orphan_lock_timeout"))
    drop_tables(connection, names, "scored", "present")


def drop_scratch(connection: Connection, names: Names) -> None:
    """Whatever is left of any `score` and any fit, while none is at work."""
    forget_touched(connection, names)
    drop_tables(connection, names, "scored", "present")


def drop_tables(connection: Connection, names: Names, *purposes: str) -> None:
    for purpose in purposes:
        tables = {"scored": names.scratch(purpose), "changes": names.scratch(f"{purpose}_changes")}
        execute(connection, "drop_scored", **tables)


def run(connection: Connection, scored: Scored, step: str) -> None:
    execute(connection, step, **scored.identifiers)


def one_of(connection: Connection, scored: Scored, name: str) -> Any:
    (statement,) = sql(name, **scored.identifiers)
    return connection.execute(text(escaped(statement)))
