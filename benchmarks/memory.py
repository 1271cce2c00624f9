"""How much memory a run takes, whatever the chunk size: whole processes on generated customers.

    python -m benchmarks.memory --rows 2000000 --features 8 --chunk-rows 4096 65536 1048576

prints one line a chunk size: wall seconds, peak resident memory, and seconds by phase. The bundled Postgres runs in a
temporary directory; nothing is left behind.
"""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks.customers import Customers
from benchmarks.ground import Ground
from benchmarks.rounds import launched
from benchmarks.server import scratch_server

DRIVER = """
import sys
from segjob.job import customers
chunk_rows = int(sys.argv.pop(1))
customers.chunk_rows_of = lambda n_columns: chunk_rows
from segjob.cli import main
main()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--memory", default="900MiB", help="resources.memory of the run")
    parser.add_argument("--chunk-rows", type=int, nargs="+", default=[4_096, 65_536, 1_048_576])
    wanted = parser.parse_args()
    with scratch_server() as server:
        ground = Ground(server, Customers(wanted.rows, wanted.features), memory=wanted.memory)
        ground.make()
        print(f"{ground.customers}, k = {ground.n_clusters}, resources.memory {ground.memory}")
        for chunk_rows in wanted.chunk_rows:
            print_run(ground, chunk_rows)


def print_run(ground: Ground, chunk_rows: int) -> None:
    """Run once, as a first version, with chunks of another size than the shipped one."""
    ground.prepare(0)
    printed, taken = launched([sys.executable, "-c", DRIVER, str(chunk_rows), "run", "bench", "--json"], ground)
    seconds = json.loads(printed)["seconds"]
    print(f"chunks of {chunk_rows:>9,}: {taken['wall']:6.1f} s, peak {taken['peak'] / 1e6:5.0f} MB, {seconds}")


if __name__ == "__main__":
    main()
