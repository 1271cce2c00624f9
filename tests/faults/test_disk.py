"""A disk that is full, ours or the server's, wherever it fills up: little room, then more, until a run gets through."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from segjob.postgres import unprivileged
from tests.acceptance.conftest import write_configuration
from tests.command import run_segjob
from tests.faults.large import CONFIGURED, Run, database_url, publish_large, published_large, run
from tests.faults.little import Little
from tests.faults.server import MortalServer
from tests.faults.standing import last_run, left_behind, standing

__all__ = ["database_url", "published_large", "run"]  # the fixtures

KIB = 1024
LITTLE_MEMORY = {"SEGJOB__RESOURCES__MEMORY": "1MiB"}
SERVER_MEBIBYTES = 64


def expect_full(done: Any, connection: psycopg.Connection, told: str) -> None:
    """75, in words on stdout and on the run's row, and nothing is left."""
    assert done.returncode == 75, done.stderr
    message = json.loads(done.stdout)["error"]["message"]
    assert told in message
    assert last_run(connection) == ("failed", 75, message)
    assert left_behind(connection) == []


# Our own disk


def test_a_file_that_may_not_grow_is_told_wherever_it_ends(run: Run, connection: psycopg.Connection) -> None:
    """As under a quota: the file system has room, and this process may not have it."""
    before, n_failed = standing(connection, "large"), 0
    for kib in (8, 64, 256, 512, 1024, 2048, 4096):
        done = run("run", "large", "--json", env=LITTLE_MEMORY, become=Little(file=kib * KIB))
        if done.returncode == 0:
            break
        n_failed += 1
        expect_full(done, connection, "is full: the customers do not fit into it")
        assert standing(connection, "large") == before
    assert n_failed >= 2
    assert standing(connection, "large").versions == {json.loads(done.stdout)["version_id"]}


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own in a folder; only root may mount one."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0 or mount("-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", folder).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def mount(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("mount") is None:
        pytest.skip("there is no mount")
    return subprocess.run(["mount", *arguments], check=False, capture_output=True)


def test_a_volume_that_fills_up_while_customers_are_read_ends_the_run_and_a_larger_one_helps(
    run: Run, connection: psycopg.Connection, tmp_path: Path
) -> None:
    before = standing(connection, "large")
    with small_disk(tmp_path / "spool", "256k") as folder:
        little = {**LITTLE_MEMORY, "SEGJOB__RESOURCES__SPOOL_DIR": str(folder)}
        done = run("run", "large", "--json", env=little)
        assert "the forecast may be wrong, so the run goes on" in done.stderr
        expect_full(done, connection, f"{folder} is full")
        assert standing(connection, "large") == before
        assert mount("-o", "remount,size=8m", folder).returncode == 0
        assert run("run", "large", env=little).returncode == 0


# The server's


@pytest.fixture
def tablespace(mortal: MortalServer, tmp_path: Path) -> Iterator[Path]:
    """A place of the server on a disk of its own; what is logged lies elsewhere, as a server needs it to live."""
    with small_disk(Path("/tmp") / f"segjob-tablespace-{os.getpid()}", f"{SERVER_MEBIBYTES}m") as disk:
        place = disk / "place"
        place.mkdir()
        user = unprivileged.user()
        if user is not None:
            os.chown(place, user.pw_uid, user.pw_gid)
        with mortal.connect() as session:
            session.execute(f"CREATE TABLESPACE small LOCATION '{place}'".encode())
        try:
            yield disk
        finally:
            with mortal.connect() as session:
                session.execute("DROP DATABASE IF EXISTS small WITH (FORCE)")
                session.execute("DROP TABLESPACE small")
    disk.rmdir()


@pytest.fixture
def small(mortal: MortalServer, tablespace: Path, tmp_path: Path) -> str:
    """A database that lies there, with one version published; its URL."""
    with mortal.connect() as session:
        session.execute("CREATE DATABASE small TABLESPACE small")
    publish_large(tmp_path, mortal.url_of("small"))
    write_configuration(tmp_path, CONFIGURED)
    return mortal.url_of("small")


@contextmanager
def room(disk: Path, n_bytes: int) -> Iterator[None]:
    """Leave so much of the disk, for as long as the block lasts."""
    filler = disk / "filler"
    found = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(found.f_bavail * found.f_frsize - n_bytes, 1))
    try:
        yield
    finally:
        filler.unlink()


def test_a_server_whose_disk_is_full_loses_nothing_wherever_it_ends(
    small: str, tablespace: Path, tmp_path: Path, connected: Callable[[str], psycopg.Connection]
) -> None:
    connection = connected(small)
    run = partial(run_segjob, tmp_path, small, "run", "large", "--json")
    before, n_failed = standing(connection, "large"), 0
    for mebibytes in (0, 1, 2, 3, 4, 6, 8, 12, 16):
        connection.execute("CHECKPOINT")
        with room(tablespace, mebibytes * KIB * KIB):
            done = run()
            if done.returncode == 0:
                break
            n_failed += 1
            assert done.returncode == 75, done.stderr
            assert "SQLSTATE 53100" in json.loads(done.stdout)["error"]["message"]
        assert standing(connection, "large") == before
    assert n_failed >= 3
    done = run()
    assert done.returncode == 0, done.stderr
    assert standing(connection, "large").versions == {json.loads(done.stdout)["version_id"]}
    assert left_behind(connection) == []


@pytest.fixture
def connected() -> Iterator[Callable[[str], psycopg.Connection]]:
    sessions: list[psycopg.Connection] = []

    def connect(url: str) -> psycopg.Connection:
        sessions.append(psycopg.connect(url, autocommit=True))
        return sessions[-1]

    yield connect
    for session in sessions:
        session.close()
