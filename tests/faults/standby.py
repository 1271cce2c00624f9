"""A server and its streaming standby, both our own, and what happens to them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from segjob.postgres import embedded, unprivileged
from tests.faults.server import SETTINGS, MortalServer, binaries, mortal_server
from tests.waiting import wait_until

AT_ONCE = "0"  # of max_standby_streaming_delay: whoever is in the way of replay is cancelled
GATE = 4711  # an advisory lock: who reads `through_the_gate` waits while a test holds it


@dataclass(frozen=True)
class Pair:
    """A primary and a standby that follows it."""

    primary: MortalServer
    standby: MortalServer

    def catch_up(self) -> None:
        """Wait until the standby has repeated everything that the primary has done."""
        with self.primary.connect() as here, self.standby.connect() as there:
            (wanted,) = here.execute("SELECT pg_current_wal_flush_lsn()").fetchone() or ("",)
            repeated = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
            wait_until(lambda: there.execute(repeated, [wanted]).fetchone() == (True,))

    @contextmanager
    def set_on_standby(self, **settings: str) -> Iterator[None]:
        """Settings of the standby for the length of the block."""
        with self.standby.connect() as session:
            for name, value in settings.items():
                session.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            session.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            with self.standby.connect() as session:
                for name in settings:
                    session.execute(f"ALTER SYSTEM RESET {name}".encode())
                session.execute("SELECT pg_reload_conf()")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The standby repeats nothing while the block lasts."""
        with self.standby.connect() as session:
            session.execute("SELECT pg_wal_replay_pause()")
            wait_until(lambda: session.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() == ("paused",))
            try:
                yield
            finally:
                session.execute("SELECT pg_wal_replay_resume()")


@contextmanager
def pair(**settings: str) -> Iterator[Pair]:
    """Run both in temporary directories; settings are the standby's."""
    with mortal_server() as primary, tempfile.TemporaryDirectory(prefix="segjob-standby-") as folder:
        directory = Path(folder).resolve()
        directory.chmod(0o711)
        chosen = {**SETTINGS, **settings}
        standby = embedded.Server(directory, binaries(), chosen)
        copy(primary.server, standby)
        with embedded.running(directory, binaries(), chosen):
            yield Pair(primary, MortalServer(standby))


def copy(primary: embedded.Server, standby: embedded.Server) -> None:
    standby.prepare_directory()
    unprivileged.make_private(standby.data)
    place = ("-h", str(primary.socket_directory), "-p", str(embedded.PORT), "-U", "postgres")
    options = ("-D", str(standby.data), "-c", "fast", "-X", "stream", "--write-recovery-conf", "--no-sync")
    done = standby.run("pg_basebackup", *place, *options)
    assert done.returncode == 0, done.stdout
    for own in (*standby.data.glob(".s.PGSQL.*"), standby.log):  # the primary's socket and log lie among its data
        own.unlink()


@contextmanager
def closed_gate(server: MortalServer, database: str) -> Iterator[Any]:
    """Nobody gets through the gate on this server while the block lasts, or until what it gives is called."""
    with server.connect(database) as session:
        session.execute("SELECT pg_advisory_lock(%s)", [GATE])

        def open_gate() -> None:
            session.execute("SELECT pg_advisory_unlock_all()")

        yield open_gate


def waits_at_the_gate(session: psycopg.Connection) -> bool:
    """Whether somebody does."""
    found = session.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
    return found != (0,)
