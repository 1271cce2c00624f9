"""What a month of nightly runs leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests import servers

pytestmark = pytest.mark.long

Document = Callable[..., Any]


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, published_mall: str) -> Iterator[str]:
    """A copy of the database in which the mall was run once."""
    with servers.fresh_database(server_url, server_connection, published_mall) as url:
        yield url


def attached(connection: psycopg.Connection) -> list[tuple[str, bool]]:
    return connection.execute(
        "SELECT c.relname, i.inhdetachpending FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'segjob.label_mall'::regclass ORDER BY 1"
    ).fetchall()


def expected_rows(connection: psycopg.Connection) -> float:
    row = connection.execute("EXPLAIN (FORMAT JSON) SELECT customer_id, segment_id FROM segments.mall").fetchone()
    assert row is not None
    return float(row[0][0]["Plan"]["Plan Rows"])


def test_only_the_published_version_and_its_parent_stay_attached(
    mall_published: str, document: Document, connection: psycopg.Connection
) -> None:
    for _ in range(3):
        document("run", "mall")
    assert attached(connection) == [("label_mall$3", False), ("label_mall$4", False)]
    assert 200 / 3 <= expected_rows(connection) <= 200 * 3
    assert connection.execute("SELECT count(*), max(version_id) FROM segments.mall").fetchone() == (200, 4)
    first = document("export", "mall", "1", "--out", "first.csv")
    assert first["n_customers"] == 200


def test_a_long_reader_is_never_in_the_way_of_a_publication(
    mall_published: str, document: Document, connection: psycopg.Connection
) -> None:
    document("run", "mall")
    with psycopg.connect(mall_published) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        seen = reader.execute("SELECT count(*), max(version_id) FROM segments.mall").fetchone()
        found = document("run", "mall")
        assert (found["status"], found["version_id"]) == ("published", 3)
        assert "keeps version 1 attached" in " ".join(found["warnings"])
        again = document("run", "mall")
        assert "keeps version 1 attached" in " ".join(again["warnings"])
        assert connection.execute("SELECT count(*), max(version_id) FROM segments.mall").fetchone() == (200, 4)
        assert reader.execute("SELECT count(*), max(version_id) FROM segments.mall").fetchone() == seen == (200, 2)
    last = document("run", "mall")
    assert last["warnings"] == []
    assert attached(connection) == [("label_mall$4", False), ("label_mall$5", False)]


def test_old_versions_stay_attached_when_a_standby_asks_for_it(
    mall_published: str, document: Document, connection: psycopg.Connection
) -> None:
    for _ in range(2):
        document("run", "mall", "--no-prune")
    assert [name for name, _ in attached(connection)] == ["label_mall$1", "label_mall$2", "label_mall$3"]
