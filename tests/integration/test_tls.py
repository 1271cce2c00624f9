"""Reading through TLS. The bundled server speaks none, so a proxy of the test's own stands before it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from segjob.errors import ConfigurationError, DatabaseUnavailable
from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading import ranges, streams
from segjob.postgres.reading.columns import ReadPlan, plan_read
from segjob.postgres.reading.libpq import LibpqWire
from segjob.postgres.reading.read import read_bulk, read_plain
from segjob.postgres.reading.snapshot import hold
from segjob.postgres.reading.source import describe
from segjob.postgres.reading.tls import TlsWire
from segjob.records.source import FeatureSpec, SourceSpec
from tests.integration.parts import CHUNK, chunks, load_part, new, stored
from tests.waiting import wait_until

N_ROWS = 60_000


class Proxy:
    """Accepts TLS and passes everything on to a server that does not."""

    def __init__(self, server: socket.socket, certificate: Path, key: Path, target: tuple[int, Any]) -> None:
        self._server = server
        self._target = target
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection without a word."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        family, address = self._target
        with socket.socket(family) as onward, suppress(OSError):
            assert len(client.recv(8)) == 8  # the request for TLS
            client.sendall(b"S")
            with self._context.wrap_socket(client, server_side=True) as encrypted:
                onward.connect(address)
                self._open += [encrypted, onward]
                threading.Thread(target=pump, args=(encrypted, onward), daemon=True).start()
                pump(onward, encrypted)


def pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made = (folder / "certificate.pem", folder / "key.pem")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run([*command.split(), "-out", made[0], "-keyout", made[1]], check=True, capture_output=True)
    return made


@pytest.fixture
def proxy(certificate: tuple[Path, Path], database_url: str) -> Iterator[tuple[Proxy, str]]:
    """The proxy, and the URL through it, which verifies the server in full."""
    parts = conninfo_to_dict(database_url)
    host, port = str(parts.get("host") or "localhost"), int(parts.get("port") or 5432)
    unix = host.startswith("/")
    target = (socket.AF_UNIX, f"{host}/.s.PGSQL.{port}") if unix else (socket.AF_INET, (host, port))
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        through = {"host": "localhost", "hostaddr": "127.0.0.1", "port": server.getsockname()[1]}
        verified = {"sslmode": "verify-full", "sslrootcert": str(certificate[0])}
        yield Proxy(server, *certificate, target), make_conninfo(database_url, **through, **verified)


@pytest.fixture
def shop(connection: psycopg.Connection, proxy: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setattr(ranges, "UNDIVIDED_BYTES", 0)
    monkeypatch.setattr(ranges, "LEAST_BYTES", 2**19)
    connection.execute(f"""
        CREATE TABLE public.customer AS
        SELECT i AS id, i::float8 AS amount, repeat('n', i % 90) AS note FROM generate_series(1, {N_ROWS}) AS i;
        ANALYZE
    """)
    return Database(proxy[1], deadline=2)


def plan(database: Database) -> ReadPlan:
    with database.begin() as connection:
        description = describe(connection, SourceSpec(relation="public.customer"))
    return plan_read(description, ["id"], [FeatureSpec("amount"), FeatureSpec("note", onehot=True)])


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """What was opened."""
    opened: list[type] = []
    open_wire = streams.open_wire

    def remember(connection: psycopg.Connection) -> object:
        wire = open_wire(connection)
        opened.append(type(wire))
        return wire

    monkeypatch.setattr(streams, "open_wire", remember)
    return opened


@pytest.mark.parametrize("kind", [TlsWire, LibpqWire])
def test_what_comes_through_tls_is_what_was_sent(shop, wires, monkeypatch, kind):
    if kind is LibpqWire:
        monkeypatch.setattr(streams, "open_tls", lambda _: None)
    wanted = plan(shop)
    with hold(shop, wanted) as snapshot:
        told: list[str] = []
        bulk = pa.Table.from_batches(read_bulk(shop, snapshot, wanted, 2, told.append), wanted.schema)
        plain = pa.Table.from_batches(read_plain(shop, snapshot, wanted), wanted.schema)
    assert wires == [kind, kind]
    assert told == [streams.ROW_BY_ROW] * (kind is LibpqWire)
    assert bulk.num_rows == N_ROWS
    assert bulk.sort_by("k:id").equals(plain.sort_by("k:id"))


def test_what_goes_through_tls_arrives(shop, connection):
    part, n_rows = new(shop), 50 * CHUNK
    load_part(shop, part, chunks(n_rows), [], n_rows)
    assert [row[0] for row in stored(connection, part)] == [*range(n_rows)]


def test_a_connection_that_is_cut_is_no_short_success(shop, proxy, wires):
    wanted = plan(shop)
    with hold(shop, wanted) as snapshot, closing(read_bulk(shop, snapshot, wanted, 2)) as batches:
        next(batches)
        proxy[0].cut()
        with pytest.raises(DatabaseUnavailable):
            for _ in batches:
                pass
    assert TlsWire in wires


def test_who_stops_early_ends_what_the_server_does(shop, connection, wires):
    wanted = plan(shop)
    with hold(shop, wanted) as snapshot:
        batches = read_bulk(shop, snapshot, wanted, 2)
        next(batches)
        began = time.monotonic()
        batches.close()
        assert time.monotonic() - began < 2
        copying = "SELECT FROM pg_stat_activity WHERE query LIKE 'COPY%ctid%'"
        wait_until(lambda: connection.execute(copying).rowcount == 0)


def test_a_server_that_is_not_who_it_says_is_refused(shop, proxy):
    wanted = plan(shop)
    stranger = Database(make_conninfo(proxy[1], host="stranger"), deadline=1)
    with hold(shop, wanted) as snapshot, pytest.raises(ConfigurationError, match="certificate"):
        list(read_bulk(stranger, snapshot, wanted))
