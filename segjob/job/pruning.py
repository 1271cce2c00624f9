"""Old versions lose their labels: by a command, or when a run has published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segjob.errors import DatabaseUnavailable, NotPermitted, TryAgain
from segjob.job.recording import Record, Started, recorded, warn_late
from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import hold_lock
from segjob.postgres.queries import Names
from segjob.postgres.removing.retention import Pruned, prune
from segjob.postgres.runs import ending_run, finish_run
from segjob.postgres.shapes import check_up_to_date
from segjob.progress import Progress

if TYPE_CHECKING:
    from segjob.config import Settings


def prune_versions(database: Database, settings: Settings, name: str, progress: Progress) -> dict[str, Any]:
    """Prune one segmentation by itself, in a run of its own; returns `prune --json`."""
    segmentation = settings.segmentation(name)
    with database.begin() as connection:
        check_up_to_date(connection, database.schemas)
    started = Started(name, "prune", segmentation.config_hash())
    with hold_lock(database, name, "prune"), recorded(database, progress, started) as record:
        pruned = prune(database, Names(database.schemas, name), segmentation.keep_versions)
        record.warnings += said(progress, pruned)
        with ending_run(database, record.run_id) as connection:
            finish_run(connection, record.run_id, "succeeded", exit_code=0, **record.columns(progress))
    return {
        "segmentation": name,
        "run_id": record.run_id,
        "status": "succeeded",
        "keep_versions": segmentation.keep_versions,
        "pruned": list(pruned.versions),
        "warnings": record.warnings,
    }


def prune_after(database: Database, names: Names, keep_versions: int, record: Record, progress: Progress) -> None:
    """Prune after a publication, which nothing that happens here takes back: what is in the way makes a warning."""
    with progress.timing("publish"):
        try:
            pruned = prune(database, names, keep_versions)
            if pruned.versions:
                progress.log("dropped the labels of old versions", versions=list(pruned.versions))
            found = list(pruned.warnings)
        except (TryAgain, DatabaseUnavailable, NotPermitted) as error:
            found = [f"old versions were not pruned: {error}"]
        warn_late(database, record, progress, found)


def said(progress: Progress, pruned: Pruned) -> list[str]:
    for sentence in pruned.warnings:
        progress.warn(sentence)
    return list(pruned.warnings)
