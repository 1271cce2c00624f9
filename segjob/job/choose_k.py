"""Trying numbers of segments without making a version: lock, read, try, store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from segjob.engine.spool import Budget
from segjob.job.customers import Customers
from segjob.job.recording import Record, recorded
from segjob.job.run import SPOOL_PART, load_torch, read
from segjob.job.source import plan_source, shape_of
from segjob.job.task import Order, Task
from segjob.postgres.candidates import published_segments, store_candidates
from segjob.postgres.connect import Database
from segjob.postgres.locks import Lock, hold_lock
from segjob.postgres.runs import finish_run, start_run
from segjob.postgres.shapes import check_up_to_date
from segjob.progress import Progress

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
    with database.begin() as connection:
        plan = plan_source(connection, settings.segmentation(name), params)
        check_up_to_date(connection, database.schemas, shape_of(name, plan))
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own pools keep what is freed
    budget = Budget(settings.resources.memory_budget // SPOOL_PART)
    with ExitStack() as spools:
        task = Task(database, settings, name, Order(params), plan, progress, budget, spools)
        lock = spools.enter_context(hold_lock(database, name, "choose-k"))
        record = begin(task, numbers)
        with recorded(database, record, progress):
            return execute(task, lock, record, numbers)


def begin(task: Task, numbers: range) -> Record:
    """Write the row of this run."""
    segmentation = task.segmentation
    params = {**segmentation.params, **task.order.params, "min": numbers[0], "max": numbers[-1]}
    with task.database.begin() as connection:
        return Record(start_run(connection, task.name, "choose_k", segmentation.config_hash(), params))


def execute(task: Task, lock: Lock, record: Record, numbers: range) -> dict[str, Any]:
    """Everything between the lock and the result."""
    load_torch()
    with task.database.begin() as connection:
        published = published_segments(connection, task.name)
    customers = read(task, record)
    choice = try_numbers(task, customers, record, numbers, published)
    if not choice.clear:
        record.warnings.append(choice.reason)
    lock.verify()
    with task.progress.phase("write"), task.database.begin() as connection:
        store_candidates(connection, task.name, record.run_id, choice.candidates)
        finish_run(connection, record.run_id, "succeeded", exit_code=0, **record.columns(task.progress))
    return {
        "segmentation": task.name,
        "run_id": record.run_id,
        "status": "succeeded",
        "n_customers": customers.labelled.n_rows,
        "n_unlabelled": customers.unlabelled.n_rows,
        "published": published,
        **choice_document(choice),
        "warnings": record.warnings,
        "seconds": task.progress.seconds(),
    }


def try_numbers(task: Task, customers: Customers, record: Record, numbers: range, published: int | None) -> Choice:
    """The features' constants, the coordinates of everyone, and a clustering for each number of segments."""
    with task.progress.phase("fit"):
        from segjob.clustering.choose_k import choose
        from segjob.job.fitting import prepare

        found = prepare(task, customers)
        record.warnings += task.warned(found.plan.warnings)
        seed, unit = task.segmentation.seed, found.plan.unit
        return choose(
            found.sample, found.population, numbers, seed=seed, unit=unit, device=task.device, published=published
        )


def choice_document(choice: Choice) -> dict[str, Any]:
    """What was tried, what is suggested, and why."""
    return {
        "suggested": choice.suggested,
        "clear": choice.clear,
        "reason": choice.reason,
        "candidates": [asdict(one) for one in choice.candidates],
    }
