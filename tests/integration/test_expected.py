"""What the planner expects, and when it can be relied on."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import pytest

from segjob.engine.room import spool_row_bytes
from segjob.engine.spool import Budget, Spool
from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading.columns import ReadPlan, plan_read
from segjob.postgres.reading.expected import Expected, expect
from segjob.postgres.reading.read import read_plain
from segjob.postgres.reading.snapshot import hold
from segjob.postgres.reading.source import describe
from segjob.records.source import FeatureSpec, SourceSpec

TABLES = """
CREATE TABLE public.big (id text PRIMARY KEY, n int NOT NULL, x float8, gender text);
INSERT INTO public.big SELECT 'customer ' || i, i, i, CASE i % 3 WHEN 0 THEN 'female' WHEN 1 THEN 'male' END
FROM generate_series(1, 20000) i;
CREATE VIEW public.all_of_it AS SELECT * FROM public.big;
CREATE VIEW public.grouped AS SELECT (n % 7)::text AS id, avg(x) AS x FROM public.big GROUP BY 1;
CREATE TABLE public.parted (id text, x float8) PARTITION BY RANGE (x);
CREATE TABLE public.parted_1 PARTITION OF public.parted FOR VALUES FROM (0) TO (100);
CREATE TABLE public.parted_2 PARTITION OF public.parted FOR VALUES FROM (100) TO (30000);
INSERT INTO public.parted SELECT id, x FROM public.big;
ANALYZE
"""
X = FeatureSpec("x")


@pytest.fixture
def tables(connection: psycopg.Connection, database: Database) -> Database:
    connection.execute(TABLES)
    return database


def plan(database: Database, source: SourceSpec, features: Sequence[FeatureSpec] = (X,)) -> ReadPlan:
    with database.begin() as connection:
        return plan_read(describe(connection, source), ["id"], features)


def expected(connection: psycopg.Connection, database: Database, source: SourceSpec) -> Expected:
    return expect(connection, plan(database, source))


@pytest.mark.parametrize("relation", ["big", "parted", "all_of_it"])
def test_of_tables_that_are_read_as_a_whole_the_planner_knows_the_rows(connection, tables, relation):
    found = expected(connection, tables, SourceSpec(relation=f"public.{relation}"))
    assert found.reliable
    assert found.n_rows == pytest.approx(20_000, rel=0.1)


@pytest.mark.parametrize(
    "source",
    [
        SourceSpec(relation="public.grouped"),
        SourceSpec(relation="public.big", where="x > 3"),
        SourceSpec(relation="public.parted", where="x > 3 AND x < 20000"),
        SourceSpec(query="SELECT id, x FROM public.big JOIN public.grouped USING (id, x)"),
        SourceSpec(query="SELECT i::text AS id, 1.0 AS x FROM generate_series(1, 5) i"),
        SourceSpec(query="SELECT id, x FROM public.big LIMIT 3"),
    ],
    ids=["group", "where", "where on partitions", "join", "function", "limit"],
)
def test_a_forecast_through_anything_else_is_not_relied_on(connection, tables, source):
    assert not expected(connection, tables, source).reliable


def test_the_forecast_is_what_the_spool_will_take(connection, tables, tmp_path):
    wanted = plan(tables, SourceSpec(relation="public.big"), [X, FeatureSpec("gender", onehot=True)])
    found = expect(connection, wanted)
    forecast = found.n_rows * spool_row_bytes(wanted.schema, found.width, n_columns=0)
    with hold(tables, wanted) as snapshot, Spool(wanted.schema, Budget(0), tmp_path) as spool:
        for batch in read_plain(tables, snapshot, wanted):
            spool.append(batch)
        spool.finish()
        assert spool.n_bytes == pytest.approx(forecast, rel=0.15)
