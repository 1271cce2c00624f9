"""What a run works on: a segmentation with its settings, its source, and what the steps share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from segjob.config.segmentation import Segmentation
from segjob.config.threads import threads
from segjob.engine.spool import Budget
from segjob.job.source import plan_source, shape_of
from segjob.postgres.connecting.connect import Database
from segjob.postgres.queries import Names
from segjob.postgres.reading.columns import ReadPlan
from segjob.postgres.shapes import check_up_to_date
from segjob.progress import Progress

if TYPE_CHECKING:
    from segjob.config import Settings


SPOOL_PART = 6  # of the memory, one part in so many holds customers; the libraries and the sample take most of it


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

    @property
    def reading_streams(self) -> int:
        """Over how many connections customers are read: more than there are cores gain nothing."""
        return min(self.settings.resources.connections, max(threads(), 2))

    @property
    def writing_streams(self) -> int:
        """Over how many connections labels are written: the server needs a core for each, and we one to compute."""
        return min(self.settings.resources.connections, max(threads() // 2, 1))

    def warned(self, sentences: Iterable[str]) -> list[str]:
        """Say the warnings; the run keeps them as well."""
        said = list(sentences)
        for sentence in said:
            self.progress.warn(sentence)
        return said


@contextmanager
def open_task(database: Database, settings: Settings, name: str, order: Order, progress: Progress) -> Iterator[Task]:
    """Look at the source and at the schema; what is spooled lives as long as the block.

    Raises
    ------
    ConfigurationError
        The source is not what the configuration says, or `migrate` is due.
    """
    with database.customers.begin() as connection:
        plan = plan_source(connection, settings.segmentation(name), order.params)
    with database.begin() as connection:
        check_up_to_date(connection, database.schemas, shape_of(name, plan))
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own pools keep what is freed
    budget = Budget(settings.resources.memory_budget // SPOOL_PART)
    with ExitStack() as spools:
        yield Task(database, settings, name, order, plan, progress, budget, spools)
