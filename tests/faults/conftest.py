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
from tests.faults import table
from tests.faults.proxy import Proxy, proxy
from tests.faults.reader import reader_process
from tests.faults.scenarios import make_templates
from tests.faults.server import MortalServer, mortal_server
from tests.faults.walk import Ground

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


@pytest.fixture
def between(mall_published: str) -> Iterator[Proxy]:
    """The line to the mall's server, which a test may cut, delay or silence."""
    with proxy(mall_published) as made:
        yield made


@pytest.fixture(scope="session")
def ground(mortal: MortalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Where commands are walked: the states that they begin with, and a reader in a process of its own."""
    folder = tmp_path_factory.mktemp("walked")
    make_templates(mortal, folder)
    with reader_process() as reader:
        yield Ground(mortal, folder, reader)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was walked, by whichever process of pytest."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, [])]
    walked = [value for one in reports for name, value in one.user_properties if name == "walked"]
    if walked:
        terminalreporter.section("points x faults")
        for line in table.lines(walked):
            terminalreporter.write_line(line)
