"""PgBouncer before the server: sessions that are shared are noticed, and whoever has one to itself may work."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from segjob.postgres import unprivileged
from tests.command import run_segjob
from tests.waiting import wait_until

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
SETTINGS = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = plain
auth_file = {users}
logfile = {log}
max_client_conn = 100
default_pool_size = 20
pool_mode = {mode}
server_round_robin = {round_robin}
"""

pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="there is no pgbouncer here: apt-get install pgbouncer, as `make test-faults` does for root"
)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])


def answers(port: int) -> bool:
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port))):
        return True
    return False


@contextmanager
def pgbouncer(folder: Path, server_url: str, mode: str, round_robin: int = 0) -> Iterator[str]:
    """Run one in front of the server; gives the server's URL by way of it."""
    place, parts, user = conninfo_to_dict(server_url), urlsplit(server_url), unprivileged.user()
    port, settings, users, log = free_port(), folder / "pgbouncer.ini", folder / "users", folder / "log"
    users.write_text(f'"{place["user"]}" "{place["password"]}"\n')
    named = {"host": place["host"], "port": place.get("port", 5432), "listen": port, "users": users, "log": log}
    settings.write_text(SETTINGS.format(**named, mode=mode, round_robin=round_robin))
    log.touch()
    for path in (*folder.parents[:3], folder, settings, users, log):
        path.chmod(0o777)  # when we are root, it runs as another user
    process = subprocess.Popen(
        [str(PROGRAM), "-q", str(settings)], user=user and user.pw_uid, stderr=subprocess.DEVNULL, cwd="/"
    )
    try:
        wait_until(lambda: answers(port))
        yield f"postgresql://{place['user']}:{place['password']}@127.0.0.1:{port}{parts.path}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def by_way_of(
    tmp_path_factory: pytest.TempPathFactory, mall_project: str
) -> Callable[..., AbstractContextManager[str]]:
    """A pooler in front of the mall's database, which is migrated."""
    return partial(pgbouncer, tmp_path_factory.mktemp("pooler"), mall_project)


@pytest.mark.parametrize(("mode", "round_robin"), [("transaction", 0), ("transaction", 1), ("statement", 0)])
def test_sessions_that_are_shared_are_refused_with_the_way_out(tmp_path, by_way_of, connection, mode, round_robin):
    with by_way_of(mode, round_robin) as url:
        for command in ("check", "run"):
            done = run_segjob(tmp_path, url, command, "mall")
            assert done.returncode == 78, done.stderr
            assert re.search("database.url leads to a pooler .* pool_mode = session", done.stderr)
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as other:
            assert other.execute("SHOW search_path").fetchone() == ('"$user", public',)
    assert connection.execute("SELECT count(*) FROM segments.run").fetchone() == (0,)


def test_a_session_of_one_s_own_may_come_from_a_pooler(tmp_path, by_way_of, connection):
    with by_way_of("session") as url:
        done = run_segjob(tmp_path, url, "run", "mall")
    assert done.returncode == 0, done.stderr
    assert connection.execute("SELECT count(*) FROM segments.mall").fetchone() == (200,)
