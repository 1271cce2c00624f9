"""What the planner expects of the source, before a row is read: how many customers, and how much that is worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from segjob.postgres.reading.columns import ReadPlan

END_TO_END = ("Seq Scan", "Append", "Gather")


@dataclass(frozen=True)
class Expected:
    """The planner's forecast of what a plan reads.

    Attributes
    ----------
    n_rows : customers
    width : bytes of one row in Postgres
    end_to_end : tables are read from their first row to their last, and nothing else is done
    reliable : so that only the size of the tables decides; through a condition, a join or an aggregate the forecast may
        be wrong by any factor
    """

    n_rows: int
    width: int
    end_to_end: bool
    reliable: bool


def expect(connection: psycopg.Connection, plan: ReadPlan) -> Expected:
    """Ask the planner."""
    row = connection.execute(f"EXPLAIN (FORMAT JSON) {plan.sql}".encode()).fetchone()
    if row is None:
        raise AssertionError("unreachable: EXPLAIN has one row")
    top = row[0][0]["Plan"]
    end_to_end = all(only_reads(node) for node in nodes(top))
    filtered = any("Filter" in node for node in nodes(top))
    return Expected(top["Plan Rows"], top["Plan Width"], end_to_end, end_to_end and not filtered)


def only_reads(node: dict[str, Any]) -> bool:
    return node["Node Type"] in END_TO_END and node.get("Parent Relationship") not in ("InitPlan", "SubPlan")


def nodes(top: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The node and all below it."""
    yield top
    for below in top.get("Plans", []):
        yield from nodes(below)
