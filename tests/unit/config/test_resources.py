"""What the container allows, on machines that are made of a few files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from segjob.config.resources import GIB, available_cores, available_memory, default_memory

KIB_OF_24_GIB = 24 * 2**20


@pytest.fixture
def machine(tmp_path: Path) -> Any:
    """Make a root folder with 24 GiB of memory and the given files of /proc/self/cgroup and /sys/fs/cgroup."""

    def make(cgroup: str = "", **files: str) -> Path:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/meminfo").write_text(f"MemTotal:       {KIB_OF_24_GIB} kB\nMemFree:  1 kB\n")
        (tmp_path / "proc/self/cgroup").write_text(cgroup)
        for name, content in files.items():
            path = tmp_path / "sys/fs/cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
        return tmp_path

    return make


def test_without_a_container_the_machine_counts(machine: Any) -> None:
    root = machine()
    assert available_memory(root) == 24 * GIB
    assert default_memory(root) == 4 * GIB
    assert available_cores(root, affinity=16) == 16


def test_half_of_a_small_machine_is_the_default(machine: Any) -> None:
    root = machine()
    (root / "proc/meminfo").write_text(f"MemTotal: {2 * 2**20} kB\n")
    assert default_memory(root) == GIB


def test_this_machine_has_cores_and_memory() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
    assert 0 < default_memory() <= available_memory()


def test_a_machine_without_proc_is_asked_in_another_way(tmp_path: Path) -> None:
    assert available_memory(tmp_path) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("mount", ["", "unified/"])
def test_limits_of_cgroup_v2(machine: Any, mount: str) -> None:
    root = machine("0::/", **{f"{mount}memory.max": str(8 * GIB), f"{mount}cpu.max": "250000 100000"})
    assert available_memory(root) == default_memory(root) == 8 * GIB
    assert available_cores(root, affinity=16) == 2


def test_limits_of_cgroup_v1(machine: Any) -> None:
    files = {
        "memory/docker/1/memory.limit_in_bytes": str(GIB),
        "cpu,cpuacct/docker/1/cpu.cfs_quota_us": "300000",
        "cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000",
    }
    root = machine("4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n1:name=systemd:/else\n", **files)
    assert available_memory(root) == default_memory(root) == GIB
    assert available_cores(root, affinity=16) == 3


def test_no_limit_is_written_in_several_ways(machine: Any) -> None:
    files = {
        "memory.max": "max",
        "cpu.max": "max 100000",
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000",
    }
    root = machine("0::/\n4:memory:/\n3:cpu:/\n", **files)
    assert available_memory(root) == 24 * GIB
    assert default_memory(root) == 4 * GIB
    assert available_cores(root, affinity=16) == 16


def test_the_smallest_limit_on_the_way_up_counts(machine: Any) -> None:
    files = {
        "pods/memory.max": str(3 * GIB),
        "pods/one/memory.max": str(8 * GIB),
        "pods/cpu.max": "800000 100000",
        "pods/one/cpu.max": "400000 100000",
        "other/memory.max": str(GIB),
    }
    root = machine("0::/pods/one\n", **files)
    assert available_memory(root) == 3 * GIB
    assert available_cores(root, affinity=16) == 4


def test_a_container_that_sees_its_own_group_as_the_root(machine: Any) -> None:
    files = {"memory.max": str(GIB), "memory/memory.limit_in_bytes": str(2 * GIB)}
    root = machine("0::/kubepods/of/the/outside\n4:memory:/docker/of/the/outside\n", **files)
    assert available_memory(root) == GIB


@pytest.mark.parametrize(
    ("quota", "cores"), [("50000 100000", 1), ("190000 100000", 1), ("200000 100000", 2), ("900000 100000", 4)]
)
def test_parts_of_a_core_and_cores_beyond_the_affinity_do_not_count(machine: Any, quota: str, cores: int) -> None:
    assert available_cores(machine("0::/", **{"cpu.max": quota}), affinity=4) == cores


def test_a_limit_beyond_the_machine_is_none(machine: Any) -> None:
    root = machine("0::/", **{"memory.max": str(64 * GIB)})
    assert available_memory(root) == default_memory(root) == 24 * GIB


def test_a_file_that_says_nothing_sensible_is_no_limit(machine: Any) -> None:
    root = machine("0::/", **{"memory.max": "", "cpu.max": "much"})
    assert (available_memory(root), available_cores(root, affinity=4)) == (24 * GIB, 4)
