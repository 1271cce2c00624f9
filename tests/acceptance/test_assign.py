"""The model in SQL gives every customer the segment, distance and coordinates that the job gave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import yaml

from segjob.clustering.features import grid_matrix
from segjob.engine.chunks import decode_chunk
from segjob.postgres.connecting.connect import Database
from segjob.postgres.publishing.versions import load_version
from segjob.postgres.reading.columns import plan_read
from segjob.postgres.reading.read import read_plain
from segjob.postgres.reading.snapshot import hold
from segjob.postgres.reading.source import describe
from segjob.records.source import FeatureSpec, SourceSpec
from segjob.shipped import sql_dir
from segjob.shop import create_shop
from tests.markdown import page

pytestmark = pytest.mark.long

Succeed = Callable[..., str]
ROWS = 100_000

# One value in thirteen is NULL; the others hold what is hard for one of their kind.
CUSTOMERS = f"""
CREATE DOMAIN points AS integer CHECK (VALUE < 100);
CREATE TYPE colour AS ENUM ('red', 'light "green"', 'it''s \\ blue');
CREATE TABLE public.customer AS
SELECT
    i AS id,
    CASE WHEN i % 13 <> 1 THEN sin(i)::numeric * 1e9 + i * 1e-18 END::numeric(40, 28) AS amount,
    CASE WHEN i % 13 <> 2 THEN CASE i % 997 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity'
        WHEN 3 THEN '-1' WHEN 4 THEN '-7' WHEN 5 THEN '1e-17' WHEN 6 THEN '-0.9999999999999999'
        ELSE exp(4 * sin(i * 1.7))::text END END::double precision AS spent,
    CASE i % 997 WHEN 0 THEN 'NaN' WHEN 1 THEN '1e400' WHEN 2 THEN '-1e400' WHEN 3 THEN '1e-320' WHEN 4 THEN NULL
        WHEN 5 THEN '1e12' ELSE cos(i * 0.3)::text END::numeric AS clipped,
    (i % 4096 + 0.5) / 65536 * (CASE WHEN i % 3 = 0 THEN 2 ELSE 1 END) AS half,
    CASE WHEN i % 13 <> 3 THEN cos(i * 0.9) END::real AS single,
    CASE WHEN i % 13 <> 4 THEN i % 7 END::points AS points,
    CASE WHEN i % 13 <> 5 THEN i % 3 = 1 END AS flag,
    CASE WHEN i % 13 <> 6 THEN CASE i % 997 WHEN 3 THEN 'infinity' WHEN 4 THEN '-infinity' WHEN 5 THEN '0044-03-15 BC'
        WHEN 6 THEN '12345-06-07' ELSE (DATE '2024-02-27' + i % 900)::text END END::date AS signed_up_on,
    CASE WHEN i % 997 = 5 THEN 'infinity' WHEN i % 13 <> 7 THEN
        (TIMESTAMP '2024-03-01 11:59:59.999999' + i * interval '7 hours 1 microsecond')::text END::timestamp AS seen_at,
    CASE WHEN i % 997 = 6 THEN '-infinity' WHEN i % 13 <> 8 THEN
        (TIMESTAMPTZ '1890-03-01 12:00+03' + i * interval '11 hours 3 seconds')::text END::timestamptz AS paid_at,
    CASE WHEN i % 13 <> 9 THEN CASE WHEN i % 300 = 0 THEN 'rare ' || i % 7
        ELSE (ARRAY['m', 'f', 'other', 'O''Hara \\'])[1 + i % 4] END END AS "Пол ""x"" €",
    CASE WHEN i % 13 <> 10 THEN (ARRAY['m', 'ab', 'abc', ''])[1 + i % 4] END::char(4) AS code,
    CASE WHEN i % 13 <> 11 THEN (enum_range(NULL::colour))[1 + i % 3] END AS colour,
    CASE WHEN i % 101 <> 12 THEN i % 5 END::smallint AS needed
FROM generate_series(1, {ROWS}) AS i
"""
FEATURES: list[dict[str, Any]] = [
    {"column": "amount"},
    {"column": "spent", "transform": "log1p", "scale": "robust"},
    {"column": "clipped", "clip": [0.01, 0.99], "impute": "zero", "weight": 1.5},
    {"column": "half", "scale": "none"},
    {"column": "single", "scale": "minmax", "impute": "mean"},
    {"column": "points"},
    {"column": "flag"},
    {"column": "signed_up_on", "clip": [0.01, 0.99]},
    {"column": "seen_at", "scale": "robust"},
    {"column": "paid_at"},
    {"column": 'Пол "x" €', "encode": "onehot"},
    {"column": "code", "encode": "onehot", "weight": 2.0},
    {"column": "colour", "encode": "onehot"},
    {"column": "needed", "impute": "exclude"},
]
DIFFERING = """
SELECT count(*) FROM {source} AS c LEFT JOIN segments.{name} AS s USING ({key})
WHERE s.segment_id IS DISTINCT FROM segments.{name}_assign({arguments})
"""


def differing(connection: psycopg.Connection, name: str, source: str, key: str, arguments: str) -> int:
    """How many customers of the source have another segment by the function than in the view."""
    statement = DIFFERING.format(name=name, source=source, key=key, arguments=arguments)
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def hard_customers(connection: psycopg.Connection, configure: Callable[..., Path], succeed: Succeed) -> None:
    """Customers of every kind, run once."""
    connection.execute(CUSTOMERS.encode())
    configure({"mall": {"source": "public.customer", "key": "id", "features": FEATURES, "n_clusters": 4}})
    succeed("migrate")
    succeed("run", "mall")


def test_every_customer_has_the_segment_distance_and_coordinates_of_the_job(
    hard_customers: None, database: Database, connection: psycopg.Connection
) -> None:
    names = [feature["column"].replace('"', '""') for feature in FEATURES]
    arguments = ", ".join(f'"{name}" => c."{name}"' for name in names)
    assert differing(connection, "mall", "public.customer", "id", arguments) == 0
    with database.begin() as session:
        version = load_version(session, "mall")
    found = {
        key: (placed and (placed["segment_id"], placed["squared_distance"], placed["coordinates"]), *label)
        for key, placed, *label in connection.execute(
            "SELECT c.id, segjob.placed_mall(to_jsonb(c)), s.segment_id, s.distance"
            " FROM public.customer AS c LEFT JOIN segments.mall AS s USING (id)"
        )
    }
    assert sum(placed is None for placed, *_ in found.values()) == len(range(12, ROWS + 1, 101))
    for placed, segment_id, distance in found.values():
        wanted = placed and (placed[0], np.sqrt(placed[1]) * version.model.unit)
        assert (wanted or (None, None)) == (segment_id, distance)
    keys, matrix = coordinates(database, version.model)
    numbers = sorted((one.column, one.position or 0) for one in version.model.columns if one.category is None)
    by_name = matrix[:, [position for _, position in numbers]].tolist()
    differing_rows = [key for key, row in zip(keys, by_name, strict=True) if found[key][0] and found[key][0][2] != row]
    assert differing_rows == []


def coordinates(database: Database, model: Any) -> tuple[list[int], np.ndarray]:
    """Everyone's key and coordinates, read as the job reads."""
    specs = [FeatureSpec(one["column"], onehot=one.get("encode") == "onehot") for one in FEATURES]
    with database.begin() as session:
        plan = plan_read(describe(session, SourceSpec(relation="public.customer")), ["id"], specs)
    with hold(database, plan) as snapshot:
        chunks = [decode_chunk(batch) for batch in read_plain(database, snapshot, plan)]
    of = model.columns, model.grid_exponent
    placed = [grid_matrix(*of, one.numbers, one.categories, clamp=True) for one in chunks]
    return [key for one in chunks for key in one.keys.columns[0].to_pylist()], np.concatenate(placed)


def test_the_customers_of_the_demo_s_shop_have_the_segments_of_the_job(
    database: Database, connection: psycopg.Connection, configure: Callable[..., Path], succeed: Succeed
) -> None:
    with database.begin() as session:
        create_shop(session)
    (demo,) = yaml.safe_load((sql_dir() / "demo" / "segjob.yaml").read_text())["segmentations"].values()
    configure({"shop": demo})
    succeed("migrate")
    succeed("run", "shop")
    names = [feature if isinstance(feature, str) else feature["column"] for feature in demo["features"]]
    connection.execute(f"CREATE TABLE public.customer AS SELECT * FROM {demo['source']}".encode())
    for arguments in (", ".join(f"{name} => c.{name}" for name in names), "to_jsonb(c)"):
        assert differing(connection, "shop", "public.customer", demo["key"], arguments) == 0


def test_the_trigger_of_the_guide_labels_who_is_inserted_or_changed(
    mall_project: str, connection: psycopg.Connection, succeed: Succeed
) -> None:
    column, trigger = list(page("docs/how-to/assign.md").blocks("sql"))[2:4]
    connection.execute(column.encode())
    connection.execute(trigger.encode())
    connection.execute("INSERT INTO public.mall_customer VALUES (1000, NULL, NULL, 20, 60)")
    succeed("run", "mall")
    connection.execute("INSERT INTO public.mall_customer VALUES (1001, NULL, NULL, 20, 60), (1002, NULL, NULL, 20, 1)")
    connection.execute("UPDATE public.mall_customer SET annual_income = 21 WHERE customer_id = 1000")
    found = connection.execute(
        "SELECT m.segment_now, s.segment_id FROM public.mall_customer m LEFT JOIN segments.mall s USING (customer_id)"
        " WHERE customer_id >= 1000 ORDER BY customer_id"
    ).fetchall()
    assert found[0][0] == found[0][1] == found[1][0]
    assert found[2][0] not in (None, found[0][0])
    wanted = json.loads(succeed("predict", "mall", "--json", "--set", "annual_income=20", "--set", "spending_score=1"))
    assert wanted[0]["segment_id"] == found[2][0]
