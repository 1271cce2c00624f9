"""The run from top to bottom: lock, read, fit, label, score, write, publish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from segjob.config.segmentation import Segmentation
from segjob.engine.spool import Budget, Spool
from segjob.errors import DataError, TryAgain
from segjob.job.customers import Customers, read_customers
from segjob.job.document import changes, result_document
from segjob.job.recording import Record, recorded
from segjob.job.source import plan_source, shape_of
from segjob.postgres.columns import ReadPlan
from segjob.postgres.connect import Database
from segjob.postgres.locks import Lock, fit_lock
from segjob.postgres.publish import analyze_labels, attach, publish
from segjob.postgres.queries import Names
from segjob.postgres.retention import detach_old
from segjob.postgres.runs import finish_run, start_run
from segjob.postgres.shapes import check_up_to_date
from segjob.postgres.versions import load_published, next_version, store_version
from segjob.postgres.write import Part, drop_orphans, label_batch, load_part
from segjob.progress import Progress
from segjob.records import Version

if TYPE_CHECKING:
    from segjob.config import Settings
    from segjob.job.fitting import Fitted, Labelling

SPOOL_PART = 4  # of the memory, one part in so many holds customers


@dataclass(frozen=True)
class Order:
    """What is asked of a run."""

    params: Mapping[str, str] = field(default_factory=dict)
    dry_run: bool = False
    publish: bool = True
    prune: bool = True


@dataclass(frozen=True)
class Task:
    """One segmentation, to be run once."""

    database: Database
    settings: Settings
    name: str
    order: Order
    plan: ReadPlan
    progress: Progress
    budget: Budget
    spools: ExitStack

    @property
    def segmentation(self) -> Segmentation:
        return self.settings.segmentation(self.name)

    @property
    def names(self) -> Names:
        return Names(self.database.schemas, self.name)

    @property
    def device(self) -> str:
        return self.settings.resources.device


def run(database: Database, settings: Settings, name: str, order: Order, progress: Progress) -> dict[str, Any]:
    """Make a version of a segmentation, and publish it unless the order says otherwise; returns `run --json`.

    Raises
    ------
    SegjobError
        Whatever went wrong; the published version is as it was.
    """
    with database.begin() as connection:
        plan = plan_source(connection, settings.segmentation(name), order.params)
        check_up_to_date(connection, database.schemas, shape_of(name, plan))
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own pools keep what is freed
    budget = Budget(settings.resources.memory_budget // SPOOL_PART)
    with ExitStack() as spools:
        task = Task(database, settings, name, order, plan, progress, budget, spools)
        if order.dry_run:
            return rehearse(task)
        lock = spools.enter_context(fit_lock(database, name))
        record = begin(task)
        with recorded(database, record, progress):
            return execute(task, lock, record)


def begin(task: Task) -> Record:
    """Clear away what a dead run left, and write the row of this one."""
    segmentation = task.segmentation
    with task.database.begin() as connection:
        orphans = drop_orphans(connection, task.names)
        params = {**segmentation.params, **task.order.params}
        run_id = start_run(connection, task.name, "run", segmentation.config_hash(), params)
    for orphan in orphans:
        task.progress.log("dropped a table that a dead run left", table=orphan)
    return Record(run_id)


def execute(task: Task, lock: Lock, record: Record) -> dict[str, Any]:
    """Everything between the lock and the result."""
    customers = read(task)
    record.rows_read = customers.n_rows
    fitted = fit(task, customers)
    record.warnings += warned(task, fitted.warnings)
    lock.verify()
    part, parent = next_part(task)
    labelling = write_labels(task, part, customers, fitted)
    record.rows_labelled = customers.labelled.n_rows
    version = score(task, customers, fitted, labelling, part.version_id, parent, record.run_id)
    lock.verify()
    with task.progress.phase("write"), task.database.begin() as connection:
        store_version(connection, version)
        if not task.order.publish:
            values = record.columns(task.progress)
            finish_run(connection, record.run_id, "succeeded", version_id=part.version_id, exit_code=0, **values)
    if task.order.publish:
        version = make_visible(task, lock, part, version, record)
    return result_document(version, fitted.fit, version.status, task.progress, record.warnings)


def rehearse(task: Task) -> dict[str, Any]:
    """Do all but write, and tell what would change."""
    customers = read(task)
    fitted = fit(task, customers)
    warnings = warned(task, fitted.warnings)
    labelling = labels_of(task, customers, fitted)
    with task.progress.phase("label"):
        for _ in labelling:
            pass
    version = score(task, customers, fitted, labelling, 0, None, 0)
    with task.database.begin() as connection:
        published = load_published(connection, task.name)
    document = result_document(version, fitted.fit, "dry_run", task.progress, warnings)
    return {**document, "run_id": None, "version_id": None, "changes": changes(published, version)}


def read(task: Task) -> Customers:
    """One snapshot into the spools."""
    segmentation, resources = task.segmentation, task.settings.resources
    with task.progress.phase("read") as facts:
        customers = task.spools.enter_context(
            read_customers(task.database, task.plan, segmentation.feature_specs(), resources, task.budget)
        )
        facts["rows"] = customers.n_rows
    pa.default_memory_pool().release_unused()
    least = segmentation.n_clusters
    if isinstance(least, int) and customers.labelled.n_rows < least:
        raise DataError(f"{customers.labelled.n_rows} customers can not make {least} segments; lower n_clusters")
    return customers


def fit(task: Task, customers: Customers) -> Fitted:
    """The features' constants, the coordinates of everyone, the centres. Torch is loaded here and not before."""
    from segjob.job import fitting

    with task.progress.phase("fit") as facts:
        plan = fitting.plan_customers(customers, task.segmentation, task.plan)
        folder = task.settings.resources.spool_folder
        spool = task.spools.enter_context(Spool(fitting.prepared_schema(plan), task.budget, folder))
        prepared = fitting.prepare(customers, plan, spool)
        fitted = fitting.fit_customers(customers, plan, prepared, task.segmentation, task.device)
        facts["full_passes"] = fitted.fit.n_full_passes
    pa.default_memory_pool().release_unused()
    return fitted


def warned(task: Task, sentences: Iterable[str]) -> list[str]:
    """Say the warnings; the run keeps them as well."""
    said = list(sentences)
    for sentence in said:
        task.progress.warn(sentence)
    return said


def labels_of(task: Task, customers: Customers, fitted: Fitted) -> Labelling:
    from segjob.job.fitting import Labelling

    return Labelling(customers, fitted, task.device)


def next_part(task: Task) -> tuple[Part, int | None]:
    """The table of the version to come, and the version that is published now."""
    with task.database.begin() as connection:
        version_id, parent = next_version(connection, task.name)
    return Part(task.names, version_id, task.plan.keys), parent


def write_labels(task: Task, part: Part, customers: Customers, fitted: Fitted) -> Labelling:
    """Label everyone on the way into the table of the version, which nobody sees yet."""
    labelling = labels_of(task, customers, fitted)

    def batches() -> Iterator[pa.RecordBatch]:
        for keys, labels in task.progress.timed("label", labelling):
            yield label_batch(keys, labels)

    with task.progress.phase("write") as facts:
        with task.database.begin() as connection:
            load_part(connection, part, batches(), customers.unlabelled, customers.n_rows)
        facts["rows"] = customers.n_rows
    return labelling


def score(
    task: Task,
    customers: Customers,
    fitted: Fitted,
    labelling: Labelling,
    version_id: int,
    parent: int | None,
    run_id: int,
) -> Version:
    """How good the segments are."""
    from segjob.job.fitting import Identity, build_version

    identity = Identity(task.name, version_id, parent, run_id)
    with task.progress.phase("score"):
        return build_version(identity, task.segmentation, customers, fitted, labelling.summary, task.device)


def make_visible(task: Task, lock: Lock, part: Part, version: Version, record: Record) -> Version:
    """Attach the labels, and move the pointer. Older versions than the parent go out of the planner's sight first."""
    with task.progress.phase("publish"):
        if task.order.prune:
            keep = {part.version_id, version.parent_version_id or part.version_id}
            record.warnings += warned(task, detach_old(task.database, part.names, keep))
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
        record.warnings += warned(task, [f"the label table could not be analysed: {error}"])
