"""Old versions out of the way: only the published version and its parent stay attached to the label table.

The planner sees every attached version before it knows which one the pointer means, so its estimates grow with their
number. Detached ones wait as plain tables; nobody's query is disturbed by it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from segjob.errors import TryAgain
from segjob.postgres.connect import Database
from segjob.postgres.queries import Names, query, quote, sql


@dataclass(frozen=True)
class Attached:
    """A partition of the label table; `pending` when an earlier detach did not come to its end."""

    table: str
    version_id: int
    pending: bool


def detach_old(database: Database, names: Names, keep: set[int]) -> list[str]:
    """Detach all versions but some; returns a sentence if a long reader is in the way.

    The next call finishes what this one could not: an interrupted detach has left the label table already, and only
    waits for whoever may still read it. There can be one such at a time, so the first that has to wait ends the round.
    """
    with database.autocommit() as connection:
        found = connection.execute(query("attached_parts"), {"label": names.label, "prefix": names.part_prefix}).all()
    for part in (Attached(*row) for row in found if row.version_id not in keep):
        try:
            detach(database, names, part)
        except TryAgain:
            return [f"a long transaction keeps version {part.version_id} attached; the next run detaches it"]
    return []


def detach(database: Database, names: Names, part: Attached) -> None:
    """Detach one partition outside of any transaction, without waiting long."""
    table = f"{quote(names.schemas.private)}.{quote(part.table)}"
    step = "finish_detach" if part.pending else "detach_part"
    with database.autocommit() as connection:
        connection.execute(text(sql("session_lock_timeout")[0]))
        connection.execute(text(sql(step, label=names.label, part=table)[0]))
