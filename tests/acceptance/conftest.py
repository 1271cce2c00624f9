"""What the acceptance tests start from: a configuration beside the command, and a database that is migrated."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml

from tests import servers
from tests.command import run_segjob
from tests.conftest import load_mall

Segjob = Callable[..., "subprocess.CompletedProcess[str]"]
MALL = {
    "source": "public.mall_customer",
    "key": "customer_id",
    "features": [
        {"column": "annual_income", "scale": "none"},
        {"column": "spending_score", "scale": "none"},
    ],
    "n_clusters": 5,
    "seed": 1,
}


def write_configuration(folder: Path, segmentations: dict[str, Any], **database: Any) -> Path:
    """Write segjob.yaml where the command runs."""
    path = folder / "segjob.yaml"
    place = {"url": "${DATABASE_URL}", **database}
    path.write_text(yaml.safe_dump({"database": place, "segmentations": segmentations}, sort_keys=False))
    return path


@pytest.fixture(scope="session")
def published_mall(
    server_url: str, server_connection: psycopg.Connection, mall_csv: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a database in which the mall was run once; tests take copies of it."""
    folder = tmp_path_factory.mktemp("published")
    write_configuration(folder, {"mall": MALL})
    with servers.fresh_database(server_url, server_connection) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            load_mall(connection, mall_csv)
        for command in (["migrate"], ["run", "mall"]):
            done = run_segjob(folder, url, *command)
            assert done.returncode == 0, done.stderr
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Path]:
    """Write segjob.yaml where the command runs."""
    return partial(write_configuration, tmp_path)


@pytest.fixture
def succeed(segjob: Segjob) -> Callable[..., str]:
    """Run the command, expect success, and give what it printed."""

    def run(*arguments: str, **options: Any) -> str:
        done = segjob(*arguments, **options)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    return run


@pytest.fixture
def document(succeed: Callable[..., str]) -> Callable[..., Any]:
    """The same with --json, parsed."""
    return lambda *arguments, **options: json.loads(succeed(*arguments, "--json", **options))


@pytest.fixture
def mall_project(mall: str, configure: Callable[..., Path], succeed: Callable[..., str]) -> str:
    """The mall's customers, configured and migrated; the database's URL."""
    configure({"mall": MALL})
    succeed("migrate")
    return mall


@pytest.fixture
def mall_published(database_url: str, configure: Callable[..., Path]) -> str:
    """The same, run once; for modules whose `database_url` is a copy of `published_mall`."""
    configure({"mall": MALL})
    return database_url
