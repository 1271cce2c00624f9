"""How long the commands take that compute nothing: whole processes, the median of several.

    python -m benchmarks.startup

The first line is the interpreter alone, for the speed of the machine. The bundled Postgres runs in a temporary folder.
"""

from __future__ import annotations

import statistics
import sys

from benchmarks.customers import Customers
from benchmarks.ground import SEGJOB, Ground
from benchmarks.rounds import launched
from benchmarks.server import scratch_server

COMMANDS = (["--help"], ["config-schema"], ["versions", "bench"], ["status"], ["show", "bench"], ["check"], ["migrate"])
TIMES = 7


def seconds(ground: Ground, command: list[str]) -> float:
    """The median of several whole processes."""
    return statistics.median(launched(command, ground)[1]["wall"] for _ in range(TIMES))


def main() -> None:
    with scratch_server() as server:
        ground = Ground(server, Customers(300, 1), n_clusters=3)
        ground.make()
        ground.prepare(0)
        ground.segjob("run", "bench")
        print(f"{seconds(ground, [sys.executable, '-c', 'pass']):6.2f} s  the interpreter alone")
        for command in COMMANDS:
            print(f"{seconds(ground, [*SEGJOB, *command]):6.2f} s  segjob {' '.join(command)}")


if __name__ == "__main__":
    main()
