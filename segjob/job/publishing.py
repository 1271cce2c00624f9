"""A version becomes visible."""

from __future__ import annotations

from dataclasses import replace

from segjob.errors import TryAgain
from segjob.job.recording import Record
from segjob.job.task import Task
from segjob.postgres.locks import Lock
from segjob.postgres.publish import analyze_labels, attach, publish
from segjob.postgres.retention import detach_old
from segjob.postgres.write import Part
from segjob.records import Version


def make_visible(task: Task, lock: Lock, part: Part, version: Version, record: Record) -> Version:
    """Attach the labels, and move the pointer. Older versions than the parent go out of the planner's sight first."""
    with task.progress.phase("publish"):
        if task.order.prune:
            keep = {part.version_id, version.parent_version_id or part.version_id}
            record.warnings += task.warned(detach_old(task.database, part.names, keep))
        attach(task.database, part)
        lock.verify()
        finished = record.columns(task.progress)
        published_at = publish(task.database, part, record.run_id, version.parent_version_id, finished)
        analyze(task, record)
    return replace(version, status="published", published_at=published_at)


def analyze(task: Task, record: Record) -> None:
    """Give the planner its statistics. The version is published: nothing that happens here takes that back."""
    try:
        analyze_labels(task.database, task.names)
    except TryAgain as error:
        record.warnings += task.warned([f"the label table could not be analysed: {error}"])
