"""The build of the command as a process that a test holds at a point, and does with as it likes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection as Line
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import IO

from tests.command import PRELOADED, fork_server
from tests.faults.build import become_build
from tests.faults.points import TRAIL, Point

SECONDS = 60.0
PRELOADED.extend(["scipy.optimize", "segjob.commands.forget", "segjob.commands.score", "tests.faults.build"])


@dataclass
class Held:
    """A command at work, or at its point."""

    process: ForkServerProcess
    line: Line
    printed: IO[str] = field(repr=False)
    said: IO[str] = field(repr=False)

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def arrive(self, seconds: float = SECONDS) -> bool:
        """Wait for the point; False if the command ended and never came to it."""
        if not self.line.poll(seconds):
            raise TimeoutError("the command neither came to its point nor ended")
        try:
            self.line.recv()
        except EOFError:
            return False
        return True

    def let_go(self) -> None:
        try:
            self.line.send("go on")
        except BrokenPipeError:
            return  # it is no more

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self, seconds: float = SECONDS) -> int:
        """Wait for the end; returns the exit code, negative for the signal that killed it."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"the command did not end within {seconds:g} seconds")
        return self.process.exitcode

    def output(self) -> str:
        """What it printed and said, so far."""
        for file in (self.printed, self.said):
            file.seek(0)
        return self.printed.read() + self.said.read()


@contextmanager
def held_command(folder: Path, database_url: str, arguments: Sequence[str], wanted: Point) -> Iterator[Held]:
    """Start the command in a folder; it stops at the point that is wanted, and is killed with the block."""
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "TMPDIR") if name in os.environ}
    variables = {**inherited, "HOME": str(folder), "LANG": "C.UTF-8", "DATABASE_URL": database_url}
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.NamedTemporaryFile("w+")) for _ in range(3)]
        ours, theirs = Pipe()
        stack.callback(ours.close)
        names = [file.name for file in files]
        process = fork_server().Process(
            target=become_build, args=(str(folder), variables, list(arguments), names, theirs, wanted)
        )
        process.start()
        theirs.close()
        held = Held(process, ours, files[1], files[2])
        stack.callback(put_away, held)
        yield held


def put_away(held: Held) -> None:
    if held.process.exitcode is None:
        held.process.kill()
        held.process.join(SECONDS)


def trail(folder: Path, database_url: str, arguments: Sequence[str]) -> tuple[list[Point], int, str]:
    """Every point of an undisturbed command in order, its exit code and what it said."""
    found = []
    with held_command(folder, database_url, arguments, Point(TRAIL)) as held:
        deadline = time.monotonic() + SECONDS
        while held.line.poll(max(0.0, deadline - time.monotonic())):
            try:
                found.append(held.line.recv())
            except EOFError:
                break
        return found, held.end(), held.output()
