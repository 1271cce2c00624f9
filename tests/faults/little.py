"""The command with little of something that a machine has: address space, memory, length of a file."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.command import become_command


@dataclass(frozen=True)
class Little:
    """What a fork may have before it becomes the command; an instance is a `tests.command.Become`.

    Attributes
    ----------
    addresses : bytes beyond those that the libraries take
    file : bytes of the longest file that it may write
    group : the folder of a control group to enter
    """

    addresses: int | None = None
    file: int | None = None
    group: Path | None = None

    def __call__(
        self, folder: str, variables: dict[str, str], arguments: Sequence[str], streams: Sequence[str]
    ) -> None:
        if self.group is not None:
            (self.group / "cgroup.procs").write_text(str(os.getpid()))
        if self.file is not None:
            limit(resource.RLIMIT_FSIZE, self.file)
        if self.addresses is not None:
            limit(resource.RLIMIT_AS, address_space() + self.addresses)
        become_command(folder, variables, arguments, streams)


def limit(kind: int, n_bytes: int) -> None:
    resource.setrlimit(kind, (n_bytes, n_bytes))


def address_space() -> int:
    """Bytes that this process has mapped, used or not."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
