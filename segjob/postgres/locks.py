"""One fit of a segmentation at a time: an advisory lock that lives as long as its own session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

import psycopg

from segjob.errors import TryAgain
from segjob.postgres.connect import Database, translated

# A server's default would end the session that only waits, and a second run would begin beside the first.
NO_TIMEOUT = "SET idle_session_timeout = 0"
TRY_LOCK = "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended(%s, 0))"
UNLOCK = "SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended(%s, 0))"
# pg_locks shows the two halves of the number, and 1 for locks that were asked for by one number.
THE_LOCK = """
  FROM (SELECT pg_catalog.hashtextextended(%s, 0) AS number) AS n
  JOIN pg_catalog.pg_locks AS l
    ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
   AND l.classid::bigint = (n.number >> 32) & 4294967295 AND l.objid::bigint = n.number & 4294967295
"""
HOLDS = f"SELECT true {THE_LOCK} WHERE l.pid = pg_catalog.pg_backend_pid()"
HOLDER = f"""
SELECT a.pid, a.application_name, to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
{THE_LOCK} JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
"""


@dataclass(frozen=True)
class Lock:
    """A lock that is held by a session of its own, for as long as that lives."""

    name: str
    session: psycopg.Connection = field(repr=False)

    def verify(self) -> None:
        """Make sure that the lock is still held; to be asked between phases and before anything becomes visible.

        Raises
        ------
        TryAgain
            It was lost, so that another run may be at work.
        """
        try:
            held = self.session.execute(HOLDS, [self.name]).fetchone()
        except psycopg.Error as error:
            raise TryAgain(f"lost the lock {self.name}: its session ended; nothing was published") from error
        if held is None:
            raise TryAgain(f"lost the lock {self.name}: its session no longer holds it; nothing was published")


@contextmanager
def fit_lock(database: Database, segmentation: str) -> Iterator[Lock]:
    """Hold the right to fit the segmentation, until the block ends.

    Raises
    ------
    TryAgain
        Another run has it; nothing was written.
    """
    with hold_lock(database, segmentation, "fit") as lock:
        yield lock


@contextmanager
def hold_lock(database: Database, segmentation: str, purpose: str) -> Iterator[Lock]:
    """Hold one of the segmentation's locks in a session of its own, until the block ends."""
    name = f"segjob/{database.schemas.private}/{segmentation}/{purpose}"
    with closing(database.open()) as session:
        with translated():
            take(session, name)
        try:
            yield Lock(name, session)
        finally:
            release(session, name)


def take(session: psycopg.Connection, name: str) -> None:
    """Take the lock at once or tell who has it."""
    session.autocommit = True
    session.execute(NO_TIMEOUT)
    taken = session.execute(TRY_LOCK, [name]).fetchone()
    if taken is None or not taken[0]:
        raise TryAgain(f"another run holds the lock {name}{holder(session, name)}; try again when it has ended")


def holder(session: psycopg.Connection, name: str) -> str:
    """Who has the lock, as far as the server tells this role."""
    row = session.execute(HOLDER, [name]).fetchone()
    if row is None:
        return ""
    pid, application, since = row
    return f" (process {pid}, {application or 'without a name'}{f', connected since {since} UTC' if since else ''})"


def release(session: psycopg.Connection, name: str) -> None:
    """Unlock before closing: the server takes its time to notice that a session is gone, and the next run may come."""
    with suppress(psycopg.Error):
        session.execute(UNLOCK, [name])
