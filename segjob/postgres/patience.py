"""Waiting for somebody else's lock, in short attempts: what waits for a lock makes others wait behind it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from sqlalchemy import Connection
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from segjob.errors import InTheWay, if_possible
from segjob.postgres.connecting.connect import Database
from segjob.postgres.queries import Names, execute, query

LOCK_DEADLINE = 60.0  # seconds of short attempts until somebody else's lock is given up on

T = TypeVar("T")


def patiently(
    database: Database,
    names: Names,
    step: Callable[[Connection], T],
    deadline: float | None = None,
    begin: Callable[[], AbstractContextManager[Connection]] | None = None,
) -> T:
    """Take a step of a segmentation in a transaction of its own, again and again while somebody's lock is in the way.

    Parameters
    ----------
    deadline : seconds; LOCK_DEADLINE if not told
    begin : opens the transaction of an attempt, if it is not any one

    Raises
    ------
    InTheWay
        Somebody held the lock for the whole deadline; the message names who. The step has done nothing.
    """

    def attempt() -> T:
        with (begin or database.begin)() as connection:
            execute(connection, "lock_timeout")
            return step(connection)

    try:
        return short_attempts(deadline)(attempt)
    except InTheWay as error:
        raise InTheWay(f"{in_the_way(database, names)}: {error}") from error


def short_attempts(deadline: float | None = None) -> Retrying:
    """Come again, after a while that varies, as long as somebody else's lock is in the way."""
    return Retrying(
        stop=stop_after_delay(LOCK_DEADLINE if deadline is None else deadline),
        wait=wait_random_exponential(multiplier=0.2, max=3.0),
        retry=retry_if_exception_type(InTheWay),
        reraise=True,
    )


def in_the_way(database: Database, names: Names) -> str:
    """Who has the strongest lock on the tables of a segmentation, in words; whoever has ended since is not known."""
    row = None
    with if_possible(), database.begin() as connection:
        row = connection.execute(query("lock_holder"), lock_arguments(names)).one_or_none()
    if row is None:
        return f"somebody was in the way of segmentation {names.segmentation}"
    since = f", in a transaction since {row.since} UTC" if row.since else ""
    return f"process {row.pid} ({row.application or 'without a name'}{since}) holds a lock on {row.relation}"


def lock_arguments(names: Names) -> dict[str, str]:
    """What tells the tables of one segmentation from those of others."""
    name = names.segmentation
    return {
        "schema": names.schemas.private,
        "labels": f"label_{name}",
        "parts": names.part_prefix,
        "moves": f"membership_{name}",
        "pieces": names.piece_prefix,
    }
