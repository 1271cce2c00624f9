"""Customers enough that a run needs memory and disk for them, with one version published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import write_configuration
from tests.command import run_segjob

Run = Callable[..., Any]

N_CUSTOMERS = 40_000
CUSTOMERS = f"""
CREATE TABLE public.large AS
SELECT i AS customer_id, (i % 5) * 100 + i % 31 AS a, (i % 5) * 50 + i % 17 AS b
FROM generate_series(1, {N_CUSTOMERS}) AS i;
CREATE VIEW public.all_of_large AS SELECT * FROM public.large WHERE a >= 0;
ANALYZE public.large;
"""
LARGE = {
    "source": "public.large",
    "key": "customer_id",
    "features": [{"column": "a", "scale": "none"}, {"column": "b", "scale": "none"}],
    "n_clusters": 5,
    "seed": 1,
}
# The view says nothing that the table does not, but its size is nothing that the planner knows.
CONFIGURED = {"large": {**LARGE, "source": "public.all_of_large"}}


@pytest.fixture(scope="session")
def published_large(
    server_url: str, server_connection: psycopg.Connection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a database in which they were run once; tests take copies of it."""
    with servers.fresh_database(server_url, server_connection) as url:
        publish_large(tmp_path_factory.mktemp("large"), url)
        yield urlsplit(url).path.removeprefix("/")


def publish_large(folder: Path, url: str) -> None:
    write_configuration(folder, CONFIGURED)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(CUSTOMERS.encode())
    for command in (["migrate"], ["run", "large"]):
        done = run_segjob(folder, url, *command)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, published_large: str) -> Iterator[str]:
    with servers.fresh_database(server_url, server_connection, published_large) as url:
        yield url


@pytest.fixture
def run(tmp_path: Path, database_url: str) -> Run:
    """The command on the copy."""
    write_configuration(tmp_path, CONFIGURED)
    return partial(run_segjob, tmp_path, database_url)
