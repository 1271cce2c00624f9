"""What a call of the model in SQL costs, and whether it says what the job said."""

from __future__ import annotations

import time

from benchmarks.ground import Ground

CHECKED = 100_000
"""Of so many customers the segments are compared with those of the job."""


def print_assign(ground: Ground) -> None:
    """Publish a version, call the functions for every customer, and count those whom they give another segment."""
    ground.make()
    ground.prepare(0)
    ground.segjob("run", "bench")
    table, names = ground.customers.table, ground.customers.feature_names
    print(f"\nsegments.bench_assign, {ground.customers}, k = {ground.n_clusters}, one process")
    ground.server.execute("SET max_parallel_workers_per_gather = 0")
    by_name = ", ".join(f"{name} => c.{name}" for name in names)
    for title, arguments in (("by name", by_name), ("by row", "to_jsonb(c)")):
        call = f"segments.bench_assign({arguments})"
        began = time.perf_counter()
        ground.server.execute(f"SELECT count({call}) FROM {table} AS c")
        print(f"{title:10}{time.perf_counter() - began:8.2f} s for {ground.customers.rows:,} calls", flush=True)
    checked = min(ground.customers.rows, CHECKED)
    differing = ground.server.value(
        f"SELECT count(*) FROM (SELECT * FROM {table} LIMIT {checked}) AS c"
        " JOIN segments.bench AS s USING (customer_id)"
        f" WHERE s.segment_id <> segments.bench_assign({by_name}) OR s.segment_id <> segments.bench_assign(to_jsonb(c))"
    )
    print(f"of {checked:,} customers {differing} have another segment than the job gave them")
