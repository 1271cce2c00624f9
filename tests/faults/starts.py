"""Many commands at once: forks of one interpreter that has loaded the command, and torch not.

Executed as `python -m tests.faults.starts N FOLDER`, with DATABASE_URL set. Each fork waits until all are there, and
is `segjob run mall` from then on. Who has the lock stops before it loads torch, until there is a file called `go`.
How each one ends is a line of JSON on stdout.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from segjob.commands.run import run_all
from segjob.job import run
from tests.command import become_command
from tests.waiting import wait_until

NEEDED = run_all  # what a command imports when it is called is imported here, once for all


def hold(folder: Path, go_on: Callable[[], None]) -> None:
    """Stop where the lock is held, the row is written and nothing has begun. A second one that comes here fails."""
    with (folder / "held").open("x") as file:
        file.write(str("torch" in sys.modules))
    wait_until((folder / "go").exists, seconds=300)
    go_on()


def become_run(folder: Path, number: int, gate: int) -> int:
    """Be the command as soon as the gate opens; returns its exit code."""
    streams = [folder / f"{number}.{kind}" for kind in ("stdin", "stdout", "stderr")]
    for path in streams:
        path.touch()
    run.load_torch = partial(hold, folder, run.load_torch)
    os.read(gate, 1)
    try:
        become_command(str(folder), dict(os.environ), ["run", "mall", "--json"], list(map(str, streams)))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def start(folder: Path, number: int, gate: tuple[int, int]) -> int:
    """Fork; returns the process id."""
    if child := os.fork():
        return child
    code = 1
    try:
        os.close(gate[1])
        code = become_run(folder, number, gate[0])
    finally:
        os._exit(code)


def main(n: int, folder: Path) -> None:
    gate = os.pipe()
    numbers = {start(folder, number, gate): number for number in range(n)}
    os.close(gate[1])  # everybody reads the end of it at once
    for _ in range(n):
        child, status = os.wait()
        ended = {"number": numbers[child], "exit_code": os.waitstatus_to_exitcode(status)}
        print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
