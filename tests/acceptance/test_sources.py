"""Customers as they come: keys of every kind, views and queries, missing values, odd names, other schemas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from segjob.config.rules import SHARED_OBJECTS

pytestmark = pytest.mark.long

Succeed = Callable[..., str]
Document = Callable[..., Any]
Configure = Callable[..., Path]

CUSTOMERS = """
CREATE TABLE public.customer AS
SELECT
    i AS id,
    md5(i::text)::uuid AS guid,
    'Käufer-' || i AS code,
    i % 7 AS shop,
    (i % 3) * 10 + (i * 7919 % 100) / 100.0 AS amount,
    CASE WHEN i % 10 > 0 THEN (i % 3) * 5 + (i * 104729 % 100) / 50.0 END AS visits,
    (ARRAY['red', 'green', 'blue'])[1 + i % 3] AS colour,
    DATE '2020-01-01' + (i % 3) * 300 + i % 17 AS last_order,
    i % 3 = 1 AS member
FROM generate_series(1, 600) AS i;
"""


@pytest.fixture
def customers(connection: psycopg.Connection) -> psycopg.Connection:
    """Six hundred customers in three obvious segments, without a primary key."""
    connection.execute(CUSTOMERS)
    return connection


def segmentation(**changes: Any) -> dict[str, Any]:
    return {"source": "public.customer", "key": "id", "features": ["amount"], "n_clusters": 3} | changes


@pytest.mark.parametrize(
    ("key", "types"),
    [
        ("id", ["integer"]),
        ("guid", ["uuid"]),
        ("code", ["text"]),
        (["shop", "code"], ["integer", "text"]),
        (["guid", "shop", "id"], ["uuid", "integer", "integer"]),
    ],
    ids=str,
)
def test_labels_carry_the_sources_own_keys(
    key: str | list[str],
    types: list[str],
    customers: psycopg.Connection,
    configure: Configure,
    succeed: Succeed,
    document: Document,
) -> None:
    configure({"c": segmentation(key=key)})
    succeed("migrate")
    assert document("run", "c")["n_customers"] == 600
    keys = [key] if isinstance(key, str) else key
    joined = customers.execute(
        f"SELECT count(*), count(DISTINCT (s.segment_id, c.id % 3)) FROM public.customer c"
        f" JOIN segments.c s USING ({', '.join(keys)})".encode()
    ).fetchone()
    assert joined == (600, 3)
    kinds = customers.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'segments.c'::regclass AND attnum BETWEEN 1 AND %s ORDER BY attnum",
        [len(keys)],
    ).fetchall()
    assert [kind for (kind,) in kinds] == types


def test_features_of_every_kind_at_once(
    customers: psycopg.Connection, configure: Configure, succeed: Succeed, document: Document
) -> None:
    features = [
        {"column": "amount", "transform": "log1p", "clip": [0.01, 0.99]},
        {"column": "visits", "scale": "robust"},
        {"column": "colour", "encode": "onehot", "weight": 2.0},
        {"column": "last_order", "scale": "minmax"},
        "member",
    ]
    configure({"c": segmentation(features=features)})
    succeed("migrate")
    found = document("run", "c")
    assert [one["n_customers"] for one in found["segments"]] == [200, 200, 200]
    assert set(found["segments"][0]["centroid"]) == {
        "amount", "visits", "colour=blue", "colour=green", "colour=other", "colour=red", "last_order", "member",
    }  # fmt: skip
    dates = customers.execute(
        "SELECT value_date BETWEEN DATE '2020-01-01' AND DATE '2021-09-30',"
        " value_date - DATE '1970-01-01' = floor(value)"
        " FROM segments.c_centroid WHERE feature = 'last_order'"
    ).fetchall()
    assert dates == [(True, True)] * 3
    shares = customers.execute(
        "SELECT sum(segment_mean) FROM segments.c_centroid WHERE feature LIKE 'colour=%' GROUP BY segment_id"
    ).fetchall()
    assert shares == [(1.0,)] * 3
    predicted = document("predict", "c", *(f"--set={pair}" for pair in (
        "amount=10.5", "visits=6", "colour=green", "last_order=2020-10-27", "member=true",
    )))  # fmt: skip
    green = customers.execute(
        "SELECT DISTINCT segment_id FROM segments.c JOIN public.customer USING (id) WHERE colour = 'green'"
    ).fetchall()
    assert [(predicted[0]["segment_id"],)] == green


def test_who_lacks_a_value_that_is_asked_for_stands_among_the_unlabelled(
    customers: psycopg.Connection, configure: Configure, succeed: Succeed, document: Document
) -> None:
    configure({"c": segmentation(features=["amount", {"column": "visits", "impute": "exclude"}])})
    succeed("migrate")
    found = document("run", "c")
    assert (found["n_customers"], found["n_unlabelled"]) == (540, 60)
    assert customers.execute("SELECT count(*) FROM segments.c").fetchone() == (540,)
    reasons = customers.execute("SELECT reason, feature, count(*) FROM segments.c_unlabelled GROUP BY 1, 2").fetchall()
    assert reasons == [("missing value", "visits", 60)]
    assert customers.execute(
        "SELECT count(*) FROM segments.c_unlabelled JOIN public.customer USING (id) WHERE visits IS NULL"
    ).fetchone() == (60,)
    row = customers.execute("SELECT n_customers, n_unlabelled FROM segments.version").fetchone()
    assert row == (540, 60)
    assert customers.execute("SELECT rows_read, rows_labelled FROM segments.run").fetchone() == (600, 540)


def test_a_query_with_parameters_is_read_once_and_the_parameters_stay_on_the_run(
    customers: psycopg.Connection, configure: Configure, succeed: Succeed, document: Document, tmp_path: Path
) -> None:
    (tmp_path / "customers.sql").write_text(
        "SELECT id, amount FROM public.customer WHERE last_order < :before AND colour <> 'x:y'::text;\n"
    )
    changed = segmentation(query_file="customers.sql", params={"before": "2020-10-01"}, where="public.shop_id(id) > 0")
    customers.execute("CREATE FUNCTION public.shop_id(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1 % 7'")
    del changed["source"]
    configure({"c": changed})
    succeed("migrate")
    expected = "SELECT count(*) FROM public.customer WHERE last_order < %s AND id %% 7 > 0"
    for arguments, before in (((), "2020-10-01"), (("--param", "before=2020-11-01"), "2020-11-01")):
        found = document("run", "c", *arguments)
        assert customers.execute(expected, [before]).fetchone() == (found["n_customers"],)
        assert customers.execute("SELECT params FROM segments.run ORDER BY run_id DESC LIMIT 1").fetchone() == (
            {"before": before},
        )


def test_odd_names_travel_through(
    customers: psycopg.Connection, configure: Configure, succeed: Succeed, document: Document, tmp_path: Path
) -> None:
    key, feature = 'Kunden "Nr" %s :x', "Umsatz; DROP TABLE customer --"
    quoted_key, quoted_feature = key.replace('"', '""'), feature.replace('"', '""')
    customers.execute(
        f'CREATE VIEW public."Große Kunden" AS SELECT id AS "{quoted_key}", amount AS "{quoted_feature}"'
        " FROM public.customer"
    )
    configure({"c": segmentation(source='public."Große Kunden"', key=key, features=[feature])})
    succeed("migrate")
    assert document("run", "c")["n_customers"] == 600
    succeed("report", "c", "--out", "odd.html")
    succeed("export", "c", "--out", "odd.csv")
    assert (tmp_path / "odd.csv").read_text().count("\n") == 601
    assert document("predict", "c", "--set", f"{feature}=20.5")[0]["segment_id"] in (1, 2, 3)


def test_two_installations_side_by_side_with_other_schema_names(
    customers: psycopg.Connection, configure: Configure, succeed: Succeed, document: Document
) -> None:
    for schema, private in (("gold", "gold_intern"), ("segments", "segjob")):
        configure({"c": segmentation()}, schema=schema, private_schema=private)
        succeed("migrate")
        assert document("run", "c")["version_id"] == 1
        assert document("status", "c")["published"]["n_customers"] == 600
    assert customers.execute("SELECT count(*) FROM gold.c JOIN segments.c USING (id, segment_id)").fetchone() == (600,)


def test_a_run_that_spills_to_disk_gives_the_same_labels(
    customers: psycopg.Connection, configure: Configure, succeed: Succeed, document: Document
) -> None:
    configure({"c": segmentation(source="public.many")})
    customers.execute(
        "CREATE TABLE public.many AS SELECT i AS id, (i % 3) * 3 + (hashint8(i) % 1000) / 500.0 AS amount"
        " FROM generate_series(1, 70000) AS i"
    )
    succeed("migrate")
    labels = "SELECT md5(string_agg(concat_ws(' ', id, segment_id, distance), ',' ORDER BY id)) FROM segments.c"
    first = document("run", "c")
    in_memory = customers.execute(labels).fetchone()
    second = document("run", "c", env={"SEGJOB__RESOURCES__MEMORY": "1MiB"})
    assert customers.execute(labels).fetchone() == in_memory
    scores = ("inertia", "silhouette", "squared_silhouette", "davies_bouldin", "calinski_harabasz")
    assert [first[name] for name in scores] == [second[name] for name in scores]
    assert (first["squared_silhouette"]["exact"], first["squared_silhouette"]["n_sampled"]) == (True, 70000)
    assert first["silhouette"]["exact"] is False
    assert first["silhouette"]["n_sampled"] < 70000


def test_fewer_different_customers_than_segments(
    customers: psycopg.Connection, configure: Configure, succeed: Succeed, document: Document
) -> None:
    configure(
        {
            "c": segmentation(features=["member"], n_clusters=5),
            "one": segmentation(features=["one"], source="public.same"),
        }
    )
    customers.execute("CREATE VIEW public.same AS SELECT id, 1 AS one FROM public.customer")
    succeed("migrate")
    found = document("run", "c")
    assert found["n_segments"] == 2
    assert "different customers" in " ".join(found["warnings"])
    alone = document("run", "one")
    assert (alone["n_segments"], alone["silhouette"]["value"], alone["squared_silhouette"]["value"]) == (1, None, None)
    row = customers.execute(
        "SELECT DISTINCT simplified_silhouette, runner_up_segment_id, distance FROM segments.one"
    ).fetchall()
    assert row == [(None, None, 0.0)]
    assert "no silhouette" in succeed("show", "one")


def test_an_analyst_sees_the_views_and_nothing_else(
    customers: psycopg.Connection, configure: Configure, succeed: Succeed
) -> None:
    customers.execute("DROP ROLE IF EXISTS segjob_test_analyst")
    customers.execute("CREATE ROLE segjob_test_analyst")
    try:
        configure({"c": segmentation()}, analysts=["segjob_test_analyst"])
        succeed("migrate")
        succeed("run", "c")
        customers.execute("SET ROLE segjob_test_analyst")
        for view in ("c", "c_profile", "c_centroid", "c_unlabelled", *SHARED_OBJECTS):
            customers.execute(f"SELECT * FROM segments.{view}".encode())
        for table in ("label_c", '"label_c$1"', "version", "published"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                customers.execute(f"SELECT * FROM segjob.{table}".encode())
        customers.execute("RESET ROLE")
    finally:
        customers.execute("RESET ROLE")
        customers.execute("DROP OWNED BY segjob_test_analyst")
        customers.execute("DROP ROLE segjob_test_analyst")
