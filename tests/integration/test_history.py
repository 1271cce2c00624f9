"""Who was in which segment when: what history says against what was published."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from segjob.postgres.publishing import history
from tests.integration.publishing import Segments, Shop, key_text

pytestmark = pytest.mark.long

Seen = Mapping[str, tuple[int, str]]
"""Segment and its name by customer."""

INSTANT = timedelta(microseconds=1)
LONG_AFTER = timedelta(days=365_000)
OPEN_END = "9999-12-31 00:00:00+00"


class Diary:
    """What analysts saw after each publication, written down when it was so."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.pages: list[tuple[datetime, Seen]] = []

    def publish(self, version_id: int, **options: Any) -> None:
        done = self.shop.publish(version_id, **options)
        keys = self.shop.part(version_id).identifiers["keys"]
        rows = self.shop.connection.execute(f"SELECT {keys}, segment_id, segment_name FROM segments.mall".encode())
        self.pages.append((done.published_at, {key_text(row[:-2]): row[-2:] for row in rows}))

    def moments(self) -> Iterator[tuple[datetime, Seen]]:
        """Every publication, and the last instant before the next one."""
        ends = [*(moment - INSTANT for moment, _ in self.pages[1:]), self.pages[-1][0] + LONG_AFTER]
        for (moment, seen), end in zip(self.pages, ends, strict=True):
            yield moment, seen
            yield end, seen

    def check(self, since: int = 0) -> None:
        """Ask about every moment from one publication on; nothing is known of what was before."""
        first = self.pages[since][0]
        for moment, seen in self.moments():
            known = seen if moment >= first else {}
            assert self.shop.as_of(moment) == known
            assert in_force(self.shop, moment) == {customer: segment for customer, (segment, _) in known.items()}
        assert self.shop.as_of(self.pages[0][0] - INSTANT) == {}


def intervals(shop: Shop) -> list[tuple[Any, ...]]:
    """The history: customer, segment, name, since and until when, as text."""
    shop.connection.execute("SET timezone = 'UTC'")
    rows = shop.connection.execute(
        "SELECT h.*, valid_from::text, valid_to::text FROM segments.mall_history AS h ORDER BY h.valid_from, 1"
    ).fetchall()
    return [(key_text(row[:-6]), *row[-6:-4], *row[-2:]) for row in rows]


def in_force(shop: Shop, moment: datetime) -> dict[str, int]:
    """What the intervals say of a moment; who is in two of them fails."""
    rows = shop.connection.execute(
        "SELECT h.* FROM segments.mall_history AS h WHERE valid_from <= %s AND %s < valid_to", [moment, moment]
    ).fetchall()
    found = {key_text(row[:-4]): row[-4] for row in rows}
    assert len(found) == len(rows)
    return found


def walk(shop: Shop, diary: Diary, steps: int, seed: int) -> None:
    """Publish versions that drift, and earlier ones again; customers come, leave, come back and lose their label."""
    chance = random.Random(seed)
    versions: dict[int, dict[int, int | None]] = {}
    current = {customer: chance.choice([1, 2, 3, None]) for customer in range(12)}
    for step in range(steps):
        if step > 2 and chance.random() < 0.3:
            version_id = chance.choice(list(versions))
            current = dict(versions[version_id])
        else:
            version_id = len(versions) + 1
            moving = chance.sample(range(16), chance.choice([0, 2, 9]))
            current |= {customer: chance.choice([1, 2, 3, 3, None]) for customer in moving}
            for customer in chance.sample(sorted(current), chance.choice([0, 1, 3])):
                del current[customer]
            versions[version_id] = dict(current)
            shop.store(version_id, current, {2: f"renamed {version_id // 3}"})
        diary.publish(version_id)


@pytest.mark.parametrize(("kind", "seed"), [("bigint", 1), ("composite", 2)])
def test_every_past_moment_is_as_it_was_published(database, connection, monkeypatch, kind, seed):
    monkeypatch.setattr(history, "FEW", 4)  # so that both ways of keeping moves are gone
    shop = Shop(database, connection, kind)
    diary = Diary(shop)
    walk(shop, diary, 12, seed)
    diary.check()
    drop_old_labels(shop)
    diary.check()
    check_intervals(shop)
    assert 1 < count(connection, "pg_inherits WHERE inhparent = 'segjob.membership_mall'::regclass") < 11


def drop_old_labels(shop: Shop) -> None:
    """As retention does, down to the published version."""
    tables = "SELECT oid::regclass::text FROM pg_class WHERE relname LIKE 'label\\_mall$%' AND relkind = 'r'"
    published = shop.connection.execute("SELECT version_id FROM segjob.published").fetchone()
    assert published is not None
    for (table,) in shop.connection.execute(tables).fetchall():
        if not table.endswith(f'${published[0]}"'):
            shop.connection.execute(f"DROP TABLE {table}".encode())


def check_intervals(shop: Shop) -> None:
    """No interval is empty, and none goes on where the same segment ended."""
    ends: dict[str, tuple[str, int]] = {}
    for customer, segment, _, since, until in intervals(shop):
        assert since < until
        ended, before = ends.get(customer, ("", 0))
        assert ended < since or (ended == since and before != segment)
        ends[customer] = (until, segment)


def count(connection: psycopg.Connection, what: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {what}".encode()).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("kind", ["uuid", "text", "varchar"])
def test_a_customer_who_changes_leaves_and_returns_has_an_interval_for_each_time(database, connection, kind):
    shop = Shop(database, connection, kind)
    published: list[str] = []
    for version_id, segments in enumerate([{1: 1, 2: 7}, {1: 1, 2: 7}, {1: 2, 2: 7}, {2: 7}, {1: 2, 2: 7}, {2: 7}], 1):
        shop.store(version_id, segments, {7: f"{version_id}."})
        published.append(shop.publish(version_id).published_at.isoformat(" "))
    one, two = shop.keyed(1), shop.keyed(2)
    assert [(row[0], row[1], row[2], *map(iso, row[3:])) for row in intervals(shop)] == [
        (one, 1, "s1", published[0], published[2]),
        (two, 7, "6.", published[0], OPEN_END),
        (one, 2, "s2", published[2], published[3]),
        (one, 2, "s2", published[4], published[5]),
    ]
    assert shop.as_of(published[1])[two] == (7, "2.")


def iso(moment: str) -> str:
    return moment if moment == OPEN_END else datetime.fromisoformat(moment).isoformat(" ")


def test_the_first_version_writes_no_history_and_an_equal_one_neither(database, connection):
    shop = Shop(database, connection)
    for version_id in (1, 2):
        shop.store(version_id, {1: 1, 2: None})
        shop.publish(version_id)
    assert count(connection, "segjob.membership_mall") == 0
    assert count(connection, "pg_inherits WHERE inhparent = 'segjob.membership_mall'::regclass") == 0
    assert len(intervals(shop)) == 1


@pytest.mark.parametrize("few", [0, 100])
def test_what_a_dead_run_added_is_never_seen_and_does_not_stay(database, connection, monkeypatch, few):
    monkeypatch.setattr(history, "FEW", few)
    shop = Shop(database, connection)
    diary = Diary(shop)
    versions: list[Segments] = [{1: 1, 2: 1}, {1: 2, 2: 1}, {1: 3, 2: 3}, {1: 2, 2: 2}]
    for version_id, segments in enumerate(versions, 1):
        shop.store(version_id, segments)
    diary.publish(1)
    diary.publish(2)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            shop.publish(3, dies=True)
    connection.execute('CREATE TABLE segjob."membership_mall$moves" (left_by_a_killed_run integer)')
    diary.check()
    assert count(connection, "segjob.membership_mall WHERE publication = 3") == 2
    diary.publish(4)
    diary.check()
    kept = connection.execute("SELECT id, segment_id FROM segjob.membership_mall WHERE publication = 3").fetchall()
    assert kept == [(2, 1)]


def test_what_a_dead_run_added_does_not_show_with_a_version_that_moves_nobody(database, connection):
    shop = Shop(database, connection)
    diary = Diary(shop)
    versions: list[Segments] = [{1: 1, 2: 1}, {1: 2, 2: 1}, {1: 3, 2: 3}, {1: 2, 2: 1}]
    for version_id, segments in enumerate(versions, 1):
        shop.store(version_id, segments)
    diary.publish(1)
    diary.publish(2)
    with pytest.raises(ZeroDivisionError):
        shop.publish(3, dies=True)
    diary.publish(4)
    diary.check()
    assert sorted((row[0], row[1]) for row in intervals(shop)) == [("1", 1), ("1", 2), ("2", 1)]


def test_a_publication_of_which_nothing_was_kept_begins_history_anew(database, connection):
    shop = Shop(database, connection)
    diary = Diary(shop)
    for version_id, segments in enumerate([{1: 1}, {1: 2}, {1: 3}, {1: 4}, {2: 4}], 1):
        shop.store(version_id, segments)
        diary.publish(version_id, history=version_id != 3)
        diary.check(since=0 if version_id < 3 else 2)
    shown = connection.execute("SELECT has_history FROM segments.publication ORDER BY publication").fetchall()
    assert shown == [(False,), (False,), (True,), (True,), (True,)]
    assert [(row[0], row[1]) for row in intervals(shop)] == [("1", 3), ("1", 4), ("2", 4)]


def test_an_open_reader_of_the_history_holds_nobody_up(database, connection):
    shop = Shop(database, connection)
    for version_id in (1, 2, 3):
        shop.store(version_id, {1: version_id})
    shop.publish(1)
    shop.publish(2)
    with psycopg.connect(database.conninfo) as reader:
        assert len(reader.execute("SELECT * FROM segments.mall_history").fetchall()) == 2
        shop.publish(3)
        assert count(connection, "segments.mall_history") == 3


def test_time_goes_on_though_the_clock_was_set_back(database, connection):
    shop = Shop(database, connection)
    for version_id in (1, 2):
        shop.store(version_id, {1: version_id})
    shop.publish(1)
    for table in ("published", "publication"):
        connection.execute(f"UPDATE segjob.{table} SET published_at = '2500-01-01'".encode())
    shop.publish(2)
    assert [row[1] for row in intervals(shop)] == [1, 2]
    check_intervals(shop)


MANY = """
INSERT INTO segjob.{table} (id, version_id, segment_id)
SELECT i, {version}, {segment} FROM generate_series(1, 20000) AS i
"""


def test_one_customer_is_found_through_indexes_alone(database, connection):
    shop = Shop(database, connection)
    for version_id in (1, 2, 3):
        shop.store(version_id, {-1: 1, -2: 2})
        table = f'"label_mall${version_id}"'
        segment = f"(hashint8(i + {version_id}) & 1) + 1"
        connection.execute(MANY.format(table=table, version=version_id, segment=segment).encode())
        connection.execute(f"ANALYZE segjob.{table}".encode())
        shop.publish(version_id)
    for source in ("mall_history", "mall_as_of(now() - interval '1 second')", "mall_as_of('infinity')"):
        for condition in ("id = 77", "id = ANY (ARRAY(SELECT generate_series(1, 5)))"):
            check_plan(connection, f"SELECT * FROM segments.{source} WHERE {condition}")


def check_plan(connection: psycopg.Connection, statement: str) -> None:
    plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {statement}".encode()).fetchall())
    assert "Index" in plan
    assert "Function Scan" not in plan
    assert not re.search('Seq Scan on "(membership|label)_mall', plan), plan
