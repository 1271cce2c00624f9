from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from psycopg.errors import LockNotAvailable

from segjob.errors import TryAgain
from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading.columns import ReadPlan, plan_read
from segjob.postgres.reading.read import read_plain
from segjob.postgres.reading.snapshot import Relation, hold
from segjob.postgres.reading.source import describe
from segjob.records.source import FeatureSpec, SourceSpec
from tests.waiting import wait_until

SHOP = """
CREATE TABLE public.customer (id int PRIMARY KEY, amount float8);
INSERT INTO public.customer SELECT i, i FROM generate_series(1, 1000) i;
CREATE TABLE public.parted (id int, amount float8) PARTITION BY LIST (id);
CREATE TABLE public.part_one PARTITION OF public.parted FOR VALUES IN (1);
CREATE TABLE public.part_two PARTITION OF public.parted FOR VALUES IN (2);
CREATE MATERIALIZED VIEW public.kept AS SELECT * FROM public.customer;
CREATE VIEW public.viewed AS SELECT c.id, c.amount FROM public.customer c JOIN public.kept USING (id);
ANALYZE
"""


@pytest.fixture
def shop(connection: psycopg.Connection, database: Database) -> Database:
    connection.execute(SHOP)
    return database


@pytest.fixture
def other(database_url: str) -> Iterator[psycopg.Connection]:
    """A session of somebody else, who is not patient."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '100ms'")
        yield connection


def plan(database: Database, source: SourceSpec) -> ReadPlan:
    with database.begin() as connection:
        return plan_read(describe(connection, source), ["id"], [FeatureSpec("amount")])


def of(relation: str) -> SourceSpec:
    return SourceSpec(relation=f"public.{relation}")


def rewrites(connection: psycopg.Connection, statement: str) -> bool:
    try:
        connection.execute(statement.encode())
    except LockNotAvailable:
        return False
    return True


REWRITES = [
    (of("customer"), "TRUNCATE public.customer"),
    (of("customer"), "VACUUM FULL public.customer"),
    (of("customer"), "ALTER TABLE public.customer DROP COLUMN amount CASCADE"),
    (of("customer"), "DROP TABLE public.customer CASCADE"),
    (of("parted"), "TRUNCATE public.part_two"),
    (of("kept"), "REFRESH MATERIALIZED VIEW public.kept"),
    (of("viewed"), "TRUNCATE public.customer"),
    (of("viewed"), "REFRESH MATERIALIZED VIEW public.kept"),
    (of("viewed"), "ALTER VIEW public.viewed RENAME TO renamed"),
    (
        SourceSpec(query="SELECT id, amount FROM public.viewed WHERE id IN (SELECT id FROM public.parted)"),
        "TRUNCATE public.part_one",
    ),
]


@pytest.mark.parametrize(("source", "statement"), REWRITES, ids=[statement for _, statement in REWRITES])
def test_nothing_underneath_can_be_rewritten_while_it_is_held(shop, other, source, statement):
    with hold(shop, plan(shop, source)) as snapshot:
        assert not rewrites(other, statement)
        snapshot.verify()
    assert rewrites(other, statement)


def test_every_relation_underneath_is_known_with_its_file(shop, connection):
    files = dict(connection.execute("SELECT relname::text, pg_relation_filenode(oid)::bigint FROM pg_class").fetchall())
    with hold(shop, plan(shop, of("viewed"))) as snapshot:
        found = {relation.name: relation.filenode for relation in snapshot.relations}
    assert found == {"public.viewed": None, "public.customer": files["customer"], "public.kept": files["kept"]}


def test_a_snapshot_shows_what_was_there_when_it_was_taken(shop, connection):
    with hold(shop, plan(shop, of("customer"))) as snapshot:
        connection.execute("INSERT INTO public.customer VALUES (0, 0); DELETE FROM public.customer WHERE id > 5")
        rows = sum(batch.num_rows for batch in read_plain(shop, snapshot, plan(shop, of("customer"))))
    assert rows == 1000


def test_the_lock_comes_first_and_then_the_snapshot(shop, database_url):
    wanted = plan(shop, of("customer"))
    with psycopg.connect(database_url) as writer, ThreadPoolExecutor(1) as pool:
        writer.execute("TRUNCATE public.customer; INSERT INTO public.customer VALUES (1, 1), (2, 2)")

        def read():
            with hold(shop, wanted) as snapshot:
                rows = sum(batch.num_rows for batch in read_plain(shop, snapshot, wanted))
                snapshot.verify()
                return rows

        reading = pool.submit(read)
        wait_for_a_waiter(writer)
        writer.commit()
        assert reading.result(timeout=10) == 2


def wait_for_a_waiter(connection: psycopg.Connection) -> None:
    wait_until(lambda: connection.execute("SELECT FROM pg_locks WHERE NOT granted").fetchone() is not None)


def test_the_time_is_the_server_s_and_the_estimate_the_planner_s(shop, connection):
    def now():
        return connection.execute("SELECT clock_timestamp()").fetchone()[0]

    before = now()
    with hold(shop, plan(shop, of("customer"))) as snapshot:
        assert before <= snapshot.taken_at <= now()
        assert snapshot.expected.n_rows == 1000
    with hold(shop, plan(shop, SourceSpec(relation="public.customer", where="id <= 100"))) as snapshot:
        assert 50 <= snapshot.expected.n_rows <= 200


def test_no_idle_timeout_ends_it(shop, connection):
    connection.execute("""
        DO $$ DECLARE name text; BEGIN
            FOR name IN SELECT s.name FROM pg_settings s WHERE s.name IN
                ('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')
            LOOP EXECUTE format('ALTER DATABASE %I SET %I = 300', current_database(), name); END LOOP;
        END $$
    """)
    wanted = plan(shop, of("customer"))
    with hold(shop, wanted) as snapshot:
        time.sleep(0.7)  # more than twice the 300 ms after which a timeout would have struck
        assert sum(batch.num_rows for batch in read_plain(shop, snapshot, wanted)) == 1000
        snapshot.verify()


def test_a_guard_that_is_gone_is_noticed(shop, connection):
    with hold(shop, plan(shop, of("customer"))) as snapshot:
        connection.execute("SELECT pg_terminate_backend(%s)", [snapshot.guard.info.backend_pid])
        with pytest.raises(TryAgain, match="locked the source is gone"):
            snapshot.verify()


def test_another_file_is_noticed(shop):
    with hold(shop, plan(shop, of("customer"))) as snapshot:
        elsewhere = replace(snapshot, relations=(replace(snapshot.relations[0], filenode=1),))
        with pytest.raises(TryAgain, match=r"public\.customer was rewritten"):
            elsewhere.verify()


@pytest.mark.parametrize("change", ["DROP COLUMN amount CASCADE", "RENAME TO gone"])
def test_a_source_that_changed_after_the_plan_is_for_another_try(shop, connection, change):
    wanted = plan(shop, of("customer"))
    connection.execute(f"ALTER TABLE public.customer {change}")
    with pytest.raises(TryAgain, match="the source was changed after it was looked at"), hold(shop, wanted):
        pass


def test_no_session_is_left_behind(shop, connection):
    with pytest.raises(ZeroDivisionError), hold(shop, plan(shop, of("customer"))):
        raise ZeroDivisionError
    ours = "SELECT FROM pg_stat_activity WHERE application_name = 'segjob'"
    wait_until(lambda: not connection.execute(ours).fetchall())


def test_a_relation_without_rows_of_its_own_has_no_file(shop):
    with hold(shop, plan(shop, of("parted"))) as snapshot:
        assert [relation.filenode is None for relation in snapshot.relations] == [True, False, False]
        assert isinstance(snapshot.relations[0], Relation)
