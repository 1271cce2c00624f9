"""What it takes to find one customer in a long history: through the view, and as of a moment."""

from __future__ import annotations

import time
from statistics import median

import psycopg

from benchmarks.ground import Ground

WANTED_MOVES = 8_000_000
CUSTOMERS = 20
# Everybody gets the features of the next one, who is mostly in another segment.
SHIFT = """
UPDATE {table} AS c SET {features}
FROM {table} AS o WHERE o.customer_id = c.customer_id % {rows} + 1
"""
MOVES = "SELECT count(*) FROM segjob.membership_bench"
QUERIES = {
    "_history": "SELECT * FROM segments.bench_history WHERE customer_id = {key}",
    "_as_of": "SELECT * FROM segments.bench_as_of('{moment}') WHERE customer_id = {key}",
}


def print_lookup(ground: Ground) -> None:
    """Score shifted customers until the history is long; then ask for single ones, each in a session of its own."""
    ground.make()
    ground.prepare(0)
    ground.segjob("run", "bench")
    moment = one(ground, "SELECT clock_timestamp()::text")
    features = ", ".join(f"{name} = o.{name}" for name in ground.customers.feature_names)
    shift = SHIFT.format(table=ground.customers.table, features=features, rows=ground.customers.rows)
    while int(one(ground, MOVES)) < min(WANTED_MOVES, 4 * ground.customers.rows):
        ground.server.execute(shift)
        ground.segjob("score", "bench")
    print(f"\n{int(one(ground, MOVES)):,} moves of {ground.customers}")
    for name, query in QUERIES.items():
        seconds = [asked(ground, query.format(key=key * 97 + 1, moment=moment)) for key in range(CUSTOMERS)]
        print(f"{name:10} one customer: {median(seconds) * 1000:5.1f} ms, at most {max(seconds) * 1000:5.1f} ms")
    ground.server.execute(f"DROP TABLE {ground.customers.table}")


def one(ground: Ground, query: str) -> str:
    row = ground.server.connection.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


def asked(ground: Ground, query: str) -> float:
    """Seconds of the whole statement, planned and executed; nothing of it is cached in the session."""
    with psycopg.connect(ground.server.url) as connection:
        connection.execute("SELECT 1")
        began = time.perf_counter()
        connection.execute(query.encode()).fetchall()
        return time.perf_counter() - began
