"""The functions of the model in SQL: which model they follow, what depends on them, and who may call them."""

from __future__ import annotations

import json
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from psycopg.types.json import Jsonb

from segjob.errors import ConfigurationError
from segjob.postgres.connecting.connect import Database
from segjob.postgres.migrate import Grants
from segjob.records.source import FeatureColumn
from tests.integration.models_by_hand import (
    DOUBLE,
    TEXT,
    make_functions,
    model_of,
    plain,
    point_to,
    publish,
    segment,
    store,
)

pytestmark = pytest.mark.long


# Which model it is


def test_it_follows_the_published_version_forward_and_back(database: Database, connection: psycopg.Connection) -> None:
    make_functions(database, [DOUBLE])
    assert segment(connection, "segments.mall_assign(1)") is None
    assert segment(connection, "segments.mall_assign('{\"x\": 1}'::jsonb)") is None
    for version_id, centers in enumerate([[[0], [9]], [[9], [0]]], 1):
        store(database, connection, model_of([plain("x")], centers), version_id)
    assert segment(connection, "segments.mall_assign(1)") is None
    found = []
    for version_id in (1, 2, 1):
        point_to(connection, version_id)
        found.append(segment(connection, "segments.mall_assign(-1)"))
    assert found == [1, 2, 1]


def test_a_model_of_other_features_gives_no_segment(database: Database, connection: psycopg.Connection) -> None:
    make_functions(database, [DOUBLE, FeatureColumn("y", "integer", "number")])
    publish(database, connection, model_of([plain("y", 0), plain("x", 1)], [[0, 0]]))
    assert segment(connection, "segments.mall_assign(1)") == 1
    done = make_functions(database, [FeatureColumn("y", "bigint", "number"), DOUBLE])
    assert done == ["segmentation mall brought up to date"]
    assert segment(connection, "segments.mall_assign(y => 1099511627776)") == 1
    make_functions(database, [DOUBLE])
    assert segment(connection, "segments.mall_assign(x => 1)") is None
    assert segment(connection, "segments.mall_assign('{\"x\": 1}'::jsonb)") is None


@pytest.mark.parametrize(
    ("makes", "named"),
    [
        ("CREATE VIEW public.theirs AS SELECT segments.mall_assign(x => 1)", r"public\.theirs"),
        (
            "CREATE TABLE t (x integer, s integer DEFAULT segments.mall_assign(1))",
            "default value for column s of table",
        ),
    ],
)
def test_what_depends_on_it_is_named_and_not_dropped(
    makes: str, named: str, database: Database, connection: psycopg.Connection
) -> None:
    make_functions(database, [DOUBLE])
    connection.execute(makes.encode())
    with pytest.raises(ConfigurationError, match=f"{named}.* depends on mall_assign") as refused:
        make_functions(database, [FeatureColumn("x", "bigint", "number")])
    assert refused.value.exit_code == 78
    assert make_functions(database, [DOUBLE]) == []


def test_a_view_over_rows_as_json_stands_in_nobody_s_way(database: Database, connection: psycopg.Connection) -> None:
    make_functions(database, [DOUBLE])
    connection.execute("CREATE VIEW public.theirs AS SELECT segments.mall_assign('{\"y\": 9}'::jsonb) AS s")
    make_functions(database, [FeatureColumn("y", "integer", "number")])
    publish(database, connection, model_of([plain("y")], [[0], [9 * 2**16]]))
    assert segment(connection, "s FROM public.theirs") == 2


def test_more_features_than_a_function_has_parameters(database: Database, connection: psycopg.Connection) -> None:
    features = [FeatureColumn(f"f{place}", "integer", "number") for place in range(101)]
    make_functions(database, features)
    centers = [[0] * 101, [9] * 101]
    publish(database, connection, model_of([plain(one.name, place) for place, one in enumerate(features)], centers))
    row = Jsonb({one.name: 1 for one in features})
    assert segment(connection, "segments.mall_assign(%s)", row) == 2
    assert segment(connection, "count(*) FROM pg_proc WHERE proname = 'mall_assign'") == 1
    make_functions(database, features[:100])
    assert segment(connection, "count(*) FROM pg_proc WHERE proname = 'mall_assign'") == 2


HOSTILE = ['Betrag "in" €', "Пол", "select", "x1", "segment_ids", "i", "p", "m", "a'b", "%s {x} :y $1 $body$", "p" * 63]


def test_any_name_of_a_column_will_do(database: Database, connection: psycopg.Connection) -> None:
    features = [FeatureColumn(name, "integer", "number") for name in HOSTILE]
    make_functions(database, features)
    columns = [plain(name, place) for place, name in enumerate(HOSTILE)]
    publish(database, connection, model_of(columns, [[0] * len(columns), *np.eye(len(columns), dtype=int) * 2**17]))
    for place, name in enumerate(HOSTILE):
        named = sql.SQL("SELECT segments.mall_assign({} => 2), segments.mall_assign({}::jsonb)")
        row = sql.Literal(json.dumps({name: 2}))
        found = connection.execute(named.format(sql.Identifier(name), row)).fetchone()
        assert found == (place + 2, place + 2), name


# Who may call it


def test_an_analyst_calls_it_without_seeing_what_it_reads(database: Database, connection: psycopg.Connection) -> None:
    roles = [f"assign_{kind}_{uuid4().hex[:8]}" for kind in ("reader", "stranger")]
    for role in roles:
        connection.execute(f"CREATE ROLE {role}".encode())
    try:
        make_functions(database, [DOUBLE], Grants((roles[0],)))
        publish(database, connection, model_of([plain("x")], [[0], [9 * 2**16]]))
        connection.execute(f"GRANT USAGE ON SCHEMA segments TO {roles[1]}; SET ROLE {roles[0]}".encode())
        connection.execute("CREATE TEMP TABLE published AS SELECT; SET search_path = pg_temp, public")
        assert segment(connection, "segments.mall_assign(x => 9)") == 2
        assert segment(connection, "segments.mall_assign(to_jsonb(c)) FROM (SELECT 9 AS x) AS c") == 2
        for forbidden in ("segjob.placed_mall('{}')", "FROM segjob.model"):
            with pytest.raises(InsufficientPrivilege):
                segment(connection, forbidden)
        connection.execute(f"RESET ROLE; SET ROLE {roles[1]}".encode())
        with pytest.raises(InsufficientPrivilege):
            segment(connection, "segments.mall_assign(x => 9)")
    finally:
        connection.execute("RESET ROLE")
        for role in roles:
            connection.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())


def test_the_functions_say_what_they_are(database: Database, connection: psycopg.Connection) -> None:
    make_functions(database, [DOUBLE, TEXT])
    found = connection.execute(
        "SELECT p.oid::regprocedure::text, obj_description(p.oid, 'pg_proc'), provolatile, proparallel, prosecdef,"
        " proconfig FROM pg_proc p WHERE proname = 'mall_assign' ORDER BY 1"
    ).fetchall()
    assert [row[0] for row in found] == ["segments.mall_assign(double precision,text)", "segments.mall_assign(jsonb)"]
    assert all(row[1].startswith("segjob: the segment that the published version of mall gives") for row in found)
    assert {(*row[2:5], *row[5]) for row in found} == {("s", "s", True, "search_path=pg_catalog, pg_temp")}
