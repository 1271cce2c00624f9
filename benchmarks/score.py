"""What `segjob score` costs when few customers came, changed or left, and whether it touches anybody else."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from benchmarks.ground import SEGJOB, Ground

FEW = 1_000
CAME = """
INSERT INTO {table} (customer_id, {features})
SELECT -customer_id, {features} FROM {table} WHERE customer_id <= {few}
"""
CHANGED = "UPDATE {table} SET f0 = f0 + 3 WHERE customer_id BETWEEN {few} + 1 AND 2 * {few}"
LEFT = "DELETE FROM {table} WHERE customer_id BETWEEN 2 * {few} + 1 AND 3 * {few}"
REMEMBER = "CREATE TABLE public.before AS SELECT customer_id, xmin::text AS wrote FROM segjob.label_bench"
TOUCHED = """
SELECT count(*) FROM public.before AS b
LEFT JOIN segjob.label_bench AS l USING (customer_id)
WHERE l.xmin::text IS DISTINCT FROM b.wrote
"""


def print_score(ground: Ground, times: int) -> None:
    """Publish once; then change a few customers, and score, again and again."""
    ground.make()
    ground.prepare(0)
    ground.segjob("run", "bench")
    features = ", ".join(ground.customers.feature_names)
    names = {"table": ground.customers.table, "features": features, "few": FEW}
    for statement in (CAME, LEFT, CHANGED):
        ground.server.execute(statement.format(**names))
    ground.server.execute(REMEMBER)
    seconds, found = scored(ground)
    (touched,) = ground.server.connection.execute(TOUCHED.encode()).fetchone() or (None,)
    print(f"\nscore, {ground.customers}: {FEW:,} came, {FEW:,} changed, {FEW:,} left")
    print(f"{found['n_came']:,} new, {found['n_changed']:,} changed, {found['n_left']:,} left in {seconds:.2f} s")
    print(f"rows of others that were written: {touched - found['n_changed'] - found['n_left']:,}")
    again = sorted(scored(ground)[0] for _ in range(times))
    print(f"again, with nothing to do: {again[len(again) // 2]:.2f} s (median of {times})")
    print("by phase: " + ", ".join(f"{phase} {value:.2f} s" for phase, value in found["seconds"].items()))
    ground.server.execute(f"DROP TABLE public.before, {ground.customers.table}")


def scored(ground: Ground) -> tuple[float, dict[str, Any]]:
    """The seconds of the whole process, and what it printed."""
    started = time.perf_counter()
    done = subprocess.run(
        [*SEGJOB, "score", "bench", "--json"],
        cwd=ground.folder,
        env=ground.environment,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started, json.loads(done.stdout)
