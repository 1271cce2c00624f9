"""A server of the faults' own, which can be killed in the middle of whatever it does and comes back at once."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from segjob.postgres import embedded

# What a commit says is committed survives the death of the server, as on a real one: only the machine must not die.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "max_connections": "60",
    "restart_after_crash": "on",
}
PATIENCE = 30.0


def binaries() -> Path:
    """The programs of the chosen version; a server that is already there, or in a container, can not be killed."""
    if chosen := os.environ.get("SEGJOB_TEST_PG_BIN"):
        return Path(chosen)
    return embedded.bundled_binaries(int(os.environ.get("SEGJOB_TEST_BUNDLED_VERSION", "18")))


@dataclass(frozen=True)
class MortalServer:
    """A running server with its programs; `url` is a superuser's, to its maintenance database."""

    server: embedded.Server

    @property
    def url(self) -> str:
        return self.server.url

    def url_of(self, database: str) -> str:
        return self.url.replace("/postgres?", f"/{database}?")

    def connect(self, database: str = "postgres", **options: Any) -> psycopg.Connection:
        """A session of the superuser; every statement is its own transaction."""
        return psycopg.connect(self.url_of(database), autocommit=True, **options)

    def restart_at_once(self) -> None:
        """Every process of the server ends where it is, nothing is written out, and the log is replayed."""
        ended = self.server.run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self.server.data))
        assert ended.returncode == 0, ended.stdout
        self.server.launch()

    def make_database(self, name: str, template: str = "template1") -> None:
        with self.connect() as session:
            session.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())

    def drop_database(self, name: str) -> None:
        with self.connect() as session:
            session.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


@contextmanager
def mortal_server(**settings: str) -> Iterator[MortalServer]:
    """Run one in a temporary directory; settings as the server names them."""
    with tempfile.TemporaryDirectory(prefix="segjob-mortal-") as folder:
        directory = Path(folder)
        directory.chmod(0o711)  # when we are root, the server's user has to pass
        chosen = {**SETTINGS, **settings}
        with embedded.running(directory, binaries(), chosen):
            yield MortalServer(embedded.Server(directory.resolve(), binaries(), chosen))


def wait_for_no_session(session: psycopg.Connection, database: str, application: str = "segjob") -> float:
    """Wait until the server has noticed that nobody of this name is there any more; returns how long that took."""
    began = time.monotonic()
    wanted = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = %s"
    while session.execute(wanted, [database, application]).fetchone() != (0,):
        assert time.monotonic() < began + PATIENCE, "a session of a dead process lives on"
        time.sleep(0.01)  # the end of another session can not be subscribed to
    return time.monotonic() - began
