"""Whether a session that was kept is still there to be used again."""

from __future__ import annotations

from select import POLLIN, poll

import psycopg


def refuse_ended(session: psycopg.Connection, *_: object) -> None:
    """Have the pool open another session in the place of one that the server has ended, or has something to say of.

    Nobody is asked: to a session that nothing was asked of, a server speaks when it ends. (SQLAlchemy's own question
    would lose a signal that comes meanwhile.)
    """
    from sqlalchemy.exc import DisconnectionError

    if session.closed or has_something_to_say(session):
        raise DisconnectionError


def has_something_to_say(session: psycopg.Connection) -> bool:
    """Whether bytes of the server, or their end, wait to be read."""
    waiting = poll()
    waiting.register(session.fileno(), POLLIN)
    return bool(waiting.poll(0))
