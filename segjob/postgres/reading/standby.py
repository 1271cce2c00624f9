"""A standby: a server that repeats what its primary did, sooner or later, and can be read meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from segjob.postgres.queries import driver_query

WORTH_A_WARNING = 60.0  # seconds


@dataclass(frozen=True)
class Replay:
    """How far a server has come.

    Attributes
    ----------
    standby : whether it follows another
    complete_until : the primary's time of the last change that is here; None where nothing is known to be missing
    seconds_behind : the age of that change
    """

    standby: bool
    complete_until: datetime | None
    seconds_behind: float

    @property
    def warnings(self) -> list[str]:
        """A sentence, if it is worth one."""
        if self.complete_until is None or self.seconds_behind < WORTH_A_WARNING:
            return []
        then = f"{self.complete_until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return [f"the standby was {self.seconds_behind:.0f} s behind: the customers are those of {then}"]


def replay_of(connection: psycopg.Connection) -> Replay:
    """Ask a server. What is read by a snapshot that is taken later is at least as new."""
    row = connection.execute(driver_query("replay")).fetchone()
    if row is None:
        raise AssertionError("unreachable: the SELECT has one row")
    return Replay(*row)


def cancels_after(connection: psycopg.Connection) -> str | None:
    """How long a read may hold back a standby's replay, in words; None where vacuum on the primary waits for it."""
    row = connection.execute(driver_query("standby_cancels_after")).fetchone()
    return row[0] if row else None
