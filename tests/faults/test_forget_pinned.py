"""Who looks at a page just now keeps VACUUM from cleaning it, which says nothing: it must not count as erased."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from segjob.config import load
from segjob.errors import TryAgain
from segjob.job import forgetting
from segjob.postgres import patience
from segjob.postgres.connecting.connect import Database
from segjob.postgres.removing.scrubbing import wait_for_older_snapshots
from segjob.progress import Progress
from tests.acceptance.conftest import configure, write_configuration
from tests.acceptance.test_forget import SEGMENTATIONS, database_url, files_with, labelled

__all__ = ["configure", "database_url", "labelled"]  # fixtures

LOOK = """
DECLARE looking CURSOR FOR
SELECT email FROM segjob."label_mail$2" AS l WHERE (l.ctid::text::point)[0] = %s
"""


@pytest.fixture
def somebody(connection: psycopg.Connection) -> str:
    """Who lies on a page with room: a full one would be cleaned by whoever reads it."""
    row = connection.execute('SELECT email FROM segjob."label_mail$2" ORDER BY ctid DESC LIMIT 1').fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture
def forget(
    database: Database, tmp_path: Path, somebody: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], object]], dict[str, Any]]:
    """Forget somebody; what is given happens between the erasing and the cleaning."""
    monkeypatch.setenv("DATABASE_URL", database.conninfo)
    settings = load(write_configuration(tmp_path, SEGMENTATIONS))

    def run(then: Callable[[], object]) -> dict[str, Any]:
        def wait_and_then(*arguments: Any) -> None:
            wait_for_older_snapshots(*arguments)
            then()

        monkeypatch.setattr(forgetting, "wait_for_older_snapshots", wait_and_then)
        return forgetting.forget_customers(database, settings, "mail", [[somebody]], Progress("mail"))

    return run


@pytest.fixture
def look(connection: psycopg.Connection, somebody: str) -> Callable[[psycopg.Connection], object]:
    """Begin to read the page on which somebody was, and stop there."""
    where = 'SELECT (ctid::text::point)[0] FROM segjob."label_mail$2" WHERE email = %s'
    row = connection.execute(where, [somebody]).fetchone()
    assert row is not None

    def begin(reader: psycopg.Connection) -> None:
        psycopg.ClientCursor(reader).execute(LOOK, row)
        assert reader.execute("FETCH 1 FROM looking").fetchone() is not None

    return begin


def test_who_stops_looking_in_time_leaves_nothing_of_the_erased_on_disk(
    forget: Callable[..., dict[str, Any]],
    look: Callable[[psycopg.Connection], object],
    connection: psycopg.Connection,
    database: Database,
    somebody: str,
) -> None:
    with psycopg.connect(database.conninfo) as reader:
        later = threading.Timer(1.5, reader.rollback)

        def begin() -> None:
            look(reader)
            later.start()

        assert forget(begin)["n_left"] == 0
        later.join()
    assert files_with(connection, somebody.encode()) == []


def test_who_looks_for_long_makes_it_another_try(
    forget: Callable[..., dict[str, Any]],
    look: Callable[[psycopg.Connection], object],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "LOCK_DEADLINE", 1.0)
    with psycopg.connect(database.conninfo) as reader:
        with pytest.raises(TryAgain, match=r"give the same command again"):
            forget(lambda: look(reader))
        assert reader.execute("FETCH ALL FROM looking").rowcount > 0
    assert forget(lambda: None)["n_left"] == 0
