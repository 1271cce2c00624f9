"""Whoever shares sessions of a server with others can keep neither a lock nor a snapshot: noticed, and refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import psycopg
from psycopg.errors import ProtocolViolation

from segjob.errors import ConfigurationError

WHO_ANSWERS = "SELECT pg_catalog.pg_backend_pid()"


def refuse_shared(session: psycopg.Connection, another: Callable[[], psycopg.Connection], key: str) -> None:
    """Make sure that a connection has a session of the server to itself, as long as it lives.

    Nothing is set before that is known: the next to get the session would find it.

    Parameters
    ----------
    session : on which nothing is going on
    another : opens a second connection of the same kind
    key : where `segjob.yaml` has the URL, for the message

    Raises
    ------
    ConfigurationError
        A pooler gives sessions away between two transactions, or between two statements.
    """
    if who_answers(session) == session.info.backend_pid:  # a pooler tells a number of its own
        return
    if is_shared(session, another):
        raise ConfigurationError(
            f"{key} leads to a pooler that lends a session of the server for one transaction at a time, as PgBouncer "
            "with pool_mode = transaction, so that locks and snapshots would be lost or be somebody else's; connect to "
            "the server itself, or to a pool with pool_mode = session"
        )


def who_answers(session: psycopg.Connection) -> int:
    """The process of the server behind a connection, outside of any transaction."""
    session.autocommit = True
    (process,) = session.execute(WHO_ANSWERS).fetchone() or (0,)
    session.autocommit = False
    return int(process)


def is_shared(session: psycopg.Connection, another: Callable[[], psycopg.Connection]) -> bool:
    """Whether a second connection gets the session of the first, or makes it answer from another one."""
    before = who_answers(session)
    with closing(another()) as other:
        try:
            (process,) = other.execute(WHO_ANSWERS).fetchone() or (0,)  # its transaction stays open
        except ProtocolViolation:  # there are no transactions where each statement may go to another session
            return True
        return process == before or who_answers(session) != before
