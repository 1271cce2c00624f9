"""A machine that vanishes: a network of its own, with a cable to this one that can be cut without a word."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import pytest


@dataclass(frozen=True)
class Machine:
    """A network namespace, as far as another process can tell a machine."""

    name: str
    here: str

    def command(self, *words: str) -> list[str]:
        """What runs a command there."""
        return ["ip", "netns", "exec", self.name, *words]

    def vanish(self) -> None:
        """From now on nothing leaves it and nothing reaches it; nobody is told."""
        for chain in ("INPUT", "OUTPUT"):
            subprocess.run(self.command("iptables", "-A", chain, "-j", "DROP"), check=True)


@contextmanager
def another_machine() -> Iterator[Machine]:
    """Make one for the length of the block; only root may."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "iptables"))):
        pytest.skip("no network can be made here")
    name, net = f"segjob{uuid4().hex[:6]}", f"10.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}"
    cable = name[-9:]
    made = [
        ["netns", "add", name],
        ["link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name],
        ["addr", "add", f"{net}.1/24", "dev", cable],
        ["link", "set", cable, "up"],
        ["-n", name, "addr", "add", f"{net}.2/24", "dev", "eth0"],
        ["-n", name, "link", "set", "eth0", "up"],
    ]
    try:
        if not all(map(succeeds, made)):
            pytest.skip("no network can be made here")
        yield Machine(name, f"{net}.1")
    finally:
        succeeds(["link", "del", cable])
        succeeds(["netns", "del", name])


def succeeds(words: Sequence[str]) -> bool:
    return subprocess.run(["ip", *words], check=False, capture_output=True).returncode == 0
