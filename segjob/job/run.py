"""The run from top to bottom: lock, read, fit, label, score, write, ask the gates, publish."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from segjob.clustering.model_arrays import model_arrays
from segjob.engine.aside import aside
from segjob.job.customers import Customers, read_customers
from segjob.job.document import changes, result_document
from segjob.job.gates import evaluate, measure
from segjob.job.gates import warnings as warnings_of
from segjob.job.pruning import prune_after
from segjob.job.publishing import conclude
from segjob.job.recording import Record, Started, recorded
from segjob.job.source import watermark_column
from segjob.job.task import Order, Task, open_task
from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import Lock, fenced, fit_lock
from segjob.postgres.privileges import check_privileges
from segjob.postgres.publishing.candidates import store_candidates
from segjob.postgres.publishing.gates import basis_of
from segjob.postgres.publishing.scoring import forget_touched
from segjob.postgres.publishing.versions import (
    load_published,
    next_version,
    sample_lines,
    store_model,
    store_sample,
    store_version,
)
from segjob.postgres.writing.write import Part, completing, drop_orphans, new_part
from segjob.preload import wait_for_library
from segjob.progress import Progress
from segjob.records.version import Version
from segjob.threads import start

if TYPE_CHECKING:
    from segjob.config import Settings
    from segjob.job.fitting import Fitted
    from segjob.job.version import Counted, SampleScores


def run(database: Database, settings: Settings, name: str, order: Order, progress: Progress) -> dict[str, Any]:
    """Make a version of a segmentation, and publish it unless a gate or the order says otherwise.

    Returns `run --json`; a version that a gate refused is no error here, its status says `rejected`.

    Raises
    ------
    SegjobError
        Whatever went wrong; the published version is as it was.
    """
    with database.kept() as kept, open_task(kept, settings, name, order, progress) as task:
        if order.dry_run:
            return rehearse(task)
        with (
            fit_lock(kept, name) as lock,
            recorded(kept, progress, started(task)) as record,
            fenced(lock),
        ):
            clear_away(task)
            return execute(task, lock, record)


def started(task: Task, kind: str = "run", **params: Any) -> Started:
    """The row of this run; whatever goes wrong from here on stands in it."""
    segmentation = task.segmentation
    return Started(task.name, kind, segmentation.config_hash(), {**segmentation.params, **task.order.params, **params})


def clear_away(task: Task) -> None:
    """Make sure that this role may write what it is going to, and drop what a dead run left."""
    with task.database.begin() as connection:
        check_privileges(connection, task.names)
        orphans = drop_orphans(connection, task.names)
        forget_touched(connection, task.names)
    for orphan in orphans:
        task.progress.log("dropped a table that a dead run left", table=orphan)


def execute(task: Task, lock: Lock, record: Record) -> dict[str, Any]:
    """Everything between the lock and the result."""
    load_torch()
    customers = read(task, record)
    lock.verify()
    fitted = fit(task, customers)
    record.warnings += task.warned(fitted.warnings)
    lock.verify()
    version, part = write(task, lock, customers, fitted, record)
    version = conclude(task, lock, part, version, record)
    if task.order.prune and version.status == "published":
        prune_after(task.database, task.names, task.segmentation.keep_versions, record, task.progress)
    return result_document(version, fitted.fit, version.status, task.progress, record.warnings)


def rehearse(task: Task) -> dict[str, Any]:
    """Do all but write, and tell what would change, and what the gates would say of it."""
    load_torch()
    record = Record()
    customers = read(task, record)
    fitted = fit(task, customers)
    record.warnings += task.warned(fitted.warnings)
    from segjob.job.labelling import only_label

    counted = only_label(task, customers, fitted)
    by_sample = partial(scored_by_sample, task, fitted)
    version = build(task, customers, fitted, counted, by_sample, 0, record)
    with task.database.begin() as connection:
        published = load_published(connection, task.name)
        basis = basis_of(connection, task.name, published.version_id if published else None)
    version = replace(version, gates=evaluate(task.segmentation.gates, measure(version, basis, None)))
    record.warnings += task.warned(warnings_of(version.gates))
    document = result_document(version, fitted.fit, "dry_run", task.progress, record.warnings)
    return {**document, "run_id": None, "version_id": None, "changes": changes(published, version)}


def load_torch() -> None:
    """Begin to import torch, which takes seconds, beside what is done next; who needs it then waits for the rest."""
    start(Thread(target=import_ahead, name="segjob-import"))


def import_ahead() -> None:
    with suppress(Exception):  # who needs it imports it again, and says what is wrong
        wait_for_library()
        import_module("segjob.job.labelling")


def read(task: Task, record: Record) -> Customers:
    """One snapshot into the spools; the watermark is taken before it, so that `score` misses nothing."""
    with task.database.customers.begin() as connection:
        mark = watermark_column(connection, task.segmentation, task.order.params)
        record.watermark = mark.highest(connection) if mark else None
    with task.progress.phase("read") as phase:
        customers = task.spools.enter_context(read_customers(task, phase))
    record.rows_read = customers.n_rows
    record.warnings += customers.warnings
    pa.default_memory_pool().release_unused()
    return customers


def fit(task: Task, customers: Customers) -> Fitted:
    """The features' constants, the coordinates of everyone, the centres. Torch is needed here and not before."""
    with task.progress.phase("fit") as phase:
        from segjob.job.fitting import fit_customers
        from segjob.job.prepared import prepare

        fitted = fit_customers(task, customers, prepare(task, customers))
        phase.note(full_passes=fitted.fit.n_full_passes)
    pa.default_memory_pool().release_unused()
    return fitted


def write(task: Task, lock: Lock, customers: Customers, fitted: Fitted, record: Record) -> tuple[Version, Part]:
    """The labels of a version in their table, and the version beside them.

    It is scored by the sample while the labels travel, as far as these let it.

    The version is stored when all of its labels are known to be there. Without it, its table goes away again.
    """
    from segjob.job.labelling import write_labels

    database = task.database
    with database.begin() as connection:
        version_id = next_version(connection, task.name)
    part = Part(task.names, version_id, task.plan.keys)
    with (
        task.progress.phase("write", customers.n_rows) as phase,
        new_part(database, part),
        aside() as thread,
    ):
        by_sample = thread.submit(scored_by_sample, task, fitted)
        sample = thread.submit(lambda: sample_lines(by_sample.result().sample))
        counted = write_labels(task, part, customers, fitted, phase)
        record.rows_labelled = customers.labelled.n_rows
        with completing(database, part) as wait_for_key:
            version = build(task, customers, fitted, counted, by_sample.result, version_id, record)
            model = model_arrays(version.model)
            task.spools.close()  # nobody reads the customers again; to let go of them takes a while too
            wait_for_key()
            lock.verify()
            with database.begin() as connection:
                store_version(connection, replace(version, watermark=record.watermark))
                store_sample(connection, task.names, version_id, sample.result())
                store_model(connection, version, model)
                if fitted.choice:
                    store_candidates(connection, task.name, record.run_id, fitted.choice.candidates)
    return version, part


def scored_by_sample(task: Task, fitted: Fitted) -> SampleScores:
    """How good the segments are by the sample, which needs no label."""
    from segjob.job.version import score_sample

    with task.progress.phase("score"):
        return score_sample(fitted, task.device)


def build(
    task: Task,
    customers: Customers,
    fitted: Fitted,
    counted: Counted,
    by_sample: Callable[[], SampleScores],
    version_id: int,
    record: Record,
) -> Version:
    """All that the version says, once it is known how good its segments are."""
    from segjob.job.version import Identity, build_version

    parent = fitted.matched.parent
    identity = Identity(task.name, version_id, parent.version_id if parent else None, record.run_id)
    with task.progress.timing("score"):
        return build_version(task, identity, customers, fitted, counted, by_sample())
