"""A server that is down, starting or full is asked again for a while; one that breaks off at once, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest

from segjob.errors import ConfigurationError, DatabaseUnavailable
from segjob.postgres.connecting.connect import Database, deadline_of
from segjob.postgres.connecting.meaning import connection_error
from tests.acceptance.conftest import write_configuration
from tests.command import run_segjob
from tests.faults.proxy import Fate, Line, Proxy, proxy
from tests.faults.server import MortalServer
from tests.faults.started import started

ANY = {"any": {"source": "public.any", "key": "id", "features": ["x"], "n_clusters": 2}}
NOT_MIGRATED = 78
UNAVAILABLE = 69


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a configuration: a command that gets through says that the database is not migrated."""
    write_configuration(tmp_path, ANY)
    return tmp_path


@pytest.fixture
def between(database_url: str) -> Iterator[Proxy]:
    with proxy(database_url) as made:
        yield made


def test_a_server_that_comes_back_in_time_is_waited_for(folder, mortal):
    stopped = mortal.server.run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(mortal.server.data))
    assert stopped.returncode == 0, stopped.stdout
    with started(folder, mortal.url, "status") as command:
        try:
            time.sleep(2)  # it has to find nobody for a while
            assert command.process.is_alive()
        finally:
            mortal.server.launch()
        done = command.finish()
    assert done.returncode == NOT_MIGRATED, done.stderr


def fill(stack: ExitStack, server: MortalServer) -> None:
    """Take every connection that the server has."""
    while True:
        try:
            stack.enter_context(closing(server.connect()))
        except psycopg.OperationalError:
            return


def test_a_server_that_is_full_is_asked_again(folder, mortal):
    with ExitStack() as others:
        fill(others, mortal)
        with started(folder, mortal.url, "status") as command:
            time.sleep(2)  # it has to be turned away for a while
            assert command.process.is_alive()
            others.close()
            done = command.finish()
    assert done.returncode == NOT_MIGRATED, done.stderr


def test_a_server_that_stays_full_is_given_up_at_the_deadline_of_the_url(folder, mortal):
    with ExitStack() as others:
        fill(others, mortal)
        began = time.monotonic()
        done = run_segjob(folder, f"{mortal.url}&connect_timeout=3", "status")
        took = time.monotonic() - began
    assert done.returncode == UNAVAILABLE, done.stderr
    assert "too many clients" in done.stderr
    assert 3 <= took < 8


def refusing(statement: str, times: int) -> Callable[[Line, str], Fate]:
    """Cut the first connections that say a statement."""
    left = [Fate.CUT_BEFORE] * times
    return lambda _, said: left.pop() if left and statement in said else Fate.PASSED


@pytest.mark.parametrize("statement", ["pg_backend_pid", "search_path"])
def test_a_connection_that_breaks_before_its_settings_are_made_is_made_again(between, statement):
    between.judge = refusing(statement, 2)
    with closing(Database(between.url, deadline=8).open()) as session:
        assert session.execute("SHOW search_path").fetchone() == ('""',)
    assert between.judged == [Fate.CUT_BEFORE] * 2


def test_a_connection_that_always_breaks_is_unavailable(between):
    between.judge = refusing("search_path", 99)
    with pytest.raises(DatabaseUnavailable):
        Database(between.url, deadline=1).open()


@pytest.mark.parametrize(
    ("url", "seconds"),
    [
        ("postgresql://somebody@host/shop?connect_timeout=45", 45),
        ("host=a dbname=b connect_timeout=3", 3),
        ("postgresql://host/shop?connect_timeout=0", 10),
        ("postgresql://host/shop", 10),
        ("", 10),
        ("postgresql://host/shop?no_such=option", 10),
    ],
)
def test_the_url_may_say_for_how_long_a_server_is_asked(url, seconds):
    assert deadline_of(url) == seconds


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ('could not translate host name "db" to address: Name or service not known', ConfigurationError),
        ('could not translate host name "db" to address: Temporary failure in name resolution', DatabaseUnavailable),
        ("server does not support SSL, but SSL was required", ConfigurationError),
        ("SSL error: certificate verify failed", ConfigurationError),
        ("SSL connection has been closed unexpectedly", DatabaseUnavailable),
        ("SSL SYSCALL error: Connection reset by peer", DatabaseUnavailable),
        ("FATAL:  the database system is starting up", DatabaseUnavailable),
        ("FATAL:  the database system is in recovery mode", DatabaseUnavailable),
        ('FATAL:  too many connections for role "job"', DatabaseUnavailable),
    ],
)
def test_what_may_pass_is_told_from_what_stays(said, meaning):
    assert type(connection_error(psycopg.OperationalError(said), "database.url")) is meaning
