"""The command as a user runs it: in a process, a folder and an environment of its own.

Most tests start it from a server of forks that has the libraries loaded already; what starts with an import of torch
each time would spend most of a test's time on that. `fresh=True` starts a new interpreter.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

Become = Callable[[str, dict[str, str], Sequence[str], Sequence[str]], None]
"""What a fork does: like `become_command`, perhaps with something else changed before."""

SECONDS = 120
PRELOADED = [
    "tests.as_in_a_run",
    "segjob.cli",
    "segjob.commands.run",
    "segjob.commands.predict",
    "segjob.commands.report",
    "segjob.job.fitting",
]


def run_segjob(
    folder: Path,
    database_url: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float = SECONDS,
    fresh: bool = False,
    become: Become | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with DATABASE_URL and little else set.

    Parameters
    ----------
    become : what the fork does, if it is not quite the command
    """
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "TMPDIR") if name in os.environ}
    variables = {**inherited, "HOME": str(folder), "LANG": "C.UTF-8", "DATABASE_URL": database_url, **(env or {})}
    if fresh:
        command = [sys.executable, "-m", "segjob", *arguments]
        return subprocess.run(
            command,
            check=False,
            cwd=folder,
            env=variables,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    return run_fork(folder, variables, arguments, stdin or "", timeout, become or become_command)


@cache
def fork_server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def run_fork(
    folder: Path,
    variables: Mapping[str, str],
    arguments: Sequence[str],
    stdin: str,
    timeout: float,
    become: Become,
) -> subprocess.CompletedProcess[str]:
    """Run the command in a fork; its three streams are files."""
    with ExitStack() as files:
        given, printed, said = (files.enter_context(tempfile.NamedTemporaryFile("w+")) for _ in range(3))
        given.write(stdin)
        given.flush()
        names = [file.name for file in (given, printed, said)]
        process = fork_server().Process(target=become, args=(str(folder), dict(variables), arguments, names))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(list(arguments), timeout)
        return subprocess.CompletedProcess(list(arguments), process.exitcode, printed.read(), said.read())


def become_command(folder: str, variables: dict[str, str], arguments: Sequence[str], streams: Sequence[str]) -> None:
    """Take the place of a new interpreter, as far as the command can tell."""
    from segjob.cli import main

    for number, name in enumerate(streams):
        os.dup2(os.open(name, os.O_RDWR), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["segjob", *arguments]
    main()
