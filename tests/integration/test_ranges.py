"""Reading in parts: every row once, whatever the table is made of and whatever happens to it; else one statement."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from uuid import uuid4

import psycopg
import pyarrow as pa
import pytest
from psycopg.conninfo import make_conninfo

from segjob.errors import DataError
from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading import ranges, snapshot
from segjob.postgres.reading.columns import ReadPlan, plan_read
from segjob.postgres.reading.expected import Expected
from segjob.postgres.reading.ranges import can_keep_order, page_cuts, read_statements
from segjob.postgres.reading.read import read_bulk, read_plain
from segjob.postgres.reading.snapshot import Extent, hold
from segjob.postgres.reading.source import describe
from segjob.records.source import FeatureSpec, SourceSpec

N_ROWS = 20_000
SHOP = f"""
CREATE TABLE public.customer (id int PRIMARY KEY, amount float8, note text, country text);
INSERT INTO public.customer
SELECT i, CASE WHEN i % 10 > 0 THEN i END, repeat('n', i % 50), CASE i % 2 WHEN 0 THEN 'DE' ELSE 'FR' END
FROM generate_series(1, {N_ROWS}) AS i;
CREATE TABLE public.parted (id int, amount float8) PARTITION BY RANGE (id);
CREATE TABLE public.part_one PARTITION OF public.parted FOR VALUES FROM (0) TO (1000);
CREATE TABLE public.part_two PARTITION OF public.parted FOR VALUES FROM (1000) TO (15000) PARTITION BY LIST (id);
CREATE TABLE public.part_two_rest PARTITION OF public.part_two DEFAULT;
CREATE TABLE public.part_empty PARTITION OF public.parted FOR VALUES FROM (50000) TO (60000);
CREATE TABLE public.part_rest (amount float8, id int);
ALTER TABLE public.parted ATTACH PARTITION public.part_rest DEFAULT;
INSERT INTO public.parted SELECT id, amount FROM public.customer;
CREATE TABLE public.parent (id int, amount float8);
CREATE TABLE public.child (more text) INHERITS (public.parent);
INSERT INTO public.parent SELECT id, amount FROM public.customer WHERE id <= 3000;
INSERT INTO public.child SELECT id, amount, 'more' FROM public.customer WHERE id > 3000;
CREATE MATERIALIZED VIEW public.kept AS SELECT * FROM public.customer;
CREATE VIEW public.viewed AS SELECT * FROM public.customer;
ANALYZE
"""
DIVIDED = [
    SourceSpec(relation="public.customer"),
    SourceSpec(relation="public.parted"),
    SourceSpec(relation="public.parent"),
    SourceSpec(relation="public.customer", where="country = 'DE' AND (id % 3 = 0 OR note IN ('', 'n'))"),
]
UNDIVIDED = [
    SourceSpec(relation="public.kept"),
    SourceSpec(relation="public.viewed"),
    SourceSpec(query="SELECT * FROM public.customer"),
    SourceSpec(relation="public.customer", where="amount IS NULL OR now() > 'epoch'"),
    SourceSpec(relation="public.customer", where="CURRENT_DATE > '2000-01-01'"),
    SourceSpec(relation="public.customer", where="pg_catalog.\"lower\" (country) = 'de'"),
    SourceSpec(relation="public.customer", where="id NOT IN (SELECT id FROM public.parted)"),
    SourceSpec(relation="public.customer", where="id < 10"),
]
BY_KEY = [
    SourceSpec(relation="public.viewed", parallel_safe=True),
    SourceSpec(query="SELECT * FROM public.customer", where="amount > 100 OR amount IS NULL", parallel_safe=True),
    SourceSpec(query="SELECT id, sum(amount) AS amount FROM public.parted GROUP BY id", parallel_safe=True),
    SourceSpec(relation="public.customer", where="id NOT IN (SELECT id FROM public.part_one)", parallel_safe=True),
]
BY_PAGES = [
    SourceSpec(relation="public.kept", parallel_safe=True),
    SourceSpec(relation="public.customer", where="pg_catalog.\"lower\" (country) = 'de'", parallel_safe=True),
]


@pytest.fixture
def shop(connection: psycopg.Connection, database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Tables that count as large."""
    monkeypatch.setattr(ranges, "UNDIVIDED_BYTES", 0)
    monkeypatch.setattr(ranges, "LEAST_BYTES", 8 * 8192)
    connection.execute(SHOP)
    return database


def plan(database: Database, source: SourceSpec) -> ReadPlan:
    with database.begin() as connection:
        return plan_read(describe(connection, source), ["id"], [FeatureSpec("amount")])


def read_parts(database: Database, wanted: ReadPlan, connections: int = 3) -> tuple[int, list[Any]]:
    """How many statements there were, and the rows."""
    with hold(database, wanted) as held:
        table = pa.Table.from_batches(read_bulk(database, held, wanted, connections), wanted.schema)
        held.verify()
        return len(read_statements(wanted, held.extent, connections)), rows(table)


def rows(table: pa.Table) -> list[Any]:
    return sorted(zip(*(map(str, column.to_pylist()) for column in table.columns), strict=True))


def plain(database: Database, wanted: ReadPlan) -> list[Any]:
    with hold(database, wanted) as held:
        return rows(pa.Table.from_batches(read_plain(database, held, wanted), wanted.schema))


@pytest.mark.parametrize("source", DIVIDED, ids=str)
def test_every_row_is_read_once_in_parts(shop, source):
    wanted = plan(shop, source)
    n_parts, found = read_parts(shop, wanted)
    assert n_parts > 4
    assert found == plain(shop, wanted)


@pytest.mark.parametrize("connections", [1, 2, 5])
def test_the_rows_of_a_table_come_in_the_order_in_which_they_lie(shop, connection, connections):
    lying = [one for (one,) in connection.execute("SELECT id FROM public.customer ORDER BY ctid")]
    wanted = plan(shop, DIVIDED[0])
    with hold(shop, wanted) as held:
        table = pa.Table.from_batches(read_bulk(shop, held, wanted, connections), wanted.schema)
    assert table.column(0).to_pylist() == lying


def test_ranges_that_are_too_large_to_read_ahead_come_as_they_come(shop, monkeypatch):
    monkeypatch.setattr(ranges, "TABLES_OPENED", 2)
    monkeypatch.setattr(ranges, "ORDERED_BYTES", 8192)
    wanted = plan(shop, DIVIDED[0])
    n_parts, found = read_parts(shop, wanted)
    assert n_parts == 2
    assert found == plain(shop, wanted)


@pytest.mark.parametrize("source", UNDIVIDED, ids=str)
def test_what_can_not_be_divided_is_read_in_one_statement(shop, source):
    wanted = plan(shop, source)
    n_parts, found = read_parts(shop, wanted)
    assert n_parts == 1
    assert found == plain(shop, wanted)


@pytest.mark.parametrize("source", BY_KEY, ids=str)
def test_what_the_configuration_calls_safe_is_read_in_a_part_for_each_session(shop, source, monkeypatch):
    monkeypatch.setattr(ranges, "LEAST_BYTES", 1)
    wanted = plan(shop, source)
    n_parts, found = read_parts(shop, wanted)
    assert n_parts == 3
    assert found == plain(shop, wanted)
    with hold(shop, wanted) as held:
        assert not can_keep_order(held.extent, n_parts)  # one would wait for all of another


@pytest.mark.parametrize("source", BY_PAGES, ids=str)
def test_what_has_pages_and_is_called_safe_is_read_by_its_pages(shop, source):
    wanted = plan(shop, source)
    n_parts, found = read_parts(shop, wanted)
    assert n_parts > 4
    assert found == plain(shop, wanted)


def test_parts_are_of_about_one_size_and_a_key_that_is_null_is_in_one_of_them(shop, connection):
    connection.execute("""
        CREATE VIEW public.odd AS
        SELECT country, note || (id / 2)::text AS note, NULL::bigint AS nothing, amount FROM public.customer
    """)
    with shop.begin() as session:
        description = describe(session, SourceSpec(relation="public.odd", parallel_safe=True))
    wanted = plan_read(description, ["country", "note", "nothing"], [FeatureSpec("amount")])
    with hold(shop, wanted) as held:
        statements = read_statements(wanted, held.extent, 3)
    sizes = [len(connection.execute(one.encode()).fetchall()) for one in statements]
    assert (len(sizes), sum(sizes)) == (3, N_ROWS)
    assert min(sizes) > N_ROWS * 0.3
    with hold(shop, wanted) as held, pytest.raises(DataError, match=r'"nothing" is NULL'):
        list(read_bulk(shop, held, wanted, 3))


def test_a_group_of_another_part_is_not_aggregated(shop, connection):
    with hold(shop, plan(shop, BY_KEY[2])) as held:
        (statement, *_) = read_statements(plan(shop, BY_KEY[2]), held.extent, 3)
    lines = [line for (line,) in connection.execute(f"EXPLAIN {statement}".encode())]
    (aggregate,) = [place for place, line in enumerate(lines) if "Aggregate" in line]
    assert all(place > aggregate for place, line in enumerate(lines) if "hash_record" in line)


def test_what_reads_a_foreign_table_is_in_one_part_whatever_it_is_called(shop, connection):
    connection.execute("""
        CREATE FOREIGN DATA WRAPPER away;
        CREATE SERVER there FOREIGN DATA WRAPPER away;
        CREATE FOREIGN TABLE public.elsewhere (id int, amount float8) SERVER there
    """)
    everything = Expected(N_ROWS, 12, end_to_end=True, reliable=True)
    with shop.open() as guard:
        assert snapshot.measure(guard, None, everything, parallel_safe=True).bytes_by_key == 12 * N_ROWS
        guard.execute("COMMENT ON FOREIGN TABLE public.elsewhere IS 'locked by this'")
        assert snapshot.measure(guard, None, everything, parallel_safe=True).bytes_by_key == 0


def test_rows_that_moved_and_holes_are_no_matter(shop, connection):
    connection.execute("""
        UPDATE public.customer SET amount = -id WHERE id % 3 = 0;
        DELETE FROM public.customer WHERE id BETWEEN 5000 AND 9000;
        UPDATE public.customer SET note = repeat('m', 400) WHERE id % 7 = 0;
    """)
    wanted = plan(shop, SourceSpec(relation="public.customer"))
    n_parts, found = read_parts(shop, wanted)
    assert n_parts > 4
    assert len(found) == N_ROWS - 4001
    assert found == plain(shop, wanted)


def test_what_is_added_before_the_snapshot_is_read_and_what_is_added_after_is_not(shop, connection, monkeypatch):
    def export_late(leader: psycopg.Connection) -> Any:
        connection.execute("INSERT INTO public.customer SELECT i, i FROM generate_series(100001, 120000) AS i")
        exported = export(leader)
        connection.execute("INSERT INTO public.customer SELECT i, i FROM generate_series(200001, 210000) AS i")
        connection.execute("UPDATE public.customer SET amount = 0 WHERE id % 2 = 0")
        return exported

    export = snapshot.export
    monkeypatch.setattr(snapshot, "export", export_late)
    n_parts, found = read_parts(shop, plan(shop, SourceSpec(relation="public.customer")))
    assert n_parts > 4
    ids = [int(key) for key, _ in found]
    assert sorted(ids) == [*range(1, N_ROWS + 1), *range(100_001, 120_001)]
    assert sum(amount == "0.0" for _, amount in found) == 0


@pytest.mark.parametrize("relation", ["public.customer", "public.parted"])
def test_a_part_reads_no_page_outside_its_range(shop, connection, relation):
    wanted = plan(shop, SourceSpec(relation=relation))
    with hold(shop, wanted) as held:
        statements = read_statements(wanted, held.extent, 3)
    for statement in statements:
        nodes = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {statement}".encode()))
        assert "Tid Range Scan" in nodes
        assert re.findall(r"Seq Scan on (\w+)", nodes) in ([], ["part_empty"])


def test_a_role_that_may_not_read_the_partitions_reads_the_parent_in_parts(shop, connection, database_url):
    role = f"reader_{uuid4().hex}"
    connection.execute(f"CREATE ROLE {role}; GRANT SELECT ON public.parted TO {role}")
    try:
        reader = Database(make_conninfo(database_url, options=f"-c role={role}"))
        n_parts, found = read_parts(reader, plan(reader, SourceSpec(relation="public.parted")))
        assert n_parts > 4
        assert len(found) == N_ROWS
    finally:
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_partition_elsewhere_keeps_the_whole_in_one_statement(shop, connection):
    connection.execute("""
        CREATE FOREIGN DATA WRAPPER away;
        CREATE SERVER there FOREIGN DATA WRAPPER away;
        CREATE FOREIGN TABLE public.part_away PARTITION OF public.parted FOR VALUES FROM (70000) TO (80000) SERVER there
    """)
    everything = Expected(N_ROWS, 12, end_to_end=True, reliable=True)
    with shop.open() as guard:
        assert snapshot.measure(guard, "public.parted", everything).pages == ()
        assert len(snapshot.measure(guard, "public.part_two", everything).pages) == 1


def test_small_tables_and_single_sessions_take_one_statement(shop, monkeypatch):
    wanted = plan(shop, SourceSpec(relation="public.customer"))
    assert read_parts(shop, wanted, connections=1)[0] == 1
    monkeypatch.setattr(ranges, "UNDIVIDED_BYTES", 32 * 2**20)
    assert read_parts(shop, wanted)[0] == 1


@pytest.mark.parametrize("pages", [(10_000,), (1, 1, 10_000), (5000, 5000, 2), (10_000, *[3] * 500), (7,) * 3000])
def test_ranges_are_of_about_one_size(pages, monkeypatch):
    cuts = page_cuts(Extent(pages), 4)
    assert cuts == sorted(set(cuts))
    bounds = [0, *cuts, max(pages)]
    sizes = [sum(min(own, end) - min(own, begin) for own in pages) for begin, end in pairwise(bounds)]
    assert sum(sizes) == sum(pages)
    assert max(sizes) <= sum(pages) / len(sizes) + len(pages)
    assert len(sizes) * len(pages) <= 4096
    assert len(sizes) >= (1 if len(pages) > 1000 else 4)


@pytest.mark.parametrize("n_features", range(1, 10))
def test_numbers_that_travel_four_at_a_time_arrive_bit_by_bit(shop, connection, n_features):
    names = [f"f{place}" for place in range(n_features)]
    sample = "'{0.1,-0,NaN,Infinity,-Infinity,5e-324,1.7976931348623157e308,NULL,1e-300}'::float8[]"
    connection.execute(f"""
        CREATE TABLE public.packed AS SELECT i AS id, {
        ", ".join(f"({sample})[1 + (i / {9**place}) % 9] AS {name}" for place, name in enumerate(names[:3]))
    } {"".join(f", i / {place}::float8 AS {name}" for place, name in enumerate(names) if place > 2)}
        FROM generate_series(1, 1000) AS i
    """)
    with shop.begin() as session:
        description = describe(session, SourceSpec(relation="public.packed"))
    wanted = plan_read(description, ["id"], [FeatureSpec(name) for name in names])
    with hold(shop, wanted) as held:
        (statement,) = read_statements(wanted, held.extent, 1)
    assert statement.count(" AS c") == 1 + -(-n_features // 4)
    found = read_parts(shop, wanted)[1]
    assert found == plain(shop, wanted)
    assert {values[1] for values in found} == {"0.1", "-0.0", "nan", "5e-324", "1.7976931348623157e+308", "1e-300"}
