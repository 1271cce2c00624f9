"""A server behind TLS, with an authority of our own: who may be talked to, and that our own reading of it is right."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg.conninfo import make_conninfo

from segjob.errors import DatabaseUnavailable, TryAgain
from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading import arrivals, ranges
from segjob.postgres.reading.read import read_bulk, read_plain
from segjob.postgres.reading.snapshot import hold
from segjob.postgres.reading.tls import TlsWire
from tests.acceptance.conftest import MALL, write_configuration
from tests.command import run_segjob
from tests.conftest import load_mall
from tests.faults.authority import PASSWORD, Authority, encrypted_server
from tests.integration.test_tls import N_ROWS, plan, wires
from tests.servers import fresh_database

__all__ = ["wires"]

QUICK = 5.0  # seconds: what can not help is not tried again until the deadline


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "ours").found()


@pytest.fixture(scope="module")
def encrypted(authority: Authority, server_url: str) -> Iterator[str]:
    """A database on a server that is reached by TLS alone."""
    with encrypted_server(authority, server_url) as url:
        trusted = make_conninfo(url, sslmode="verify-full", sslrootcert=str(authority.root))
        with psycopg.connect(trusted, autocommit=True) as session, fresh_database(url, session) as database:
            yield database


def url_of(encrypted: str, **options: Any) -> str:
    """The URL with more options; whoever reads it as a libpq URL finds them."""
    more = "&".join(f"{name}={value}" for name, value in options.items())
    return f"{encrypted}&{more}"


@pytest.fixture(scope="module")
def project(encrypted: str, authority: Authority, mall_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a configuration, for customers behind TLS."""
    folder = tmp_path_factory.mktemp("project")
    with psycopg.connect(url_of(encrypted, sslrootcert=authority.root), autocommit=True) as session:
        load_mall(session, mall_csv)
    write_configuration(folder, {"mall": MALL})
    return folder


def call(project: Path, url: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command, whose output never has the password."""
    done = run_segjob(project, url, *arguments, env=env)
    assert PASSWORD not in done.stdout + done.stderr
    return done


# Who it may be


def test_a_verified_server_is_worked_with_and_nothing_is_to_be_warned_of(
    project: Path, encrypted: str, authority: Authority
) -> None:
    verified = url_of(encrypted, sslmode="verify-full", sslrootcert=authority.root)
    for command in ("migrate", "run mall"):
        done = call(project, verified, *command.split())
        assert done.returncode == 0, done.stderr
    assert "not verified" not in call(project, verified, "check").stdout


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that signed nothing here."""
    return Authority(tmp_path_factory.mktemp("stranger"), "theirs").found()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sslmode": "verify-full", "sslrootcert": "{stranger}"}, "certificate verify failed"),
        ({"sslmode": "verify-ca", "sslrootcert": "{stranger}"}, "certificate verify failed"),
        ({"sslmode": "verify-full", "sslrootcert": "{ours}", "host": "db.example.org"}, "does not match host name"),
        ({"sslmode": "verify-full", "sslrootcert": "nowhere.pem"}, "nowhere.pem"),
        ({"sslmode": "verify-full", "sslrootcert": "system"}, "certificate verify failed"),
    ],
    ids=["wrong authority", "wrong authority, any name", "wrong name", "no file", "only public authorities"],
)
def test_a_server_that_may_be_anybody_is_refused_at_once(
    project: Path, encrypted: str, authority: Authority, stranger: Authority, options: dict[str, str], words: str
) -> None:
    files = {"ours": authority.root, "stranger": stranger.root}
    url = url_of(encrypted, **{name: value.format(**files) for name, value in options.items()})
    began = time.monotonic()
    done = call(project, url, "run", "mall", "--json")
    assert done.returncode == 78, done.stderr
    assert words in json.loads(done.stdout)["error"]["message"]
    assert time.monotonic() - began < QUICK
    assert "Traceback" in call(project, url, "run", "mall", "--debug").stderr


def test_a_server_that_asks_for_tls_is_not_begged_for_less(project: Path, encrypted: str) -> None:
    done = call(project, url_of(encrypted, sslmode="disable"), "run", "mall")
    assert (done.returncode, "no encryption" in done.stderr) in [(77, True), (69, False)]  # a proxy just hangs up


@pytest.mark.parametrize(
    ("mode", "variables", "warned"),
    [
        ("require", {}, True),
        ("prefer", {}, True),
        ("verify-ca", {}, True),
        ("verify-full", {}, False),
        ("", {"PGSSLMODE": "verify-full"}, False),
        ("", {"PGSSLMODE": "require"}, True),
    ],
)
def test_check_warns_of_a_remote_server_that_is_not_verified(
    project: Path, encrypted: str, authority: Authority, mode: str, variables: dict[str, str], warned: bool
) -> None:
    url = url_of(encrypted, sslrootcert=authority.root, **({"sslmode": mode} if mode else {}))
    done = call(project, url, "check", "mall", "--json", **variables)
    rows = [row for row in json.loads(done.stdout)["checks"] if row["check"] == "tls"]
    assert [row["result"] for row in rows] == ["warning"] * warned, rows
    assert all("sslmode=verify-full to database.url" in row["message"] for row in rows)


# What is read


@pytest.fixture
def shop(encrypted: str, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Database]]:
    """Customers to be read in several ranges, by a session with options of TLS."""
    monkeypatch.setattr(ranges, "UNDIVIDED_BYTES", 0)
    monkeypatch.setattr(ranges, "LEAST_BYTES", 2**19)
    verified = url_of(encrypted, sslmode="verify-full", sslrootcert=authority.root)
    with psycopg.connect(verified, autocommit=True) as session:
        session.execute(f"""
            CREATE TABLE public.customer AS
            SELECT i AS id, i::float8 AS amount, repeat('n', i % 90) AS note FROM generate_series(1, {N_ROWS}) AS i;
            ANALYZE
        """)
        yield lambda **options: Database(f"{verified}&{'&'.join(f'{k}={v}' for k, v in options.items())}", deadline=2)
        session.execute("DROP TABLE public.customer")


@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
def test_our_own_reading_of_a_real_server_gives_what_the_plain_one_gives(
    shop: Callable[..., Database], wires: list[type], protocol: str
) -> None:
    database = shop(ssl_min_protocol_version=protocol, ssl_max_protocol_version=protocol)
    wanted = plan(database)
    with hold(database, wanted) as snapshot:
        bulk = pa.Table.from_batches(read_bulk(database, snapshot, wanted, 2), wanted.schema)
        plain = pa.Table.from_batches(read_plain(database, snapshot, wanted), wanted.schema)
    assert wires == [TlsWire, TlsWire]
    assert bulk.num_rows == N_ROWS
    assert bulk.sort_by("k:id").equals(plain.sort_by("k:id"))


def test_a_session_that_the_server_ends_is_no_short_success(
    shop: Callable[..., Database], wires: list[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "AHEAD", 1)  # else all may have been read before a session is ended
    database = shop()
    wanted = plan(database)
    with hold(database, wanted) as snapshot, closing(read_bulk(database, snapshot, wanted, 2)) as batches:
        next(batches)
        with database.begin() as connection:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%%ctid%%'"
            connection.exec_driver_sql(ended)
        with pytest.raises((DatabaseUnavailable, TryAgain)):
            for _ in batches:
                pass
    assert wires == [TlsWire, TlsWire]
