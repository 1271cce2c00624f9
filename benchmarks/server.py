"""The scratch Postgres of the benchmarks, as it is shipped, and what it spends while somebody else is measured."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from segjob.postgres.embedded import bundled_binaries, running

DATABASE = "benchmarks"
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A running server, a session of its superuser that commits every statement, and a folder for scratch files."""

    url: str
    connection: psycopg.Connection
    folder: Path

    @property
    def psql(self) -> Path:
        return bundled_binaries() / "psql"

    def value(self, statement: str) -> object:
        row = self.connection.execute(statement.encode()).fetchone()
        return row and row[0]

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self.connection.execute(statement.encode())


@contextmanager
def scratch_server(kept: Path | None = None) -> Iterator[Server]:
    """Run the bundled Postgres with its default settings, in a temporary directory or in one that is kept."""
    with tempfile.TemporaryDirectory(prefix="segjob-bench-") as scratch:
        directory = kept or Path(scratch) / "postgres"
        Path(scratch).chmod(0o711)  # when we are root, the server's user has to pass
        with running(directory) as url:
            make_database(url)
            own = url.replace("/postgres?", f"/{DATABASE}?")
            with psycopg.connect(own, autocommit=True) as connection:
                yield Server(own, connection, Path(scratch))


def make_database(url: str) -> None:
    """A database of our own, so that a server that is kept may serve others too."""
    with psycopg.connect(url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(f"CREATE DATABASE {DATABASE}")


@dataclass(frozen=True)
class Spent:
    """What the server has spent since it started."""

    cpu: float
    wal: int

    def since(self, before: Spent) -> Spent:
        return Spent(self.cpu - before.cpu, self.wal - before.wal)


def spent(server: Server) -> Spent:
    """CPU seconds of the postmaster and of all its children, dead or alive, and bytes of WAL."""
    wal = int(str(server.value("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")))
    return Spent(cpu_of_family(postmaster(server)), wal)


def postmaster(server: Server) -> int:
    """The process whose children serve the sessions."""
    return int(str(server.value("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)")))


def cpu_of_family(parent: int) -> float:
    """Seconds of a process, of its living children, and of the children that it has buried.

    Read again if a child ends meanwhile, which would be counted twice or not at all.
    """
    while True:
        before = stat(parent)
        living = sum(sum(stat(child)[:2]) for child in children(parent))
        if before is not None and stat(parent)[2:] == before[2:]:
            return (sum(before) + living) / TICK


def stat(process: int) -> list[int]:
    """Ticks of a process in user and kernel mode, and those of its buried children; zeros if it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return [0, 0, 0, 0]
    return [int(field) for field in fields[11:15]]


def children(parent: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
