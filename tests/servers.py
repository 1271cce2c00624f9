"""How the tests find a Postgres. Without one they fail: nothing here is ever skipped for want of a server.

The first of these that is there:

1. SEGJOB_TEST_DATABASE_URL   a server that is already running; its role may create databases and roles
2. SEGJOB_TEST_PG_BIN         the programs of an installed Postgres; we run a server of our own with them
3. SEGJOB_TEST_BUNDLED_VERSION=18|16   the bundled Postgres of that version
4. testcontainers             when a Docker engine answers and has the image SEGJOB_TEST_POSTGRES_IMAGE (default
                              postgres:18); an image is never pulled. SEGJOB_TEST_CONTAINERS=1 makes it a must
5. the bundled Postgres 18
"""

from __future__ import annotations

import gc
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict

from segjob.postgres import embedded

PASSWORD = "postgres"
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "60"}


@dataclass(frozen=True)
class Choice:
    """A Postgres that can be had: in words, and the block in which it runs; it gives a libpq URL of a superuser."""

    name: str
    running: AbstractContextManager[str]


def choose() -> Choice:
    """Choose the server for this session of tests. Nothing is started yet."""
    if url := os.environ.get("SEGJOB_TEST_DATABASE_URL"):
        place = conninfo_to_dict(url)
        return Choice(f"the server at {place.get('host')}, port {place.get('port', 5432)}", nullcontext(url))
    if binaries := os.environ.get("SEGJOB_TEST_PG_BIN"):
        return Choice(f"a server of our own, run by {binaries}", own_server(Path(binaries)))
    if version := os.environ.get("SEGJOB_TEST_BUNDLED_VERSION"):
        return bundled(int(version))
    image = os.environ.get("SEGJOB_TEST_POSTGRES_IMAGE", "postgres:18")
    required = os.environ.get("SEGJOB_TEST_CONTAINERS") == "1"
    if required or has_image(image):
        return Choice(f"{image} in a container (testcontainers)", container(image))
    return bundled(18)


def bundled(version: int) -> Choice:
    return Choice(f"the bundled PostgreSQL {version}", own_server(embedded.bundled_binaries(version)))


@contextmanager
def own_server(binaries: Path) -> Iterator[str]:
    """Run a server in a temporary directory that, like a real one, asks everybody for a password."""
    with tempfile.TemporaryDirectory(prefix="segjob-pg-") as directory:
        Path(directory).chmod(0o711)  # when we are root, the server's user has to pass
        with embedded.running(Path(directory), binaries, FAST) as url:
            ask_for_passwords(url)
            yield url.replace("postgres@", f"postgres:{PASSWORD}@")


def ask_for_passwords(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
        (rules,) = connection.execute("SHOW hba_file").fetchone() or ("",)
        Path(rules).write_text("local all all scram-sha-256\n")
        connection.execute("SELECT pg_reload_conf()")


def has_image(image: str) -> bool:
    """Tell whether a Docker engine answers and has the image already."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=5)
    except DockerException:
        client = None
    if client is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the client leaves its socket open, and in a cycle
            gc.collect()
        return False
    try:
        client.images.get(image)
    except DockerException:
        return False
    finally:
        client.close()
    return True


@contextmanager
def container(image: str) -> Iterator[str]:
    """Run an image that is here. The helper that removes containers after a crash is an image too: done without."""
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.core.config import testcontainers_config

    if not has_image(image):
        raise RuntimeError(f"no Docker engine answers that has the image {image}, and the tests never pull one")
    testcontainers_config.ryuk_disabled = True
    settings = " ".join(f"-c {name}={value}" for name, value in FAST.items())
    postgres: Any = PostgresContainer(image, username="postgres", password=PASSWORD, dbname="postgres", driver=None)
    with postgres.with_command(f"postgres {settings}") as running:
        yield running.get_connection_url()


@contextmanager
def fresh_database(
    server_url: str, server_connection: psycopg.Connection, template: str = "template1"
) -> Iterator[str]:
    """Make a database, empty or as its template, which is gone after the block whoever is still connected."""
    name = f"test_{uuid4().hex}"
    server_connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    place = urlsplit(server_url)
    try:
        yield f"postgresql://{place.netloc}/{name}?{place.query}"
    finally:
        server_connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
