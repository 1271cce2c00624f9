"""Labels between two fits: who came or changed gets a segment of the published version, who left loses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from segjob.clustering.drift import Drift, measure_drift
from segjob.clustering.model_features import answers_for
from segjob.errors import ConfigurationError, if_possible
from segjob.job.customers import Spooled
from segjob.job.publishing import PATIENCE, analyze
from segjob.job.recording import Record, recorded, warn_late
from segjob.job.relabelling import Asked, labelled, listed, read_asked, refuse_nobody
from segjob.job.run import load_torch, started
from segjob.job.source import watermark_column
from segjob.job.task import Order, Task, open_task
from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import Lock, fenced, hold_lock
from segjob.postgres.privileges import check_privileges
from segjob.postgres.publishing.history import keep_moves
from segjob.postgres.publishing.moves import Moves, drop_left_moves, drop_moves
from segjob.postgres.publishing.publish import Pointer, pointer_of
from segjob.postgres.publishing.scoring import (
    DROP_SECONDS,
    Changes,
    Occupied,
    Scored,
    Scoring,
    count_unknown,
    drop_left,
    find_changes,
    labelled_under,
    make_changes,
    occupied,
    outdated,
    write_moves_of_changes,
)
from segjob.postgres.publishing.versions import load_version
from segjob.postgres.reading.partial import Watermark
from segjob.progress import Progress
from segjob.records.version import Version

if TYPE_CHECKING:
    from segjob.config import Settings


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    n_read: int
    changes: Changes
    drift: Drift
    fit_due: bool
    publication: int | None


def score(
    database: Database, settings: Settings, name: str, params: Mapping[str, str], progress: Progress
) -> dict[str, Any]:
    """Bring the labels of the published version up to date with the source; returns `score --json`.

    It has a lock of its own: a fit may go on beside it.

    Raises
    ------
    SegjobError
        Whatever went wrong; the labels are as they were.
    """
    with (
        open_task(database, settings, name, Order(params), progress) as task,
        hold_lock(database, name, "score") as lock,
        recorded(database, progress, started(task, "score")) as record,
        fenced(lock),
    ):
        with database.begin() as connection:
            check_privileges(connection, task.names)
            drop_left(connection, task.names)
        version, outcome = execute(task, lock, record)
    return document(version, outcome, record, progress)


def execute(task: Task, lock: Lock, record: Record) -> tuple[Version, Outcome]:
    """Everything between the lock and the result.

    What the watermark was is of use only if nothing of the configuration is another one since that changes labels.
    """
    load_torch()
    with task.database.begin() as connection:
        version = load_version(connection, task.name)
        before = labelled_under(connection, task.names, version.version_id)
    with task.database.customers.begin() as connection:
        mark = watermark_column(connection, task.segmentation, task.order.params)
        highest = mark.highest(connection) if mark else None
    check_same_features(task, version)
    work = Work(task, lock, version, record, highest)
    since = mark.value_of(version.watermark) if mark and before == task.segmentation.config_hash() else None
    outcome = score_recent(work, mark, since) if mark and since is not None else None
    return version, outcome or score_everyone(work)


@dataclass(frozen=True)
class Work:
    """A version whose labels are brought up to date; `highest` is the watermark of whoever is read from now on."""

    task: Task
    lock: Lock
    version: Version
    record: Record
    highest: str | None

    @property
    def scored(self) -> Scored:
        return Scored(self.task.names, self.version.version_id, self.task.plan.keys)


def score_everyone(work: Work) -> Outcome:
    """Read all customers, and compare all labels."""
    asked = Asked(work.version.model, work.scored, work.task.plan)
    spooled = read(work, asked)
    refuse_nobody(work.task, spooled)
    with labelled(work.task, asked, spooled):
        return put_in_place(work, spooled, "all_labels")


def score_recent(work: Work, mark: Watermark, since: str) -> Outcome | None:
    """Read all keys, and of the customers those whose watermark says that they changed.

    Returns None where there are new customers with an old watermark: then everyone has to be read.
    """
    task, scored, segmentation = work.task, work.scored, work.task.segmentation
    present = replace(scored, purpose="present")
    recent = mark.plan_since(since, segmentation.key, segmentation.feature_specs())
    asked = Asked(work.version.model, scored, recent)
    with listed(task, present, mark.plan_keys(segmentation.key)):
        spooled = read(work, asked)
        with labelled(task, asked, spooled):
            with task.database.begin() as connection:
                n_unknown = count_unknown(connection, scored)
            if not n_unknown:
                return put_in_place(work, spooled, "labels_of_recent")
    sentence = f"{n_unknown} new customers have a {segmentation.watermark} of long ago, so everyone was read"
    work.record.warnings += task.warned([sentence])
    return None


def read(work: Work, asked: Asked) -> Spooled:
    spooled = read_asked(work.task, asked)
    work.record.rows_read = spooled.n_rows
    work.record.warnings += spooled.warnings
    return spooled


def check_same_features(task: Task, version: Version) -> None:
    """A model can only be asked about the features that it knows."""
    families = [column.family for column in task.plan.features]
    if not answers_for(version.model, task.segmentation.feature_specs(), families):
        raise ConfigurationError(
            f"segmentation {task.name}: its features are no longer those of version {version.version_id}; "
            "`segjob run` makes a version that knows them"
        )


def put_in_place(work: Work, spooled: Spooled, known: str) -> Outcome:
    """Find what changed, add it to the history, and make it visible; nobody publishes meanwhile."""
    task, scored, record = work.task, work.scored, work.record
    with task.progress.phase("publish"), hold_lock(task.database, task.name, "publish", PATIENCE) as publishing:
        with task.database.begin() as connection:
            pointer = still_published(pointer_of(connection, task.name), scored)
            drop_left_moves(connection, task.names)
            changes = find_changes(connection, scored, known)
            found = occupied(connection, scored)
        drift = drift_of(work.version, found)
        fit_due = drifted(task, drift)
        record.rows_labelled = changes.n_came + changes.n_changed
        record.warnings += task.warned(drift_warnings(task, drift) if fit_due else [])
        kept = remember(task, scored, changes, pointer)
        for lock in (work.lock, publishing):
            lock.verify()
        scoring = Scoring(scored, pointer, changes, found, record.run_id, kept, fit_due, work.highest)
        done = make_changes(task.database, scoring, record.columns(task.progress))
        if done:
            warn_late(task.database, record, task.progress, analyze(task.database, task.names))
    return Outcome(spooled.n_rows, changes, drift, fit_due, done.publication if done else None)


def still_published(pointer: Pointer | None, scored: Scored) -> Pointer:
    """The version whose model was asked, or nothing is done."""
    if pointer is None or pointer.version_id != scored.version_id:
        raise outdated(scored)
    return pointer


def remember(task: Task, scored: Scored, changes: Changes, pointer: Pointer) -> bool:
    """Add who moves to the history, still invisible; returns whether it knows them."""
    if not changes.n_moved or not task.segmentation.history:
        return False
    moves = Moves(task.names, pointer.publication + 1, scored.keys)
    try:
        with task.database.begin() as connection:
            write_moves_of_changes(connection, scored, moves)
        keep_moves(task.database, moves, changes.n_moved)
    except BaseException:
        with if_possible():
            drop_moves(replace(task.database, deadline=DROP_SECONDS), moves)
        raise
    return True


# Drift


def drift_of(version: Version, found: tuple[Occupied, ...]) -> Drift:
    by_id = {one.segment_id: one for one in found}
    now = [by_id.get(segment.segment_id, Occupied(segment.segment_id, 0, 0)) for segment in version.segments]
    then = [segment.n_customers for segment in version.segments]
    return measure_drift(then, [one.n_customers for one in now], [one.n_far for one in now])


def drifted(task: Task, drift: Drift) -> bool:
    bounds = task.segmentation.drift
    return drift.psi > bounds.max_psi or drift.far_share > bounds.max_far_share


def drift_warnings(task: Task, drift: Drift) -> list[str]:
    bounds = task.segmentation.drift
    return [
        "the customers drifted from those of the fit, a new one is due: population stability index "
        f"{drift.psi:.3f} (at most {bounds.max_psi:g}), {drift.far_share:.1%} far from their centre (at most "
        f"{bounds.max_far_share:.1%})"
    ]


def document(version: Version, outcome: Outcome, record: Record, progress: Progress) -> dict[str, Any]:
    """What `score --json` prints."""
    return {
        "segmentation": version.segmentation,
        "run_id": record.run_id,
        "version_id": version.version_id,
        "status": "succeeded",
        "n_read": outcome.n_read,
        **asdict(outcome.changes),
        "publication": outcome.publication,
        "drift": asdict(outcome.drift),
        "fit_due": outcome.fit_due,
        "warnings": record.warnings,
        "seconds": progress.seconds(),
    }
