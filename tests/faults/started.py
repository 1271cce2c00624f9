"""A command that is at work while a test does something to it: stops it, lets it go on, waits for its end."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import IO

from tests.command import become_command, fork_server

SECONDS = 60.0


@dataclass(frozen=True)
class Started:
    """A process of the command, with the files in which it leaves what it prints and says."""

    arguments: tuple[str, ...]
    process: ForkServerProcess
    printed: IO[str]
    said: IO[str]

    def send(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def finish(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end."""
        self.process.join(SECONDS)
        code = self.process.exitcode
        assert code is not None, f"it goes on and on: {self.said.read()}"
        return subprocess.CompletedProcess(self.arguments, code, self.printed.read(), self.said.read())


@contextmanager
def started(folder: Path, database_url: str, *arguments: str) -> Iterator[Started]:
    """Start the command; nothing of it is left after the block."""
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "TMPDIR") if name in os.environ}
    variables = {**inherited, "HOME": str(folder), "LANG": "C.UTF-8", "DATABASE_URL": database_url}
    with ExitStack() as files:
        given, printed, said = (files.enter_context(tempfile.NamedTemporaryFile("w+")) for _ in range(3))
        streams = [file.name for file in (given, printed, said)]
        process = fork_server().Process(target=become_command, args=(str(folder), variables, arguments, streams))
        process.start()
        try:
            yield Started(arguments, process, printed, said)
        finally:
            process.kill()
            process.join(5)
            process.close()
