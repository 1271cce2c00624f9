"""What stands before and after a command that failed: what analysts see, and what it left behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from tests.waiting import wait_until

LEFT_BEHIND = """
SELECT format('table %s', c.relname)
FROM pg_class AS c
WHERE c.relnamespace = 'segjob'::regnamespace AND c.relkind = 'r' AND c.relname LIKE 'label\\_%$%'
    AND c.relname <> ALL (SELECT format('label_%s$%s', v.segmentation, v.version_id) FROM segjob.version AS v)
UNION ALL
SELECT format('detach of %s', inhrelid::regclass) FROM pg_inherits WHERE inhdetachpending
UNION ALL
SELECT format('run %s, which is running', run_id) FROM segments.run WHERE status = 'running'
"""
AT_WORK = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'segjob'
"""


@dataclass(frozen=True)
class Standing:
    """What analysts see of a segmentation, in one statement each, under one snapshot."""

    labels: frozenset[Any]
    segments: frozenset[Any]

    @property
    def versions(self) -> set[int]:
        return {version_id for *_, version_id in self.labels}


def standing(connection: psycopg.Connection, name: str) -> Standing:
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        labels = f"SELECT customer_id, segment_id, distance, version_id FROM segments.{name}"
        segments = f"SELECT segment_id, n_customers, silhouette FROM segments.{name}_profile"
        found = [frozenset(connection.execute(query.encode()).fetchall()) for query in (labels, segments)]
    return Standing(*found)


def left_behind(connection: psycopg.Connection) -> list[str]:
    """Tables, detaches and runs that nobody finished, after the server has missed every session."""
    wait_until(lambda: connection.execute(AT_WORK).fetchone() == (0,), seconds=30)
    return [what for (what,) in connection.execute(LEFT_BEHIND.encode()).fetchall()]


def last_run(connection: psycopg.Connection) -> tuple[Any, ...]:
    """Status, exit code and error of the run that began last."""
    wanted = "SELECT status, exit_code, error FROM segments.run ORDER BY run_id DESC LIMIT 1"
    return connection.execute(wanted).fetchone() or ()
