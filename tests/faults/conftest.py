"""What the tests of faults may ask for besides."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import (
    MALL,
    configure,
    mall_project,
    mall_published,
    published_mall,
    succeed,
    write_configuration,
)
from tests.command import run_segjob
from tests.faults.server import MortalServer, mortal_server

__all__ = ["configure", "mall_project", "mall_published", "published_mall", "succeed"]


@pytest.fixture(scope="session")
def mortal() -> Iterator[MortalServer]:
    """A server that tests may restart in the middle of things; one for each process of pytest."""
    with mortal_server() as server:
        yield server


@pytest.fixture(scope="session")
def twice_published(
    server_url: str,
    server_connection: psycopg.Connection,
    published_mall: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The name of a database in which the mall was run twice."""
    folder = tmp_path_factory.mktemp("twice")
    write_configuration(folder, {"mall": MALL})
    with servers.fresh_database(server_url, server_connection, published_mall) as url:
        done = run_segjob(folder, url, "run", "mall")
        assert done.returncode == 0, done.stderr
        yield urlsplit(url).path.removeprefix("/")
