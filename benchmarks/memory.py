"""How much memory a run takes, whatever the chunk size: whole processes on generated customers.

    python -m benchmarks.memory --rows 2000000 --features 8 --chunk-rows 4096 65536 1048576

prints one line a chunk size: wall seconds, peak resident memory, and seconds by phase. The bundled Postgres runs in a
temporary directory; nothing is left behind.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from segjob.postgres.embedded import running

DRIVER = """
import sys
from functools import partialmethod
from segjob.engine.spool import Spool
Spool.__init__ = partialmethod(Spool.__init__, chunk_rows=int(sys.argv.pop(1)))
from segjob.cli import main
main()
"""
CONFIGURATION = """
database: {{url: "${{DATABASE_URL}}"}}
resources: {{memory: {memory}, spool_dir: {spool}}}
segmentations:
  bench:
    source: public.customer
    key: customer_id
    features: [{features}]
    n_clusters: 8
    history: false
"""
# Eight overlapping blobs: a customer's hash chooses the blob, sums of uniform numbers scatter it.
TABLE = """
SELECT setseed(0.42);
CREATE TABLE public.customer AS
SELECT i AS customer_id, {columns} FROM generate_series(1::bigint, {rows}) AS i;
ALTER TABLE public.customer ADD PRIMARY KEY (customer_id);
ANALYZE public.customer;
"""


def make_table(url: str, rows: int, features: int) -> None:
    """Fill public.customer on the server, the same at every call."""
    columns = ", ".join(
        f"((hashint8(i) >> {j % 8}) & 1) * 6 + random() + random() + random() + random() AS f{j}"
        for j in range(features)
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE.format(columns=columns, rows=rows).encode())


def measured(command: list[str], folder: Path, url: str) -> tuple[float, int, dict[str, Any]]:
    """Run the command; its wall seconds, its peak resident bytes, and the JSON that it printed."""
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, "DATABASE_URL": url}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.monotonic() - began, usage.ru_maxrss * 1024, json.loads(printed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--memory", default="900MiB", help="resources.memory of the run")
    parser.add_argument("--chunk-rows", type=int, nargs="+", default=[4_096, 65_536, 1_048_576])
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch) / "postgres") as url:
        make_table(url, wanted.rows, wanted.features)
        features = ", ".join(f"f{j}" for j in range(wanted.features))
        configuration = CONFIGURATION.format(memory=wanted.memory, spool=scratch, features=features)
        (Path(scratch) / "segjob.yaml").write_text(configuration)
        subprocess.run(
            [sys.executable, "-m", "segjob", "migrate"],
            cwd=scratch,
            env={**os.environ, "DATABASE_URL": url},
            check=True,
        )
        print(f"{wanted.rows:,} customers x {wanted.features}, k = 8, resources.memory {wanted.memory}")
        for chunk_rows in wanted.chunk_rows:
            command = [sys.executable, "-c", DRIVER, str(chunk_rows), "run", "bench", "--json"]
            seconds, peak, found = measured(command, Path(scratch), url)
            print(f"chunks of {chunk_rows:>9,}: {seconds:6.1f} s, peak {peak / 1e6:5.0f} MB, {found['seconds']}")


if __name__ == "__main__":
    main()
