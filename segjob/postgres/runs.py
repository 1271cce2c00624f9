"""The rows of `run`: what was executed, how it ended, and what a person should know about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from segjob import __version__
from segjob.errors import DatabaseUnavailable, TryAgain
from segjob.postgres.connecting.connect import Database
from segjob.postgres.queries import query
from segjob.postgres.tables import run

LOOKUP_DEADLINE = 60.0  # seconds in which a server that died at a COMMIT may come back and tell


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


@contextmanager
def ending_run(database: Database, run_id: int) -> Iterator[Connection]:
    """The transaction in which a run ends with all that it makes visible; committed when the block ends.

    Where the connection dies at COMMIT, only the server knows whether it was committed: it is looked up by the run's
    id, and never repeated.

    Raises
    ------
    DatabaseUnavailable
        The transaction was not committed; or nobody can tell, and the message says so.
    """
    complete = False
    try:
        with database.begin() as connection:
            yield connection
            complete = True
    except DatabaseUnavailable as lost:
        if not complete or not has_ended(database, run_id, lost):
            raise


def has_ended(database: Database, run_id: int, lost: DatabaseUnavailable) -> bool:
    """Whether the run's row says so, after waiting for a transaction that is still about to write there.

    Who had the lock after us may have called the run lost by then: it was still running, so nothing was committed.

    The transaction that ends a run holds a lock on the row from before its COMMIT until it is decided.
    """
    row = select(run.c.status).where(run.c.run_id == run_id).with_for_update(key_share=True)
    try:
        for attempt in Retrying(
            stop=stop_after_delay(LOOKUP_DEADLINE),
            wait=wait_random_exponential(multiplier=0.2, max=3.0),
            retry=retry_if_exception_type((DatabaseUnavailable, TryAgain)),
            reraise=True,
        ):
            with attempt, database.begin() as connection:
                connection.execute(query("lock_timeout"))
                status = connection.execute(row).scalar_one()
    except (DatabaseUnavailable, TryAgain) as unknown:
        raise DatabaseUnavailable(
            f"the connection broke while run {run_id} was committed, and whether it was can not be looked up "
            f"({unknown}); `segjob status` tells when the server is back, and to run again is safe"
        ) from lost
    return status not in ("running", "lost")
