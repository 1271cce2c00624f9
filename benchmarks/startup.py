"""How long the commands take that compute nothing: whole processes, the median of several.

    python -m benchmarks.startup

The first line is the interpreter alone, for the speed of the machine. The bundled Postgres runs in a temporary folder.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from segjob.postgres.embedded import running

CONFIGURATION = """
database: {url: "${DATABASE_URL}"}
segmentations:
  bench: {source: public.customer, key: customer_id, features: [amount], n_clusters: 3}
"""
TABLE = "CREATE TABLE public.customer AS SELECT i AS customer_id, i % 97 AS amount FROM generate_series(1, 300) AS i"
COMMANDS = (["--help"], ["config-schema"], ["versions", "bench"], ["status"], ["show", "bench"], ["check"], ["migrate"])


def seconds(command: list[str], folder: str, url: str, times: int = 7) -> float:
    """The median of several whole processes."""
    spent = []
    for _ in range(times):
        began = time.monotonic()
        subprocess.run(command, cwd=folder, env={**os.environ, "DATABASE_URL": url}, check=True, capture_output=True)
        spent.append(time.monotonic() - began)
    return statistics.median(spent)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch, running(Path(scratch) / "postgres") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(TABLE)
        (Path(scratch) / "segjob.yaml").write_text(CONFIGURATION)
        segjob = [sys.executable, "-m", "segjob"]
        for command in (["migrate"], ["run", "bench"]):
            seconds([*segjob, *command], scratch, url, times=1)
        print(f"{seconds([sys.executable, '-c', 'pass'], scratch, url):6.2f} s  the interpreter alone")
        for command in COMMANDS:
            print(f"{seconds([*segjob, *command], scratch, url):6.2f} s  segjob {' '.join(command)}")


if __name__ == "__main__":
    main()
