"""Input that is odd and can be segmented: everybody gets the segment where they belong, and the run says what it did.

The numbers are those of the list in docs/reliability.md. All inputs are run once, together, and every test looks. In
each of them 300 customers lie in three groups of a hundred, by `id % 3`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import Identifier

from tests import servers
from tests.acceptance.conftest import write_configuration
from tests.command import run_segjob

N_CUSTOMERS = 300
GROUP = "(i % 3) * 10 + (i % 5) / 10.0"
TABLE = f"""
CREATE TABLE public.customer AS
SELECT
    i AS id,
    {GROUP} AS plain,
    CASE i WHEN 1 THEN 'NaN' WHEN 2 THEN 'NaN' ELSE {GROUP} END::float8 AS nan_double,
    CASE i WHEN 3 THEN 'NaN' ELSE {GROUP} END::real AS nan_real,
    CASE i WHEN 4 THEN 'NaN' ELSE {GROUP} END::numeric AS nan_numeric,
    CASE i WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity' ELSE {GROUP} END::float8 AS infinite_double,
    CASE i WHEN 1 THEN '-Infinity' ELSE {GROUP} END::real AS infinite_real,
    CASE i WHEN 5 THEN 'Infinity' WHEN 6 THEN '-Infinity' ELSE {GROUP} END::numeric AS infinite_numeric,
    CASE i WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' ELSE DATE '2020-01-01' + i % 3 * 100 END::date AS endless_day,
    CASE i WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' ELSE TIMESTAMP '2020-01-01' + i % 3 * interval '1 day' END
        ::timestamp AS endless_time,
    CASE i WHEN 3 THEN '-infinity' ELSE TIMESTAMPTZ '2020-01-01 00:00+02' + i % 3 * interval '1 day' END
        ::timestamptz AS endless_moment,
    CASE WHEN i > 7 THEN {GROUP} END AS gaps,
    NULL::integer AS nothing,
    CASE i WHEN 1 THEN -5 WHEN 2 THEN -1 WHEN 3 THEN -0.5 ELSE ((i % 3) * 10 + 1) ^ 2 END::float8 AS amount,
    (ARRAY[DATE '0044-03-15 BC', DATE '2020-01-01', DATE '9999-12-31'])[1 + i % 3] + i % 5 AS far_day,
    (ARRAY[DATE '4713-01-01 BC', DATE '2020-01-01', DATE '5874897-12-01'])[1 + i % 3] + i % 5 AS farthest_day,
    (ARRAY[TIMESTAMP '4713-01-01 BC', TIMESTAMP '2020-01-01', TIMESTAMP '294276-12-01'])[1 + i % 3] AS farthest_time,
    (ARRAY[1, 5, 9])[1 + i % 3] * 1e39::float8 AS beyond_real,
    (ARRAY[1, 5, 9])[1 + i % 3] * 1e-45::float8 AS below_real,
    1.7e9::float8 + (i % 3) * 60 + i % 7 AS second,
    1700000000000000 + (i % 3) * 60000000::bigint + i % 7 AS microsecond,
    7 AS seven,
    'gold' AS tier,
    CASE WHEN i = 300 THEN 1e12 ELSE {GROUP} END::float8 AS reaching,
    123456789012345678901234567890.0123456789 + ((i % 3) * 10 + i % 5) * 1e17::numeric AS digits,
    CASE WHEN i = 1 THEN 1e400 WHEN i = 2 THEN -1e400 WHEN i = 3 THEN 1e-400 ELSE {GROUP} END::numeric AS huge,
    (ARRAY['a', 'b', 'c'])[1 + i % 3]::char(12) AS padded,
    CASE i WHEN 1 THEN -9223372036854775808 WHEN 2 THEN 9223372036854775807 ELSE 9007199254740992 + i END::bigint
        AS farthest,
    md5(i::text)::uuid AS guid,
    CASE i WHEN 1 THEN '' WHEN 2 THEN ' ' WHEN 3 THEN 'a''b"c\\d' WHEN 4 THEN U&'\\+01F600' ELSE 'Käufer ' || i END
        AS word
FROM generate_series(1, {N_CUSTOMERS}) AS i;
"""

LONG = "ein_Name_der_viel_länger_ist_als_das_was_Postgres_von_einem_Namen_behält"
ODD_SCHEMA, ODD_TABLE = 'Схема "1"', "Käufer; DROP TABLE x --"
ODD_COLUMNS = ["select", 'a"b', "имя клиента", "%s :x", "It's; DROP TABLE public.customer --", "id"]


def quoted(*names: str) -> str:
    """A name with what it lies in, as it is written in SQL; cut as Postgres cuts names."""
    return Identifier(*(name.encode()[:63].decode(errors="ignore") for name in names)).as_string(None)


ODD_SOURCE = quoted(ODD_SCHEMA, ODD_TABLE)
SOURCES = f"""
CREATE VIEW public.as_view AS SELECT id, plain FROM public.customer;
CREATE MATERIALIZED VIEW public.as_materialized AS SELECT id, plain FROM public.customer;
CREATE UNLOGGED TABLE public.as_unlogged AS SELECT id, plain FROM public.customer;
CREATE TABLE public.as_partitioned (id integer, plain numeric) PARTITION BY RANGE (id);
CREATE TABLE public.part_1 PARTITION OF public.as_partitioned FOR VALUES FROM (MINVALUE) TO (100);
CREATE TABLE public.part_2 PARTITION OF public.as_partitioned FOR VALUES FROM (100) TO (MAXVALUE)
    PARTITION BY LIST (id);
CREATE UNLOGGED TABLE public.part_3 PARTITION OF public.part_2 DEFAULT;
INSERT INTO public.as_partitioned SELECT id, plain FROM public.customer;
CREATE SCHEMA {quoted(ODD_SCHEMA)};
CREATE TABLE {ODD_SOURCE} AS
SELECT id AS {quoted(LONG)}, {", ".join(f"plain AS {quoted(name)}" for name in ODD_COLUMNS)} FROM public.customer;
CREATE TABLE public.collector AS
SELECT i AS id, CASE WHEN i <= 10000 THEN 'kind ' || i WHEN i % 2 = 0 THEN 'coins' ELSE 'stamps' END AS kind
FROM generate_series(1, 11500) AS i;
"""


def customers(*features: Any, **changes: Any) -> dict[str, Any]:
    return {"source": "public.customer", "key": "id", "features": list(features), "n_clusters": 3, **changes}


def plainly(source: str) -> dict[str, Any]:
    return customers("plain", source=f"public.{source}")


NANS = ("nan_double", "nan_real", "nan_numeric")
INFINITE = ("infinite_double", "infinite_real", "infinite_numeric")
ENDLESS = ("endless_day", "endless_time", "endless_moment")
TIER = {"column": "tier", "encode": "onehot"}
SEGMENTATIONS = {
    "few_distinct": customers("seven", {"column": "padded", "encode": "onehot"}, n_clusters=8),
    "missing": customers(*NANS, *INFINITE, *ENDLESS),
    "gaps": customers(
        "plain",
        {"column": "gaps", "impute": "mean"},
        {"column": "nothing", "impute": "zero"},
        {"column": "reaching", "clip": [0.01, 0.99]},
    ),
    "gaps_out": customers("plain", {"column": "gaps", "impute": "exclude"}),
    "farthest": customers("plain", key="farthest"),
    "three_keys": customers("plain", key=["guid", "word", "farthest"]),
    "negative": customers("seven", "plain", {"column": "amount", "transform": "log1p"}, TIER),
    "far_days": customers("far_day"),
    "farthest_days": customers("farthest_day", "farthest_time"),
    "numbers": customers("beyond_real", "below_real", "digits", "huge"),
    "seconds": customers({"column": "second", "scale": "none"}, {"column": "microsecond", "weight": 0.1}),
    "reaching": customers("reaching", "plain", n_clusters=4),
    "odd_names": customers(*ODD_COLUMNS, key=LONG, source=ODD_SOURCE),
    "as_view": plainly("as_view"),
    "as_materialized": plainly("as_materialized"),
    "as_unlogged": plainly("as_unlogged"),
    "as_partitioned": plainly("as_partitioned"),
    "one_segment": customers("plain", n_clusters=1),
    "kinds": customers({"column": "kind", "encode": "onehot"}, source="public.collector"),
}
MISPLACED = {"missing", "gaps", "numbers"}  # who lacks a value, or is clipped, lies elsewhere
ODD_ONES = 7
IN_THREE_GROUPS = set(SEGMENTATIONS) - {"gaps_out", "reaching", "one_segment", "kinds"}


@dataclass(frozen=True)
class Found:
    """What the runs printed, by segmentation, a session on what they stored, and the command."""

    documents: dict[str, Any]
    connection: psycopg.Connection
    folder: Path
    url: str

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement.encode()).fetchall()

    def one(self, statement: str) -> tuple[Any, ...]:
        (row,) = self.rows(statement)
        return row

    def warnings(self, name: str) -> list[str]:
        """What the run said, which its row has as well."""
        said: list[str] = self.documents[name]["warnings"]
        assert self.one(f"SELECT warnings FROM segments.run WHERE segmentation = '{name}' AND kind = 'run'") == (said,)
        return said

    def command(self, *arguments: str) -> str:
        done = run_segjob(self.folder, self.url, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def found(
    server_url: str, server_connection: psycopg.Connection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Found]:
    folder = tmp_path_factory.mktemp("odd")
    write_configuration(folder, SEGMENTATIONS)
    with (
        servers.fresh_database(server_url, server_connection) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        connection.execute(TABLE.encode())
        connection.execute(SOURCES.encode())
        migrated = run_segjob(folder, url, "migrate")
        assert migrated.returncode == 0, migrated.stderr
        done = run_segjob(folder, url, "run", "--all", "--json", timeout=600)
        assert "Traceback" not in done.stderr
        documents = {one["segmentation"]: one for one in json.loads(done.stdout)}
        yield Found(documents, connection, folder, url)


def source_of(name: str) -> str:
    return str(SEGMENTATIONS[name]["source"])


def keys_of(name: str) -> str:
    key = SEGMENTATIONS[name]["key"]
    names = [key] if isinstance(key, str) else key
    return ", ".join(quoted(one) for one in names)


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_every_input_is_published_and_its_run_has_succeeded(found: Found, name: str) -> None:
    assert found.documents[name]["status"] == "published", found.documents[name]
    row = found.one(
        f"SELECT status, exit_code, error, rows_read FROM segments.run WHERE segmentation = '{name}' AND kind = 'run'"
    )
    assert row == ("succeeded", 0, None, 11_500 if name == "kinds" else N_CUSTOMERS)


@pytest.mark.parametrize("name", sorted(IN_THREE_GROUPS))
def test_everybody_is_in_the_segment_of_their_group(found: Found, name: str) -> None:
    number = f"c.{keys_of(name)}" if name == "odd_names" else "c.id"
    first, last = (ODD_ONES + 1, N_CUSTOMERS - 1) if name in MISPLACED else (1, N_CUSTOMERS)
    groups = found.rows(
        f"SELECT array_agg(DISTINCT s.segment_id), count(*) FROM {source_of(name)} AS c JOIN segments.{name} AS s"
        f" USING ({keys_of(name)}) WHERE {number} BETWEEN {first} AND {last} GROUP BY {number} % 3"
    )
    assert sorted(ids for ids, _ in groups) == [[1], [2], [3]]
    assert sum(count for _, count in groups) == last - first + 1


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_the_model_in_sql_says_the_same(found: Found, name: str) -> None:
    other = found.rows(
        f"SELECT c FROM {source_of(name)} AS c JOIN segments.{name} AS s USING ({keys_of(name)})"
        f" WHERE segments.{name}_assign(to_jsonb(c)) IS DISTINCT FROM s.segment_id"
    )
    assert other == []


def lacking(column: str, count: int, stand_in: str = "the median") -> str:
    return f"column {column}: {count} of {N_CUSTOMERS} customers lack a value and count as {stand_in}"


def test_03_fewer_distinct_rows_than_segments(found: Found) -> None:
    assert found.documents["few_distinct"]["n_segments"] == 3
    assert "there are only 3 different customers, so 8 segments became 3" in found.warnings("few_distinct")


def warned(found: Found, columns: Sequence[str]) -> list[str]:
    """What the run with all kinds of missing values said of some of its columns."""
    return [said for said in found.warnings("missing") if said.split()[1].rstrip(":") in columns]


def test_05_nan(found: Found) -> None:
    assert warned(found, NANS) == [lacking("nan_double", 2), lacking("nan_real", 1), lacking("nan_numeric", 1)]


def test_06_infinity(found: Found) -> None:
    expected = [lacking("infinite_double", 2), lacking("infinite_real", 1), lacking("infinite_numeric", 2)]
    assert warned(found, INFINITE) == expected


def test_07_endless_dates_and_timestamps(found: Found) -> None:
    expected = [lacking("endless_day", 2), lacking("endless_time", 2), lacking("endless_moment", 1)]
    assert warned(found, ENDLESS) == expected
    days = "SELECT min(value_date) > '2019-12-01' FROM segments.missing_centroid WHERE feature LIKE 'endless%'"
    assert found.one(days) == (True,)


def test_08_nulls_and_a_column_of_nulls(found: Found) -> None:
    assert found.warnings("gaps") == [
        "column nothing has no value for any customer and was left out of the clustering",
        lacking("gaps", 7, "the mean"),
        "column reaching: 1 of 300 values were cut to the quantiles of `clip`",
    ]
    said = json.loads(found.command("score", "gaps", "--json"))["warnings"]
    assert said == [
        f"column {name}: {count} of 300 customers lack a value and count as the model says"
        for name, count in (("gaps", 7), ("nothing", 300))
    ]
    assert found.warnings("gaps_out") == ["column gaps: 7 of 300 customers lack a value and have no segment"]
    assert found.one("SELECT count(*) FROM segments.gaps_out") == (N_CUSTOMERS - 7,)
    assert found.rows("SELECT feature, count(*) FROM segments.gaps_out_unlabelled GROUP BY feature") == [("gaps", 7)]


@pytest.mark.parametrize("name", ["farthest", "three_keys"])
def test_11_keys_are_exact(found: Found, name: str) -> None:
    keys = keys_of(name)
    for one, other in (("public.customer", f"segments.{name}"), (f"segments.{name}", "public.customer")):
        assert found.rows(f"SELECT {keys} FROM {one} EXCEPT SELECT {keys} FROM {other}") == []
    assert found.warnings(name) == []


def test_12_negative_amounts_under_log1p(found: Found) -> None:
    assert lacking("amount", 2) in found.warnings("negative")


def test_13_dates_in_the_future_and_before_christ(found: Found) -> None:
    expected = "ARRAY[DATE '0044-03-17 BC', DATE '2020-01-03', DATE '10000-01-02']"
    near = "array_agg(value_date ORDER BY value) AS found FROM segments.far_days_centroid"
    days = f"SELECT bool_and(abs(f - e) < 5) FROM (SELECT {near}) AS c, unnest(c.found, {expected}) AS u (f, e)"
    assert found.one(days) == (True,)
    assert len(found.rows("SELECT value, value_date::text FROM segments.farthest_days_centroid")) == 6  # and no error
    for name in ("far_days", "farthest_days"):
        assert found.warnings(name) == []
        found.command("show", name)
        found.command("report", name, "--out", f"{name}.html")


def test_14_values_beyond_float32_and_seconds_with_a_tiny_spread(found: Found) -> None:
    assert found.warnings("seconds") == []
    assert found.documents["seconds"]["silhouette"]["value"] > 0.9
    for column, unit in (("beyond_real", "1e39"), ("below_real", "1e-45")):
        means = f"SELECT round(segment_mean / {unit}) FROM segments.numbers_centroid WHERE feature = '{column}'"
        assert sorted(found.rows(means)) == [(1,), (5,), (9,)]


def test_15_a_constant_column(found: Found) -> None:
    said = found.warnings("negative")
    for name in ("seven", "tier"):
        assert f"column {name} is the same for every customer and was left out of the clustering" in said
    assert found.one("SELECT count(DISTINCT feature) FROM segments.negative_centroid") == (2,)


def test_16_one_value_a_trillion_times_the_rest(found: Found) -> None:
    assert [one["n_customers"] for one in found.documents["reaching"]["segments"]] == [100, 100, 99, 1]
    assert "clip or log1p on reaching helps" in found.warnings("reaching")[0]


def test_17_numeric_with_thirty_digits(found: Found) -> None:
    assert found.warnings("numbers") == [lacking("huge", 2)]
    means = "SELECT round((segment_mean - 123456789012345678901234567890) / 1e17) FROM segments.numbers_centroid"
    assert sorted(found.rows(f"{means} WHERE feature = 'digits'")) == [(2,), (12,), (22,)]


def test_19_the_padding_of_char(found: Found) -> None:
    categories = found.rows("SELECT feature FROM segments.few_distinct_centroid GROUP BY feature ORDER BY 1")
    assert categories == [("padded=a",), ("padded=b",), ("padded=c",), ("padded=other",)]


def test_21_odd_and_hostile_names(found: Found) -> None:
    assert found.warnings("odd_names") == []
    features = {row[0] for row in found.rows("SELECT DISTINCT feature FROM segments.odd_names_centroid")}
    assert features == set(ODD_COLUMNS)
    found.command("show", "odd_names")
    found.command("report", "odd_names", "--out", "odd.html")
    found.command("export", "odd_names", "--out", "odd.csv")
    found.command("score", "odd_names")
    assert found.one("SELECT count(*) FROM public.customer") == (N_CUSTOMERS,)


@pytest.mark.parametrize("kind", ["view", "materialized", "partitioned", "unlogged"])
def test_22_sources_of_every_kind(found: Found, kind: str) -> None:
    assert found.documents[f"as_{kind}"]["n_customers"] == N_CUSTOMERS
    assert found.warnings(f"as_{kind}") == []


def test_28_one_segment_has_no_silhouette(found: Found) -> None:
    silhouettes = "silhouette, silhouette_low, silhouette_high"
    assert found.one(f"SELECT {silhouettes} FROM segments.version WHERE segmentation = 'one_segment'") == (None,) * 3
    assert found.one(f"SELECT {silhouettes} FROM segments.one_segment_profile") == (None,) * 3
    assert found.one("SELECT count(simplified_silhouette), count(runner_up_segment_id) FROM segments.one_segment") == (
        0,
        0,
    )
    assert found.rows(
        "SELECT value, result FROM segments.gate WHERE segmentation = 'one_segment' AND gate = 'min_silhouette'"
    ) == [(None, "skipped")]
    assert "no silhouette" in found.command("show", "one_segment")


def test_29_ten_thousand_categories_and_one_never_seen_before(found: Found) -> None:
    assert found.warnings("kinds") == [
        "column kind: 10000 of 11500 customers count as `other`, 0 of them without a value and 10000 with a rare one"
    ]
    found.connection.execute("INSERT INTO public.collector VALUES (20000, 'never seen'), (20001, NULL)")
    found.command("score", "kinds")
    of_others = "SELECT DISTINCT segment_id FROM segments.kinds WHERE id IN (1, 20000, 20001)"
    assert len(found.rows(of_others)) == 1
