"""What goes when there are many versions, and what stays; and the end of a segmentation."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from segjob.errors import TryAgain
from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import hold_lock
from segjob.postgres.queries import Names
from segjob.postgres.removing import retention
from segjob.postgres.removing.retention import Pruned, prune, visible_versions
from tests.acceptance.conftest import MALL
from tests.acceptance.three_versions import database_url, three_versions

__all__ = ["database_url", "three_versions"]  # fixtures

pytestmark = pytest.mark.long

Segjob = Callable[..., "subprocess.CompletedProcess[str]"]
Document = Callable[..., Any]
FEW = {**MALL, "keep_versions": 1}


@pytest.fixture
def names(database: Database) -> Names:
    return Names(database.schemas, "mall")


def label_tables(connection: psycopg.Connection) -> list[tuple[str, bool]]:
    """The label table of each version, and whether it is attached."""
    return connection.execute(
        "SELECT relname, relispartition FROM pg_class WHERE relname LIKE 'label\\_mall$%' AND relkind = 'r' ORDER BY 1"
    ).fetchall()


def states(connection: psycopg.Connection) -> dict[int, str]:
    return dict(connection.execute("SELECT version_id, status FROM segments.version ORDER BY 1").fetchall())


def count(connection: psycopg.Connection, table: str, version_id: int) -> int:
    query = f"SELECT count(*) FROM segjob.{table} WHERE version_id = %s"
    row = connection.execute(query.encode(), [version_id]).fetchone()
    assert row is not None
    return int(row[0])


# prune


def test_a_run_keeps_the_newest_versions_and_of_the_others_what_they_found(
    configure: Callable[..., Path], document: Document, connection: psycopg.Connection
) -> None:
    configure({"mall": {**MALL, "keep_versions": 2}})
    assert document("run", "mall")["version_id"] == 4
    assert label_tables(connection) == [("label_mall$3", True), ("label_mall$4", True)]
    assert states(connection) == {1: "pruned", 2: "pruned", 3: "superseded", 4: "published"}
    for version_id, n_sampled in ((1, 0), (2, 0), (3, 200), (4, 200)):
        assert count(connection, "sample_row", version_id) == n_sampled
        assert count(connection, "segment", version_id) == 5
        assert count(connection, "centroid", version_id) == 10
    assert len(document("show", "mall", "1")["segments"]) == 5


def test_what_was_pruned_is_told_apart_from_what_never_was(
    configure: Callable[..., Path], succeed: Callable[..., str], segjob: Segjob, tmp_path: Path
) -> None:
    configure({"mall": FEW})
    succeed("prune", "mall")
    done = segjob("export", "mall", "1")
    assert (done.returncode, "labels of mall version 1 were pruned" in done.stderr) == (65, True)
    succeed("report", "mall", "1", "--out", "first.html")
    assert "kept no sampled customers" in (tmp_path / "first.html").read_text()


def test_prune_keeps_the_published_version_and_the_one_that_a_rollback_goes_to(
    configure: Callable[..., Path], document: Document, connection: psycopg.Connection
) -> None:
    configure({"mall": FEW})
    found = document("prune", "mall")
    assert (found["pruned"], found["warnings"]) == ([1], [])
    assert label_tables(connection) == [("label_mall$2", True), ("label_mall$3", True)]
    row = connection.execute("SELECT kind, status, exit_code FROM segments.run ORDER BY run_id DESC LIMIT 1").fetchone()
    assert row == ("prune", "succeeded", 0)
    assert document("prune", "mall")["pruned"] == []


def test_versions_that_nobody_published_count_among_the_newest(
    configure: Callable[..., Path], document: Document, connection: psycopg.Connection
) -> None:
    connection.execute("UPDATE segjob.version SET status = 'rejected' WHERE version_id = 1")
    connection.execute("DELETE FROM segjob.publication WHERE version_id = 1")
    configure({"mall": {**MALL, "keep_versions": 3}})
    assert document("prune", "mall")["pruned"] == []
    assert document("run", "mall", "--no-publish")["status"] == "staged"
    assert document("prune", "mall")["pruned"] == [1]
    assert states(connection) == {1: "pruned", 2: "superseded", 3: "published", 4: "staged"}


def test_with_a_long_reader_prune_gives_up_politely_and_the_next_one_finishes(
    configure: Callable[..., Path], database_url: str, document: Document, connection: psycopg.Connection
) -> None:
    configure({"mall": FEW})
    with psycopg.connect(database_url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        seen = reader.execute("SELECT count(*), max(version_id) FROM segments.mall").fetchone()
        found = document("prune", "mall")
        assert found["pruned"] == []
        assert "a long transaction keeps version 1 attached" in " ".join(found["warnings"])
        connection.execute("SET lock_timeout = '500ms'")
        assert connection.execute("SELECT count(*), max(version_id) FROM segments.mall").fetchone() == (200, 3)
        assert reader.execute("SELECT count(*), max(version_id) FROM segments.mall").fetchone() == seen == (200, 3)
    warned = connection.execute("SELECT status, warnings FROM segments.run ORDER BY run_id DESC LIMIT 1").fetchone()
    assert warned == ("succeeded", found["warnings"])
    again = document("prune", "mall")
    assert (again["pruned"], again["warnings"]) == ([1], [])
    assert label_tables(connection) == [("label_mall$2", True), ("label_mall$3", True)]


def test_whoever_reads_the_labels_themselves_delays_only_their_end(
    database: Database, names: Names, database_url: str, connection: psycopg.Connection
) -> None:
    connection.execute('ALTER TABLE segjob.label_mall DETACH PARTITION segjob."label_mall$1"')
    with psycopg.connect(database_url) as reader:
        reader.execute('SELECT count(*) FROM segjob."label_mall$1"')
        found = prune(database, names, 1)
        assert found.versions == ()
        assert "labels of version 1 could not be dropped yet" in found.warnings[0]
    assert prune(database, names, 1) == Pruned((1,), ())


def roll_back(connection: psycopg.Connection, version_id: int) -> None:
    """What a rollback leaves behind."""
    for statement in (
        "UPDATE segjob.published SET version_id = %(to)s, publication = publication + 1",
        "INSERT INTO segjob.publication SELECT segmentation, publication, 'rollback', %(to)s, now(), run_id"
        " FROM segjob.published",
        "UPDATE segjob.version SET status = CASE version_id WHEN %(to)s THEN 'published' ELSE 'superseded' END",
    ):
        connection.execute(statement.encode(), {"to": version_id})


def test_a_rollback_between_the_choice_and_the_drop_keeps_its_version(
    database: Database, names: Names, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    detach_old = retention.detach_old

    def detach_and_roll_back(*arguments: Any) -> list[str]:
        warnings = detach_old(*arguments)
        roll_back(connection, 1)
        return warnings

    monkeypatch.setattr(retention, "detach_old", detach_and_roll_back)
    assert prune(database, names, 1) == Pruned((), ())
    with database.begin() as session:
        assert visible_versions(session, "mall") == {1}
    assert connection.execute('SELECT count(*) FROM segjob."label_mall$1"').fetchone() == (200,)


def test_prune_waits_for_who_publishes_and_looks_again(
    database: Database, names: Names, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "LOCK_DEADLINE", 0.2)
    with hold_lock(database, "mall", "publish"), pytest.raises(TryAgain, match="mall/publish"):
        prune(database, names, 1)
    assert [name for name, _ in label_tables(connection)] == ["label_mall$1", "label_mall$2", "label_mall$3"]


def test_a_run_that_can_not_prune_has_published_all_the_same(
    configure: Callable[..., Path], document: Document, database_url: str, connection: psycopg.Connection
) -> None:
    configure({"mall": FEW})
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM segments.mall")
        found = document("run", "mall")
    assert (found["version_id"], found["status"]) == (4, "published")
    kept = connection.execute("SELECT warnings FROM segments.run ORDER BY run_id DESC LIMIT 1").fetchone()
    assert kept == (found["warnings"],)
    assert "keeps version 1 attached" in " ".join(found["warnings"])


# drop


@contextmanager
def view_of_somebody(connection: psycopg.Connection) -> Iterator[None]:
    connection.execute("CREATE VIEW public.my_segments AS SELECT * FROM segments.mall_profile")
    yield
    connection.execute("DROP VIEW public.my_segments")


def test_drop_tells_what_would_go_until_somebody_says_yes(
    mall_configured: None, segjob: Segjob, connection: psycopg.Connection
) -> None:
    told = segjob("drop", "mall")
    assert told.returncode == 2
    assert "3 versions" in told.stderr
    assert "--yes" in told.stderr
    assert len(label_tables(connection)) == 3


def test_drop_leaves_nothing_and_the_segmentation_can_be_made_again(
    mall_configured: None, document: Document, succeed: Callable[..., str], connection: psycopg.Connection
) -> None:
    connection.execute('ALTER TABLE segjob.label_mall DETACH PARTITION segjob."label_mall$1"')
    found = document("drop", "mall", "--yes")
    assert (found["status"], found["versions"], found["configured"]) == ("dropped", 3, True)
    left = "SELECT relname FROM pg_class WHERE relname LIKE 'label\\_mall%' OR relname LIKE 'mall%'"
    assert connection.execute(f"{left} AND relnamespace <> 'public'::regnamespace".encode()).fetchall() == []
    tables = connection.execute(
        "SELECT table_name FROM information_schema.columns"
        " WHERE table_schema = 'segjob' AND column_name = 'segmentation'"
    ).fetchall()
    assert len(tables) >= 9
    for (table,) in tables:
        assert connection.execute(f"SELECT FROM segjob.{table}".encode()).fetchall() == [], table
    succeed("migrate")
    assert document("run", "mall")["version_id"] == 1


def test_drop_names_whose_view_depends_on_it(
    mall_configured: None, segjob: Segjob, connection: psycopg.Connection
) -> None:
    with view_of_somebody(connection):
        done = segjob("drop", "mall", "--yes")
    assert (done.returncode, "public.my_segments" in done.stderr) == (78, True)
    assert len(label_tables(connection)) == 3


def test_drop_waits_for_nobody_who_works(mall_configured: None, segjob: Segjob, database: Database) -> None:
    with hold_lock(database, "mall", "fit"):
        assert segjob("drop", "mall", "--yes").returncode == 75


def test_a_segmentation_that_left_the_configuration_can_be_dropped(
    configure: Callable[..., Path], document: Document, segjob: Segjob
) -> None:
    configure({"other": MALL})
    assert document("drop", "mall", "--yes")["configured"] is False
    unknown = segjob("drop", "mall", "--yes")
    assert (unknown.returncode, "no segmentation mall" in unknown.stderr) == (2, True)


@pytest.fixture
def mall_configured(configure: Callable[..., Path]) -> None:
    configure({"mall": MALL})
