"""Input 22: a source that is a foreign table, on a server that has a wrapper for them; the bundled one has none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import MALL, write_configuration
from tests.conftest import load_mall
from tests.faults.inputs.conftest import Mall

INSTALLED = Path("/usr/lib/postgresql")
AVAILABLE = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgres_fdw')"
FOREIGN = """
CREATE EXTENSION postgres_fdw;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{host}', port '{port}', dbname '{dbname}');
CREATE USER MAPPING FOR CURRENT_USER SERVER elsewhere OPTIONS (user '{user}', password '{password}');
CREATE FOREIGN TABLE public.far_away (customer_id integer NOT NULL, annual_income integer, spending_score integer)
    SERVER elsewhere OPTIONS (schema_name 'public', table_name 'mall_customer');
"""


def newest_installed() -> Path | None:
    found = [path for path in INSTALLED.glob("*/bin") if re.fullmatch(r"1[4-8]", path.parent.name)]
    return max(found, key=lambda path: path.parent.name, default=None)


@contextmanager
def server_with_wrapper(chosen: str, available: bool) -> Iterator[str]:
    """The server of this session of tests if it will do, else one of Debian's packages."""
    if available:
        yield chosen
        return
    binaries = newest_installed()
    if binaries is None:
        pytest.skip("no Postgres at hand has postgres_fdw")
    with servers.own_server(binaries) as url:
        yield url


@pytest.fixture
def far_away(server_url: str, server_connection: psycopg.Connection, mall_csv: Path, tmp_path: Path) -> Iterator[Mall]:
    """The mall's customers behind a foreign table, in a database that is migrated."""
    (available,) = server_connection.execute(AVAILABLE).fetchone() or (False,)
    with (
        server_with_wrapper(server_url, available) as server,
        psycopg.connect(server, autocommit=True) as making,
        servers.fresh_database(server, making) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        load_mall(connection, mall_csv)
        place = connection.info
        values = {name: getattr(place, name) for name in ("host", "port", "dbname", "user", "password")}
        connection.execute(FOREIGN.format(**values).encode())
        write_configuration(tmp_path, {"mall": {**MALL, "source": "public.far_away"}})
        mall = Mall(tmp_path, url, connection)
        mall.succeed("migrate")
        yield mall


def test_22_a_foreign_table(far_away: Mall) -> None:
    found = far_away.succeed("run", "mall")
    assert (found["n_customers"], found["n_segments"], found["warnings"]) == (200, 5, [])
    far_away.execute("ALTER FOREIGN TABLE public.far_away OPTIONS (SET table_name 'nowhere')")
    said = far_away.refused(78, "nowhere", row=None)
    assert "postgres" not in said, "the sentence says how to log in elsewhere"
    far_away.execute("ALTER FOREIGN TABLE public.far_away OPTIONS (SET table_name 'mall_customer')")
    assert far_away.succeed("run", "mall")["version_id"] == 2
