"""The customers at one moment: locks first, then a snapshot that any number of sessions can read.

Locks without a snapshot would see later changes. A snapshot without locks would miss rows: TRUNCATE, VACUUM FULL and
their like rewrite a table, and a session that opens it afterwards finds it empty or short, without an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import psycopg
from psycopg import IsolationLevel

from segjob.errors import ConfigurationError, TryAgain
from segjob.postgres.connecting.connect import Database
from segjob.postgres.connecting.meaning import database_error, translated
from segjob.postgres.queries import driver_query
from segjob.postgres.reading.columns import ReadPlan
from segjob.postgres.reading.expected import Expected, expect
from segjob.postgres.reading.standby import Replay, replay_of

FIRST_USER_OID = 16384  # what is below belongs to the system
RANGES_SINCE = 140000  # Postgres that reads a range of places without reading the rest


@dataclass(frozen=True)
class Relation:
    """Something underneath the source; `filenode` is None where it keeps no rows of its own, as a view."""

    oid: int
    name: str
    filenode: int | None


@dataclass(frozen=True)
class Extent:
    """How large the source is, for those who divide it.

    Attributes
    ----------
    pages : of each table underneath; empty if parts of the source can not be read apart
    page_bytes : bytes of a page
    bytes_by_key : of what can only be divided by its keys, as far as the planner can tell; 0 of everything else
    """

    pages: tuple[int, ...] = ()
    page_bytes: int = 8192
    bytes_by_key: int = 0


@dataclass(frozen=True)
class Snapshot:
    """One moment of the source, for as long as the block of `hold` lasts.

    Attributes
    ----------
    id : what `SET TRANSACTION SNAPSHOT` takes
    taken_at : the server's time; of a standby that is behind, the time of the last change that it has
    replay : how far a standby had come
    expected : what the planner thinks of the source
    relations : everything underneath the source
    extent : how it can be divided
    """

    id: str
    taken_at: datetime
    replay: Replay
    expected: Expected
    relations: tuple[Relation, ...]
    extent: Extent
    guard: psycopg.Connection = field(repr=False)

    def verify(self) -> None:
        """Make sure after a read that the locks held and that no table was rewritten meanwhile.

        Raises
        ------
        TryAgain
            They did not, so rows may be missing from what was read.
        """
        try:
            now = locked_relations(self.guard)
        except psycopg.Error as error:
            raise TryAgain(
                f"the session that locked the source is gone ({type(database_error(error)).code}), so rows may be"
                " missing from what was read; run again"
            ) from error
        if now != self.relations:
            changed = sorted({relation.name for relation in {*now} ^ {*self.relations}})
            raise TryAgain(f"{', '.join(changed)} was rewritten while it was read; run again")


@contextmanager
def hold(database: Database, plan: ReadPlan) -> Iterator[Snapshot]:
    """Lock everything underneath the source, then take a snapshot of it; both end with the block.

    Raises
    ------
    TryAgain
        The source is no longer what it was when the plan was made, or a lock did not come in time.
    """
    with (
        session(database, IsolationLevel.READ_COMMITTED) as guard,
        session(database, IsolationLevel.REPEATABLE_READ) as leader,
    ):
        with translated():
            lock_source(guard, plan)
            expected = expect(guard, plan)
            relations = locked_relations(guard)
            extent = measure(guard, plan.relation, expected, parallel_safe=plan.parallel_safe)
            replay = replay_of(guard)
            identifier, now = export(leader)
        yield Snapshot(identifier, replay.complete_until or now, replay, expected, relations, extent, guard)


@contextmanager
def session(database: Database, isolation: IsolationLevel) -> Iterator[psycopg.Connection]:
    """A session that no idle timeout ends, and whose transactions are as told; what it holds goes with it."""
    connection = database.open()
    try:
        with translated():
            connection.execute(driver_query("no_timeouts"))
            connection.commit()
            connection.isolation_level = isolation
            connection.read_only = True
        yield connection
    finally:
        connection.close()


def lock_source(guard: psycopg.Connection, plan: ReadPlan) -> None:
    """Run the very SELECT that will be read, for no rows.

    That takes ACCESS SHARE on whatever is underneath until the transaction ends; LOCK TABLE would refuse materialized
    views. The transaction is READ COMMITTED: an older snapshot would hold back VACUUM for nothing.
    """
    try:
        guard.execute(f"SELECT * FROM (\n{plan.sql}\n) AS q LIMIT 0".encode())
    except psycopg.Error as error:
        if isinstance(database_error(error), ConfigurationError):
            said = error.diag.message_primary or ""
            raise TryAgain(f"the source was changed after it was looked at: {said}; run again") from error
        raise


def measure(
    guard: psycopg.Connection, relation: str | None, expected: Expected, *, parallel_safe: bool = False
) -> Extent:
    """How large the source is, once it is locked.

    It has pages if it is a relation made of tables that the planner would read from end to end. A materialized view is
    one of those only by the configuration's word, and so is anything else divided, by its keys.
    """
    bytes_by_key = expected.n_rows * expected.width if parallel_safe and not reads_foreign(guard) else 0
    if relation is None:
        return Extent(bytes_by_key=bytes_by_key)
    asked = {"relation": relation, "kept": parallel_safe}
    found = guard.execute(driver_query("pages_underneath"), asked).fetchone()
    if found is None or not expected.end_to_end or guard.info.server_version < RANGES_SINCE:
        return Extent(bytes_by_key=bytes_by_key)
    return Extent(tuple(found[0] or ()), found[1])


def reads_foreign(guard: psycopg.Connection) -> bool:
    """Whether there is a foreign table underneath: its server would show every session another moment."""
    return guard.execute(driver_query("locked_foreign_table")).fetchone() is not None


def locked_relations(guard: psycopg.Connection) -> tuple[Relation, ...]:
    """What the guard has locked, by its own account of locks, with the files that hold the rows."""
    return tuple(
        Relation(*row) for row in guard.execute(driver_query("locked_relations"), {"first_user_oid": FIRST_USER_OID})
    )


def export(leader: psycopg.Connection) -> tuple[str, datetime]:
    """Take the snapshot, and a name for it that other sessions can import."""
    row = leader.execute(driver_query("export_snapshot")).fetchone()
    if row is None:
        raise AssertionError("unreachable: the SELECT has one row")
    return row
