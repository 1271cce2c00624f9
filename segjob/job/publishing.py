"""The end of a run: its version is compared, asked through the gates, and becomes visible, or does not."""

from __future__ import annotations

from dataclasses import replace

from segjob.errors import TryAgain
from segjob.job.gates import evaluate, measure, refusals, refused, warnings
from segjob.job.recording import Record
from segjob.job.task import Task
from segjob.postgres.connect import Database
from segjob.postgres.gates import published_basis, reject, store_gates
from segjob.postgres.locks import Lock, hold_lock
from segjob.postgres.publish import analyze_labels, attach, publish
from segjob.postgres.queries import Names
from segjob.postgres.runs import finish_run
from segjob.postgres.write import Part
from segjob.records import Version

PATIENCE = 60.0  # seconds that a fit, which may have taken an hour, waits for who publishes right now


def conclude(task: Task, lock: Lock, part: Part, version: Version, record: Record) -> Version:
    """Ask the gates; then publish the version, keep it back, or reject it. Nobody else publishes meanwhile."""
    with task.progress.phase("publish"), hold_lock(task.database, task.name, "publish", PATIENCE) as publishing:
        version = judge(task, version)
        record.warnings += task.warned(warnings(version.gates))
        if refused(version.gates):
            return turn_away(task, version, record)
        if not task.order.publish:
            return keep_back(task, version, record)
        return make_visible(task, (lock, publishing), part, version, record)


def judge(task: Task, version: Version) -> Version:
    """The same version with what the gates say of it."""
    with task.database.begin() as connection:
        published = published_basis(connection, task.name)
        measured = measure(version, published, None)
        version = replace(version, gates=evaluate(task.segmentation.gates, measured))
        store_gates(connection, version)
    return version


def turn_away(task: Task, version: Version, record: Record) -> Version:
    """A gate refused the version: nothing becomes visible, and its labels stay for whoever wants to look at them."""
    with task.database.begin() as connection:
        reject(connection, version, refusals(version.gates), record.columns(task.progress))
    return replace(version, status="rejected")


def keep_back(task: Task, version: Version, record: Record) -> Version:
    """The order was not to publish: the run has done its work."""
    finished = record.columns(task.progress)
    with task.database.begin() as connection:
        finish_run(connection, record.run_id, "succeeded", version_id=version.version_id, exit_code=0, **finished)
    return version


def make_visible(task: Task, locks: tuple[Lock, ...], part: Part, version: Version, record: Record) -> Version:
    """Attach the labels, and move the pointer."""
    attach(task.database, part)
    for lock in locks:
        lock.verify()
    finished = record.columns(task.progress)
    published_at = publish(task.database, part, record.run_id, version.parent_version_id, finished)
    record.warnings += task.warned(analyze(task.database, task.names))
    return replace(version, status="published", published_at=published_at)


def analyze(database: Database, names: Names) -> list[str]:
    """Give the planner its statistics. The version is published: nothing that happens here takes that back."""
    try:
        analyze_labels(database, names)
    except TryAgain as error:
        return [f"the label table could not be analysed: {error}"]
    return []
