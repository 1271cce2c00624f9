"""The run and the machine it is on: the cores it may use, the room on the disk, the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from tests.acceptance.conftest import MALL
from tests.screen import watch

pytestmark = pytest.mark.long
LIBRARIES = """
import atexit, json, os, sys
from segjob.config import resources
resources.cpu_quotas = lambda root: [1.5]
@atexit.register
def tell():
    import pyarrow, torch
    names = [open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task")]
    n_threads = sum("jemalloc" not in name for name in names)
    print(json.dumps([torch.get_num_threads(), pyarrow.cpu_count(), pyarrow.io_thread_count(), n_threads]))
from segjob.cli import main
main()
"""
CROWDED = """
import os, types
os.statvfs = lambda path: types.SimpleNamespace(f_bavail=10, f_frsize=4096, f_blocks=1000)
from segjob.cli import main
main()
"""


def variables(database_url: str, **others: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return {**inherited, "LANG": "C.UTF-8", "DATABASE_URL": database_url, **others}


def altered(folder: Path, database_url: str, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command on a machine that a few lines have changed."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(
        command, check=False, cwd=folder, env=variables(database_url), capture_output=True, text=True, timeout=120
    )


def test_under_a_quota_of_one_core_every_library_keeps_to_one_thread(mall_project: str, tmp_path: Path) -> None:
    done = altered(tmp_path, mall_project, LIBRARIES, "run", "mall")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [1, 1, 1, 1]


@pytest.fixture
def large(connection: psycopg.Connection, mall_project: str, tmp_path: Path) -> str:
    """50,000 customers that do not fit into the memory of the spool, and a view on some of them."""
    connection.execute(
        "CREATE TABLE public.large AS SELECT i AS customer_id, i % 97 AS a FROM generate_series(1, 50000) i"
    )
    connection.execute(
        "CREATE VIEW public.part_of_large AS SELECT * FROM public.large WHERE a >= 0; ANALYZE public.large"
    )
    large = {**MALL, "source": "public.large", "features": ["a"]}
    settings = yaml.safe_load((tmp_path / "segjob.yaml").read_text())
    settings["resources"] = {"memory": "1MiB", "spool_dir": str(tmp_path)}
    settings["segmentations"] = {"large": large, "part": {**large, "source": "public.part_of_large"}}
    (tmp_path / "segjob.yaml").write_text(yaml.safe_dump(settings))
    return mall_project


def test_a_disk_that_is_too_small_is_told_before_anything_is_read(
    large: str, tmp_path: Path, connection: psycopg.Connection, succeed: Callable[..., str]
) -> None:
    succeed("migrate")
    done = altered(tmp_path, large, CROWDED, "run", "large", "--json")
    assert done.returncode == 75, done.stderr
    message = json.loads(done.stdout)["error"]["message"]
    assert message.startswith(f"the planner expects 50,000 customers, which need 610.6 KiB in {tmp_path}")
    assert connection.execute("SELECT status, exit_code, rows_read FROM segments.run").fetchall() == [
        ("failed", 75, None)
    ]


def test_a_forecast_that_can_not_be_relied_on_warns_and_the_run_goes_on(
    large: str, tmp_path: Path, succeed: Callable[..., str]
) -> None:
    succeed("migrate")
    done = altered(tmp_path, large, CROWDED, "run", "part", "--json")
    assert done.returncode == 0, done.stderr
    warnings: list[Any] = json.loads(done.stdout)["warnings"]
    assert any("the forecast may be wrong, so the run goes on" in warning for warning in warnings)


def test_on_a_terminal_a_run_shows_its_phases_and_stdout_is_json_alone(mall_project: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "segjob", "run", "mall", "--json"]
    watched = watch(command, tmp_path, variables(mall_project, TERM="xterm-256color"))
    assert watched.returncode == 0, watched.screen.text
    assert json.loads(watched.stdout)["n_customers"] == 200
    title, *lines = watched.screen.text.splitlines()
    assert title == "mall"
    assert {"read", "fit", "score", "write", "publish"} <= {line.split()[0] for line in lines}
    assert any("200 rows at" in line for line in lines)


def test_an_error_on_a_terminal_stands_below_the_phase_that_it_ended(
    mall_project: str, tmp_path: Path, connection: psycopg.Connection
) -> None:
    connection.execute("DELETE FROM public.mall_customer")
    command = [sys.executable, "-m", "segjob", "run", "mall"]
    watched = watch(command, tmp_path, variables(mall_project, TERM="xterm-256color"))
    assert watched.returncode == 65
    assert watched.screen.text.splitlines()[-2].endswith("not finished")
    assert watched.screen.text.splitlines()[-1].startswith("segjob: the source has no rows")
    assert not watched.screen.cursor_hidden
