"""Commands that compute nothing load nothing that computes; `python -m benchmarks.startup` prints the seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests import servers

Segjob = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, published_mall: str) -> Iterator[str]:
    """A copy of the database in which the mall was run once."""
    with servers.fresh_database(server_url, server_connection, published_mall) as url:
        yield url


HEAVY = ("torch", "pandas", "sqlalchemy", "alembic", "numpy", "pyarrow")
REPORTING = f"""
import atexit, sys
atexit.register(lambda: print("loaded:", [m for m in {HEAVY} if m in sys.modules], file=sys.stderr))
from segjob.cli import main
main()
"""


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("run", "--help"), ("config-schema",), ("versions", "mall"), ("status",), ("show", "mall")],
    ids=" ".join,
)
def test_a_command_that_computes_nothing_loads_nothing_heavy(
    arguments: tuple[str, ...], mall_published: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", REPORTING, *arguments]
    variables = {**os.environ, "DATABASE_URL": mall_published}
    done = subprocess.run(command, check=False, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "loaded: []"


def test_the_command_starts_as_a_new_process_too(mall_published: str, segjob: Segjob) -> None:
    done = segjob("run", "mall", "--json", fresh=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version_id"] == 2


def test_a_run_does_without_pandas(mall_published: str, segjob: Segjob, tmp_path: Path) -> None:
    """pyarrow would load it, half a second, wherever a column goes the usual way between the two."""
    features = ["age", {"column": "annual_income", "impute": "exclude"}, {"column": "gender", "encode": "onehot"}]
    every_kind = {"source": "public.mall_customer", "key": "customer_id", "features": features, "n_clusters": 4}
    (tmp_path / "segjob.yaml").write_text(json.dumps({"segmentations": {"every_kind": every_kind}}))
    assert segjob("migrate").returncode == 0
    command = [sys.executable, "-c", REPORTING, "run", "every_kind"]
    variables = {**os.environ, "DATABASE_URL": mall_published}
    done = subprocess.run(command, check=False, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = done.stderr.splitlines()[-1]
    assert "torch" in loaded
    assert "pandas" not in loaded
