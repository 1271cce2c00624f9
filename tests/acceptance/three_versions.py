"""The mall with three versions, all attached, of which the third is published; a module's tests take copies."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import MALL, write_configuration
from tests.command import run_segjob

__all__ = ["database_url", "three_versions"]  # for modules that import these fixtures


@pytest.fixture(scope="module")
def three_versions(
    server_url: str,
    server_connection: psycopg.Connection,
    published_mall: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The name of the database."""
    folder = tmp_path_factory.mktemp("three")
    write_configuration(folder, {"mall": MALL})
    with servers.fresh_database(server_url, server_connection, published_mall) as url:
        for _ in range(2):
            done = run_segjob(folder, url, "run", "mall", "--no-prune")
            assert done.returncode == 0, done.stderr
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, three_versions: str) -> Iterator[str]:
    """A copy of it, with all that a test does to it."""
    with servers.fresh_database(server_url, server_connection, three_versions) as url:
        yield url
