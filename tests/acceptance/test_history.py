"""A shop that changes from run to run, and what an analyst asks of its past."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import MALL

Document = Callable[..., Any]
Seen = list[tuple[Any, ...]]
ROLE = "history_reader"
VISIBLE = "SELECT customer_id, segment_id, segment_name FROM segments.mall ORDER BY customer_id"
CHANGES = (
    "UPDATE public.mall_customer SET spending_score = 100 - spending_score WHERE customer_id BETWEEN 150 AND 170",
    "DELETE FROM public.mall_customer WHERE customer_id <= 5",
    "INSERT INTO public.mall_customer VALUES (3, 'Female', 30, 70, 90), (1000, 'Female', 30, 20, 20)",
)
HELD_SINCE = """
SELECT count(*) FROM segments.mall_history AS h JOIN segments.mall AS m USING (customer_id)
WHERE h.valid_to = '9999-12-31 00:00:00+00' AND h.segment_id = m.segment_id AND h.segment_name = m.segment_name
"""
SIZES = """
SELECT p.publication, count(*)
FROM segments.publication AS p
JOIN segments.mall_history AS h ON p.published_at >= h.valid_from AND p.published_at < h.valid_to
WHERE p.segmentation = 'mall'
GROUP BY p.publication
ORDER BY p.publication
"""


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, published_mall: str) -> Iterator[str]:
    """A copy of the database in which the mall was run once."""
    with servers.fresh_database(server_url, server_connection, published_mall) as url:
        yield url


@pytest.fixture
def analyst(database_url: str, connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A session of a role that has the grants of an analyst and nothing else."""
    place = urlsplit(database_url)
    connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD 'reader'".encode())
    url = place._replace(netloc=f"{ROLE}:reader@{place.netloc.rpartition('@')[2]}").geturl()
    try:
        with psycopg.connect(url, autocommit=True) as session:
            yield session
    finally:
        connection.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}".encode())


def test_an_analyst_sees_the_shop_as_it_was_at_every_publication(
    mall_published: str,
    analyst: psycopg.Connection,
    connection: psycopg.Connection,
    configure: Callable[..., Path],
    succeed: Callable[..., str],
    document: Document,
) -> None:
    gates = {"max_label_churn": None, "max_volume_change": None}
    configure({"mall": MALL | {"keep_versions": 1, "gates": gates}}, analysts=[ROLE])
    succeed("migrate")
    seen: list[Seen] = [analyst.execute(VISIBLE).fetchall()]
    for change in CHANGES:
        connection.execute(change.encode())
        assert document("run", "mall", "--no-prune")["status"] == "published"
        seen.append(analyst.execute(VISIBLE).fetchall())
    assert document("rollback", "mall")["scored"]["publication"] == 6
    seen += [seen[-2], analyst.execute(VISIBLE).fetchall()]  # the version before, then with who came since
    succeed("prune", "mall")
    check_moments(analyst, seen)
    sizes = [(publication, len(rows)) for publication, rows in enumerate(seen, 1)]
    assert analyst.execute(SIZES).fetchall() == sizes
    assert [size for _, size in sizes] == [200, 200, 195, 197, 195, 197]
    assert analyst.execute(HELD_SINCE).fetchone() == (197,)


def check_moments(analyst: psycopg.Connection, seen: list[Seen]) -> None:
    """Ask as of each publication, and just before it."""
    log = "SELECT published_at, published_at - interval '1 microsecond' FROM segments.publication ORDER BY publication"
    then = "SELECT * FROM segments.mall_as_of(%s) ORDER BY customer_id"
    moments = analyst.execute(log).fetchall()
    assert len(moments) == len(seen)
    for (moment, just_before), now, before in zip(moments, seen, [[], *seen], strict=False):
        assert analyst.execute(then, [moment]).fetchall() == now
        assert analyst.execute(then, [just_before]).fetchall() == before


def test_without_history_only_the_present_is_known(
    mall_published: str, connection: psycopg.Connection, configure: Callable[..., Path], document: Document
) -> None:
    configure({"mall": MALL | {"history": False}})
    connection.execute(CHANGES[0].encode())
    document("run", "mall")
    known = connection.execute("SELECT has_history FROM segments.publication ORDER BY publication").fetchall()
    assert known == [(False,), (True,)]
    assert connection.execute("SELECT count(*) FROM segjob.membership_mall").fetchone() == (0,)
    left = "SELECT count(*) FROM pg_class WHERE relname LIKE 'membership\\_mall$%' AND relkind = 'r'"
    assert connection.execute(left.encode()).fetchone() == (0,)
    now = "SELECT count(*) FROM segments.mall_as_of(now())"
    assert connection.execute(now.encode()).fetchone() == (200,)
    past = "SELECT count(*) FROM segments.mall_as_of((SELECT min(published_at) FROM segments.publication))"
    assert connection.execute(past.encode()).fetchone() == (0,)
