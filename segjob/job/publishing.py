"""The end of a run: its version is compared, asked through the gates, and becomes visible, or does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from segjob.errors import DatabaseUnavailable, InTheWay, TryAgain
from segjob.job.catching_up import catch_up
from segjob.job.comparing import Compared, compared
from segjob.job.gates import evaluate, measure, refusals, refused, warnings
from segjob.job.recording import Record, warn_late
from segjob.job.task import Task
from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import Lock, hold_lock
from segjob.postgres.publishing.gates import basis_of, reject, store_gates
from segjob.postgres.publishing.publish import Move, analyze_labels, attach, overtaken, pointer_of, publish
from segjob.postgres.publishing.transitions import store_transitions
from segjob.postgres.queries import Names
from segjob.postgres.runs import ending_run, finish_run
from segjob.postgres.writing.write import Part
from segjob.records.comparison import Comparison
from segjob.records.version import Version

PATIENCE = 60.0  # seconds that a fit, which may have taken an hour, waits for who publishes right now


def conclude(task: Task, lock: Lock, part: Part, version: Version, record: Record) -> Version:
    """Ask the gates; then publish the version, keep it back, or reject it. Nobody else publishes meanwhile."""
    with task.progress.phase("publish"), hold_lock(task.database, task.name, "publish", PATIENCE) as publishing:
        check_parent(task, part, version)
        catch_up(task, part, version, record)
        with compared_with_parent(task, part, version) as found:
            version = judge(task, version, found.comparison)
            record.warnings += task.warned(warnings(version.gates))
            if refused(version.gates):
                return turn_away(task, version, record)
            if not task.order.publish:
                return keep_back(task, version, record)
            return make_visible(task, (lock, publishing), part, version, found, record)


def compared_with_parent(task: Task, part: Part, version: Version) -> AbstractContextManager[Compared]:
    """Who moves with this version; history need not know of what is not to be published."""
    history = task.segmentation.history and task.order.publish
    return compared(task.database, version.parent_version_id, part, carried=True, history=history)


def check_parent(task: Task, part: Part, version: Version) -> None:
    """Who is not to be published anyway need not be compared."""
    with task.database.begin() as connection:
        pointer = pointer_of(connection, task.name)
    published = pointer.version_id if pointer else None
    if task.order.publish and published != version.parent_version_id:
        raise overtaken(part)


def judge(task: Task, version: Version, comparison: Comparison | None) -> Version:
    """The same version with what the gates say of it, stored with who moved since its parent."""
    churn, parent = comparison.label_churn if comparison else None, version.parent_version_id
    with task.database.begin() as connection:
        measured = measure(version, basis_of(connection, task.name, parent), churn)
        version = replace(version, gates=evaluate(task.segmentation.gates, measured))
        store_gates(connection, version, churn)
        if parent is not None and comparison is not None:
            store_transitions(connection, task.name, parent, version.version_id, comparison)
    return version


def turn_away(task: Task, version: Version, record: Record) -> Version:
    """A gate refused the version: nothing becomes visible, and its labels stay for whoever wants to look at them."""
    with ending_run(task.database, record.run_id) as connection:
        reject(connection, version, refusals(version.gates), record.columns(task.progress))
    return replace(version, status="rejected")


def keep_back(task: Task, version: Version, record: Record) -> Version:
    """The order was not to publish: the run has done its work."""
    finished = record.columns(task.progress)
    with ending_run(task.database, record.run_id) as connection:
        finish_run(connection, record.run_id, "succeeded", version_id=version.version_id, exit_code=0, **finished)
    return version


def make_visible(
    task: Task, locks: tuple[Lock, ...], part: Part, version: Version, found: Compared, record: Record
) -> Version:
    """Attach the labels, add to the history, and move the pointer."""
    with kept_if_in_the_way(part):
        attach(task.database, part)
        kept = found.keep(task.database)
        for lock in locks:
            lock.verify()
        finished = record.columns(task.progress)
        move = Move(part, "run", record.run_id, version.parent_version_id, found.publication, begins_history=not kept)
        published_at = publish(task.database, move, finished).published_at
    warn_late(task.database, record, task.progress, analyze(task.database, task.names))
    return replace(version, status="published", published_at=published_at)


@contextmanager
def kept_if_in_the_way(part: Part) -> Iterator[None]:
    """A version that only somebody's lock keeps from being seen need not be made again: the message says so."""
    try:
        yield
    except InTheWay as error:
        name, version_id = part.names.segmentation, part.version_id
        raise InTheWay(
            f"{error}; version {version_id} is complete and kept as staged: `segjob publish {name} {version_id}` when "
            "nobody is in the way, or run again"
        ) from error


def analyze(database: Database, names: Names) -> list[str]:
    """Give the planner its statistics. The version is published: nothing that happens here takes that back."""
    try:
        analyze_labels(database, names)
    except (TryAgain, DatabaseUnavailable) as error:
        return [f"the label table could not be analysed: {error}"]
    return []
