"""An authority of our own that signs certificates, and a server that shows one of them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from segjob.postgres import embedded, unprivileged
from tests.integration.test_tls import Proxy
from tests.servers import FAST

NAME = "db.example.com"
PASSWORD = "tls-canary"
INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@dataclass(frozen=True)
class Authority:
    """Signs what it is asked to sign; who trusts it has its file `root`."""

    folder: Path
    name: str

    @property
    def root(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def found(self) -> Authority:
        call(f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={self.name}", self.root, self.folder / "root.key")
        return self

    def sign(self, name: str) -> tuple[Path, Path]:
        """A certificate for a host's name, and its key."""
        request, signed, key = (self.folder / f"{name}.{ending}" for ending in ("csr", "crt", "key"))
        call(f"req -newkey rsa:2048 -nodes -subj /CN={name} -addext subjectAltName=DNS:{name}", request, key)
        authority = f"-CA {self.root} -CAkey {self.folder / 'root.key'} -CAcreateserial"
        call(f"x509 -req -in {request} -days 2 -copy_extensions copy {authority}", signed)
        return signed, key


def call(arguments: str, out: Path, key: Path | None = None) -> None:
    command = ["openssl", *arguments.split(), "-out", str(out), *(["-keyout", str(key)] if key else [])]
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def encrypted_server(authority: Authority, server_url: str) -> Iterator[str]:
    """A server under the name `NAME` that is reached by TLS alone; gives the URL of a superuser.

    An installed Postgres, for the bundled one knows no TLS: without any, a proxy does it for the tests' server.
    """
    certificate, key = authority.sign(NAME)
    if INSTALLED:
        with installed_server(INSTALLED[0], certificate, key) as url:
            yield url
    else:
        with proxied_server(certificate, key, server_url) as url:
            yield url


@contextmanager
def installed_server(binaries: Path, certificate: Path, key: Path) -> Iterator[str]:
    address = f"127.{os.getpid() // 250 % 250}.{os.getpid() % 250}.13"  # of the loopback; the port is always the same
    with tempfile.TemporaryDirectory(prefix="segjob-tls-") as folder:
        Path(folder).chmod(0o711)
        files = [Path(shutil.copy(path, folder)) for path in (certificate, key)]
        user = unprivileged.user()
        for path in files:
            path.chmod(0o600)
            if user:
                os.chown(path, user.pw_uid, user.pw_gid)
        shown = {"ssl": "on", "ssl_cert_file": str(files[0]), "ssl_key_file": str(files[1])}
        with embedded.running(Path(folder), binaries, {**FAST, **shown, "listen_addresses": address}) as url:
            ask_for_tls(url)
            yield f"postgresql://postgres:{PASSWORD}@{NAME}/postgres?hostaddr={address}"


def ask_for_tls(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'".encode())
        (rules,) = session.execute("SHOW hba_file").fetchone() or ("",)
        Path(rules).write_text("local all all trust\nhostssl all all all scram-sha-256\n")
        session.execute("SELECT pg_reload_conf()")


@contextmanager
def proxied_server(certificate: Path, key: Path, server_url: str) -> Iterator[str]:
    parts: dict[str, Any] = conninfo_to_dict(server_url)
    host, port = str(parts.get("host") or "localhost"), int(parts.get("port") or 5432)
    unix = host.startswith("/")
    target = (socket.AF_UNIX, f"{host}/.s.PGSQL.{port}") if unix else (socket.AF_INET, (host, port))
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        Proxy(server, certificate, key, target)
        port = server.getsockname()[1]
        yield f"postgresql://{parts['user']}:{parts['password']}@{NAME}/postgres?hostaddr=127.0.0.1&port={port}"
