"""A server and its streaming standby, both our own, and what happens to them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from segjob.postgres import embedded, unprivileged
from tests.faults.server import SETTINGS, MortalServer, binaries, mortal_server
from tests.waiting import wait_until

AT_ONCE = "0"  # of max_standby_streaming_delay: whoever is in the way of replay is cancelled
SECONDS = 60.0  # for what a process does on a machine that has much to do
GATE = 4711  # an advisory lock; while a test holds it, who reads through the gate takes a tenth of a second a row
THROUGH_THE_GATE = f"CASE WHEN pg_try_advisory_xact_lock_shared({GATE}) THEN true ELSE pg_sleep(0.1) IS NOT NULL END"
AT_THE_GATE = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep' ORDER BY backend_start
"""


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

    def restart_standby_at_once(self) -> None:
        """With little to repeat, so that it takes no longer than a run waits for a server."""
        for server in (self.primary, self.standby):
            with server.connect() as session:
                session.execute("CHECKPOINT")
            self.catch_up()
        self.standby.restart_at_once()

    def await_feedback(self) -> None:
        """Wait until the primary knows of the oldest snapshot that somebody reads on the standby."""
        with self.primary.connect() as here:
            known = "SELECT backend_xmin IS NOT NULL FROM pg_stat_replication"
            wait_until(lambda: here.execute(known).fetchone() == (True,))

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
        chosen = {**SETTINGS, "wal_receiver_status_interval": "1", **settings}
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
def closed_gate(server: MortalServer, database: str) -> Iterator[Gate]:
    """Who reads through the gate on this server does so slowly while the block lasts, or until it is opened."""
    with server.connect(database) as session:
        session.execute("SELECT pg_advisory_lock(%s)", [GATE])
        yield Gate(session)


@dataclass
class Gate:
    """What holds readers up, and a look at who is there."""

    session: psycopg.Connection
    last_seen: int | None = None

    def await_reader(self) -> None:
        """Wait for one who has not been seen yet."""

        def somebody_else() -> bool:
            found = self.session.execute(AT_THE_GATE).fetchone()
            if found is None or found[0] == self.last_seen:
                return False
            self.last_seen = found[0]
            return True

        wait_until(somebody_else, SECONDS)

    def await_end_of_reader(self) -> None:
        """Wait until the last one who was seen reads no more."""
        wait_until(lambda: (self.last_seen,) not in self.session.execute(AT_THE_GATE).fetchall(), SECONDS)

    def open(self) -> None:
        self.session.execute("SELECT pg_advisory_unlock_all()")
