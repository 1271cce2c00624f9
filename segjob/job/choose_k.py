"""Trying numbers of segments without making a version: lock, read, try, store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from segjob.job.customers import Customers
from segjob.job.recording import Record, recorded
from segjob.job.run import load_torch, read, started
from segjob.job.task import Order, Task, open_task
from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import Lock, fenced, hold_lock
from segjob.postgres.publishing.candidates import store_candidates
from segjob.postgres.publishing.versions import published_model
from segjob.postgres.runs import ending_run, finish_run
from segjob.progress import Progress
from segjob.records.model import Model

if TYPE_CHECKING:
    from segjob.clustering.choice import Choice
    from segjob.config import Settings


def choose_k(
    database: Database, settings: Settings, name: str, numbers: range, params: Mapping[str, str], progress: Progress
) -> dict[str, Any]:
    """Try every number of segments and store what came of it; returns `choose-k --json`.

    It has a lock of its own: a run may go on beside it.

    Raises
    ------
    SegjobError
        Whatever went wrong; nothing that is published ever changes.
    """
    with (
        open_task(database, settings, name, Order(params), progress) as task,
        hold_lock(database, name, "choose-k") as lock,
    ):
        row = started(task, "choose_k", min=numbers[0], max=numbers[-1])
        with recorded(database, progress, row) as record, fenced(lock):
            return execute(task, lock, record, numbers)


def execute(task: Task, lock: Lock, record: Record, numbers: range) -> dict[str, Any]:
    """Everything between the lock and the result."""
    load_torch()
    with task.database.begin() as connection:
        published = published_model(connection, task.name)
    customers = read(task, record)
    lock.verify()
    choice = try_numbers(task, customers, record, numbers, published)
    if not choice.clear:
        record.warnings.append(choice.reason)
    lock.verify()
    with task.progress.phase("write"), ending_run(task.database, record.run_id) as connection:
        store_candidates(connection, task.name, record.run_id, choice.candidates)
        finish_run(connection, record.run_id, "succeeded", exit_code=0, **record.columns(task.progress))
    return {
        "segmentation": task.name,
        "run_id": record.run_id,
        "status": "succeeded",
        "n_customers": customers.labelled.n_rows,
        "n_unlabelled": customers.unlabelled.n_rows,
        "published": len(published.segment_ids) if published else None,
        **choice_document(choice),
        "warnings": record.warnings,
        "seconds": task.progress.seconds(),
    }


def try_numbers(task: Task, customers: Customers, record: Record, numbers: range, published: Model | None) -> Choice:
    """The features' constants, the coordinates of everyone, and a clustering for each number of segments."""
    with task.progress.phase("fit"):
        from segjob.job.fitting import choose_number
        from segjob.job.prepared import prepare

        prepared = prepare(task, customers)
        record.warnings += task.warned(prepared.warnings)
        return choose_number(task, prepared, numbers, published)


def choice_document(choice: Choice) -> dict[str, Any]:
    """What was tried, what is suggested, and why."""
    return {
        "suggested": choice.suggested,
        "clear": choice.clear,
        "reason": choice.reason,
        "candidates": [asdict(one) for one in choice.candidates],
    }
