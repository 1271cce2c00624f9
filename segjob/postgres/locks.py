"""One fit of a segmentation at a time: an advisory lock that lives as long as its own session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from sqlalchemy import Connection
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from segjob.errors import SegjobError, Stopped, TryAgain
from segjob.postgres.connecting.connect import Database, Schemas, driver_of
from segjob.postgres.connecting.meaning import translated
from segjob.postgres.queries import Names, driver_query

# A server's default would end the session that only waits, and a second run would begin beside the first.
NO_TIMEOUT = "SET idle_session_timeout = 0"
# Keepalive is silent about an answer on its way, for whose receipt the server would wait for a quarter of an hour.
UNANSWERED = "SET tcp_user_timeout = '60s'"


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
            held = self.session.execute(driver_query("who_holds_lock"), {"lock": self.name}).fetchone()
        except psycopg.Error as error:
            raise TryAgain(f"lost the lock {self.name}: its session ended; nothing was published") from error
        if held is None or not held[0]:
            raise TryAgain(f"lost the lock {self.name}: its session no longer holds it; nothing was published")


@contextmanager
def fenced(lock: Lock) -> Iterator[None]:
    """What goes wrong without the lock goes wrong because of that: somebody else is at work on the same tables.

    Raises
    ------
    TryAgain
        The lock is lost: in the place of an error that says that another try is of no use.
    """
    try:
        yield
    except Stopped:
        raise
    except SegjobError as error:
        if not error.retryable:
            lock.verify()
        raise


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
def hold_lock(database: Database, segmentation: str, purpose: str, patience: float = 0.0) -> Iterator[Lock]:
    """Hold one of the segmentation's locks in a session of its own, until the block ends.

    Parameters
    ----------
    patience : seconds for which to ask again while another has it; nobody queues behind who asks
    """
    name = lock_name(database.schemas, segmentation, purpose)
    with closing(database.open()) as session:
        for attempt in Retrying(
            stop=stop_after_delay(patience),
            wait=wait_random_exponential(multiplier=0.1, max=1.0),
            retry=retry_if_exception_type(TryAgain),
            reraise=True,
        ):
            with attempt, translated():
                take(session, name)
        try:
            yield Lock(name, session)
        finally:
            release(session, name)


@contextmanager
def hold_locks(database: Database, segmentation: str, purposes: Iterable[str], patience: float = 0.0) -> Iterator[None]:
    """Hold several of them, in this order: nothing of the kind is at work until the block ends."""
    with ExitStack() as held:
        for purpose in purposes:
            held.enter_context(hold_lock(database, segmentation, purpose, patience))
        yield


def lock_name(schemas: Schemas, segmentation: str, purpose: str) -> str:
    return f"segjob/{schemas.private}/{segmentation}/{purpose}"


def is_held(connection: Connection, names: Names, purpose: str) -> bool:
    """Whether anybody has one of the segmentation's locks."""
    name = lock_name(names.schemas, names.segmentation, purpose)
    return driver_of(connection).execute(driver_query("who_holds_lock"), {"lock": name}).fetchone() is not None


def take(session: psycopg.Connection, name: str) -> None:
    """Take the lock at once or tell who has it."""
    session.autocommit = True
    session.execute(NO_TIMEOUT)
    session.execute(UNANSWERED)
    taken = session.execute(driver_query("try_lock"), {"lock": name}).fetchone()
    if taken is None or not taken[0]:
        raise TryAgain(f"another run holds the lock {name}{holder(session, name)}; try again when it has ended")


def holder(session: psycopg.Connection, name: str) -> str:
    """Who has the lock, as far as the server tells this role."""
    row = session.execute(driver_query("who_holds_lock"), {"lock": name}).fetchone()
    if row is None or row[1] is None:
        return ""
    _, pid, application, since = row
    return f" (process {pid}, {application or 'without a name'}{f', connected since {since} UTC' if since else ''})"


def release(session: psycopg.Connection, name: str) -> None:
    """Unlock before closing: the server takes its time to notice that a session is gone, and the next run may come."""
    with suppress(psycopg.Error):
        session.execute(driver_query("unlock"), {"lock": name})
