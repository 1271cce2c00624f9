"""What the planner expects of an analyst's first query after a version was published, and what there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks.ground import Ground

QUERY = """
EXPLAIN (ANALYZE, FORMAT JSON)
SELECT s.segment_name, count(*), avg(c.f0)
FROM segments.bench AS s
JOIN {customers} AS c USING (customer_id)
GROUP BY s.segment_name
"""


@dataclass(frozen=True)
class Step:
    """A step of the plan that was executed: its rows as estimated and as they were."""

    name: str
    estimated: float
    actual: float

    @property
    def factor(self) -> float:
        """How many times too many or too few."""
        high, low = max(self.estimated, self.actual), min(self.estimated, self.actual)
        return high / max(low, 1.0)


def print_first_query(ground: Ground) -> None:
    """Publish, and explain the query in a session of its own before anything else can gather statistics."""
    ground.make()
    ground.prepare(0)
    ground.segjob("run", "bench")
    plan, milliseconds = explained(ground)
    print(f"\nthe first query after publishing, {ground.customers}: {milliseconds / 1000:.2f} s")
    for step in steps(plan):
        print(f"{step.name:40} estimated {step.estimated:12,.0f}  actual {step.actual:12,.0f}  x {step.factor:.2f}")
    join = widest_join(plan)
    print(f"the join is {join.factor:.2f} times off; asked: within 3 times")


def explained(ground: Ground) -> tuple[dict[str, Any], float]:
    """The plan and its milliseconds, in one process: among several, rows are estimated and counted per process."""
    with psycopg.connect(ground.server.url, options="-c max_parallel_workers_per_gather=0") as connection:
        row = connection.execute(QUERY.format(customers=ground.customers.table).encode()).fetchone()
    assert row is not None
    ((found,),) = row
    return found["Plan"], found["Execution Time"]


def steps(plan: dict[str, Any]) -> Iterator[Step]:
    """The steps from the top to the bottom, without those that were never executed."""
    if plan["Actual Loops"]:
        relation = plan.get("Relation Name", "")
        yield Step(f"{plan['Node Type']} {relation}".strip(), plan["Plan Rows"], plan["Actual Rows"])
        for below in plan.get("Plans", []):
            yield from steps(below)


def widest_join(plan: dict[str, Any]) -> Step:
    """The join of labels and customers: the one with the most rows."""
    joins = [step for step in steps(plan) if "Join" in step.name or step.name == "Nested Loop"]
    return max(joins, key=lambda step: step.actual)
