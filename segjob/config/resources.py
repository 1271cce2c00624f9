"""What the container allows: cores and memory under affinity, cgroup limits (v1 and v2) and the machine itself.

Every function takes the root of the file system, so that a test can show it another machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
GIB = 2**30
UNLIMITED = 2**60  # cgroup v1 says "no limit" with a number close to 2**63
HIERARCHIES = {  # where the controllers are mounted, below /sys/fs/cgroup
    "memory": ("memory",),
    "cpu": ("cpu", "cpu,cpuacct", "cpuacct,cpu"),
    "": ("", "unified"),
}


def available_cores(root: Path = ROOT, affinity: int | None = None) -> int:
    """Return how many threads can run at once: the affinity of this process, or the CPU quota when that is smaller.

    Parts of a core are dropped, because a thread more than the quota gets the whole process throttled; at least 1.
    """
    cores = affinity if affinity is not None else schedulable_cores()
    return max(1, min([cores, *(int(quota) for quota in cpu_quotas(root))]))


def available_memory(root: Path = ROOT) -> int:
    """Return the bytes that this process may use: the smallest cgroup limit above it, or the machine's memory."""
    return min([physical_memory(root), *memory_limits(root)])


def default_memory(root: Path = ROOT) -> int:
    """Return the budget when none is configured: the container's limit, else half of the machine and at most 4 GiB."""
    physical = physical_memory(root)
    limit = min(memory_limits(root), default=None)
    return min(physical // 2, 4 * GIB) if limit is None else min(limit, physical)


def schedulable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def physical_memory(root: Path = ROOT) -> int:
    """Return the bytes of memory that the machine has."""
    for line in text_of(root / "proc/meminfo").splitlines():
        name, _, amount = line.partition(":")
        if name == "MemTotal":
            return int(amount.split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def memory_limits(root: Path = ROOT) -> list[int]:
    """Return every memory limit on the way from this process's cgroup up to the root; empty without one."""
    texts = [
        *(text_of(group / "memory.max") for group in groups(root, "")),
        *(text_of(group / "memory.limit_in_bytes") for group in groups(root, "memory")),
    ]
    return [int(text) for text in texts if text.isdigit() and int(text) < UNLIMITED]


def cpu_quotas(root: Path = ROOT) -> list[float]:
    """Return every CPU quota, in cores, on the way from this process's cgroup up to the root; empty without one."""
    pairs = [
        *(text_of(group / "cpu.max").split() for group in groups(root, "")),
        *([text_of(group / "cpu.cfs_quota_us"), text_of(group / "cpu.cfs_period_us")] for group in groups(root, "cpu")),
    ]
    return [int(pair[0]) / int(pair[1]) for pair in pairs if len(pair) == 2 and all(part.isdigit() for part in pair)]


def groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's cgroup and of all above it; the empty controller is cgroup v2.

    A container often sees only its own group, mounted as if it were the root, under a path that names the outside:
    what is not there reads as no limit, and the mount's own folder is always among them.
    """
    path = Path(cgroup_path(root, controller).lstrip("/"))
    for mount in HIERARCHIES[controller]:
        for group in (path, *path.parents):
            yield root / "sys/fs/cgroup" / mount / group


def cgroup_path(root: Path, controller: str) -> str:
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"


def text_of(file: Path) -> str:
    """Return what a kernel file says; one that is missing or closed to us says nothing."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
