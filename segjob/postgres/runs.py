"""The rows of `run`: what was executed, how it ended, and what a person should know about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, update

from segjob import __version__
from segjob.postgres.tables import run


def start_run(connection: Connection, segmentation: str, kind: str, config_hash: str, params: Mapping[str, Any]) -> int:
    """Write the row of a run that holds its lock; returns its id, which is also its fencing number.

    A run that still says `running` while we hold the lock belongs to a process that died: it is marked lost.
    """
    connection.execute(
        update(run)
        .where(run.c.segmentation == segmentation, run.c.kind == kind, run.c.status == "running")
        .values(status="lost", finished_at=func.clock_timestamp(), error="the process ended without a word")
    )
    values = {"segmentation": segmentation, "kind": kind, "config_hash": config_hash}
    bound = {name: str(value) for name, value in params.items()}
    statement = insert(run).values(**values, program_version=__version__, params=bound)
    return int(connection.execute(statement.returning(run.c.run_id)).scalar_one())


def finish_run(connection: Connection, run_id: int, status: str, **values: Any) -> None:
    """Say how a run ended, once: what happens after it was published does not undo that. `values` are its columns."""
    ended = update(run).where(run.c.run_id == run_id, run.c.status == "running")
    connection.execute(ended.values(status=status, finished_at=func.clock_timestamp(), **values))


def add_warnings(connection: Connection, run_id: int, warnings: list[str]) -> None:
    """Keep with a run what was noticed after it had ended, such as while old versions were pruned."""
    connection.execute(update(run).where(run.c.run_id == run_id).values(warnings=run.c.warnings.concat(warnings)))
