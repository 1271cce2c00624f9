"""The run's row: written when the lock is held, ended whatever happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from segjob.errors import DatabaseUnavailable, GateRefused, SegjobError, Stopped, TryAgain, unexpected
from segjob.postgres.connecting.connect import Database
from segjob.postgres.runs import add_warnings, finish_run, start_run
from segjob.progress import Progress

STOPPED_SECONDS = 1.0  # to ask a server that does not answer, for somebody who was told to end


@dataclass
class Record:
    """What is known of a run so far."""

    run_id: int = 0
    rows_read: int | None = None
    rows_labelled: int | None = None
    warnings: list[str] = field(default_factory=list)
    watermark: str | None = None

    def columns(self, progress: Progress) -> dict[str, Any]:
        """The columns of the run's row that hold it."""
        return {
            "rows_read": self.rows_read,
            "rows_labelled": self.rows_labelled,
            "warnings": self.warnings,
            "seconds": progress.seconds(),
        }


@dataclass(frozen=True)
class Started:
    """What the row of a run says from its beginning."""

    segmentation: str
    kind: str
    config_hash: str
    params: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def recorded(database: Database, progress: Progress, started: Started) -> Iterator[Record]:
    """Write the row of a run that has its lock, and how the block failed, if it fails.

    Who succeeds writes that in the transaction that publishes. The number is known before the row is committed, so that
    no moment is left in which a signal finds a row that nobody would end.
    """
    record = Record()
    try:
        with database.begin() as connection:
            record.run_id = start_run(connection, **vars(started))
        yield record
    except SegjobError as error:
        write_failure(database, record, progress, error)
        raise
    except Exception as error:  # whatever it was, the row must not stay `running`
        told = unexpected(error)
        write_failure(database, record, progress, told)
        raise told from error


def warn_late(database: Database, record: Record, progress: Progress, sentences: Sequence[str]) -> None:
    """Say what was noticed after a run had ended, and keep it with the run, unless the server is gone by now."""
    for sentence in sentences:
        progress.warn(sentence)
    record.warnings += sentences
    if sentences:
        try:
            with database.begin() as connection:
                add_warnings(connection, record.run_id, list(sentences))
        except (DatabaseUnavailable, TryAgain) as error:
            progress.warn(f"run {record.run_id} does not keep these warnings: {error}")


def write_failure(database: Database, record: Record, progress: Progress, error: SegjobError) -> None:
    """End the row; a server that is gone can not be told, and the first error is the one that counts, or a signal."""
    if not record.run_id:
        return
    if isinstance(error, Stopped):
        database = replace(database, deadline=STOPPED_SECONDS)
    status = "stopped" if isinstance(error, Stopped) else "rejected" if isinstance(error, GateRefused) else "failed"
    try:
        with database.begin() as connection:
            values = record.columns(progress)
            finish_run(connection, record.run_id, status, exit_code=error.exit_code, error=str(error), **values)
    except Stopped as stopped:
        if not isinstance(error, Stopped):
            write_failure(database, record, progress, stopped)
        raise
    except Exception as unreachable:  # whatever it is, the error that ended the run is the one to be told
        told = unreachable if isinstance(unreachable, SegjobError) else unexpected(unreachable)
        progress.warn(f"run {record.run_id} could not be marked as {status}: {told}")
