"""What a test may ask for: a Postgres, a fresh database, the mall's customers, and the command as a user runs it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import hypothesis
import psycopg
import pytest

from segjob.postgres.connecting.connect import Database
from tests import servers
from tests.command import run_segjob

ROOT = Path(__file__).parent.parent
MALL = """
CREATE TABLE public.mall_customer (
    customer_id integer PRIMARY KEY,
    gender text,
    age integer,
    annual_income integer,
    spending_score integer
)
"""

# The same examples on every machine, whether it is fast or slow.
hypothesis.settings.register_profile("segjob", deadline=None, derandomize=True)
hypothesis.settings.load_profile("segjob")

Segjob = Callable[..., "subprocess.CompletedProcess[str]"]
CHOICE = pytest.StashKey[servers.Choice]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CHOICE] = servers.choose()


def pytest_report_header(config: pytest.Config) -> str:
    return f"postgres: {config.stash[CHOICE].name}"


@pytest.fixture(scope="session")
def server_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """A libpq URL, with a password, of a superuser on the server that this session of tests uses."""
    with pytestconfig.stash[CHOICE].running as url:
        yield url


@pytest.fixture(scope="session")
def server_connection(server_url: str) -> Iterator[psycopg.Connection]:
    """The session that makes and drops the tests' databases."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection) -> Iterator[str]:
    """A libpq URL of a fresh, empty database."""
    with servers.fresh_database(server_url, server_connection) as url:
        yield url


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """A session of the superuser on the fresh database; every statement is its own transaction."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def database(database_url: str) -> Database:
    """The fresh database as the job sees it, with the default names of the two schemas."""
    return Database(database_url)


@pytest.fixture(scope="session")
def mall_csv() -> Path:
    """The file of the mall's 200 customers."""
    given = os.environ.get("SEGJOB_TEST_MALL_CSV")
    path = Path(given) if given else ROOT.parent / "shared" / "data" / "mall_customers.csv"
    if not path.is_file():
        pytest.fail(f"there is no file {path}: set SEGJOB_TEST_MALL_CSV to the path of mall_customers.csv")
    return path


def load_mall(connection: psycopg.Connection, csv: Path) -> None:
    """Put the mall's customers into public.mall_customer."""
    connection.execute(MALL)
    with connection.cursor().copy("COPY public.mall_customer FROM STDIN (FORMAT csv, HEADER)") as copy:
        copy.write(csv.read_bytes())


@pytest.fixture
def mall(database_url: str, connection: psycopg.Connection, mall_csv: Path) -> str:
    """The mall's customers as public.mall_customer in the fresh database, whose URL this is."""
    load_mall(connection, mall_csv)
    return database_url


@pytest.fixture
def segjob(tmp_path: Path, database_url: str) -> Segjob:
    """The command in the test's folder, on the fresh database."""
    return partial(run_segjob, tmp_path, database_url)
