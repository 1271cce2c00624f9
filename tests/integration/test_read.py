from __future__ import annotations

import traceback
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from psycopg.conninfo import make_conninfo

from segjob.errors import DataError
from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading import replies
from segjob.postgres.reading.columns import ReadPlan
from segjob.postgres.reading.read import read_bulk, read_plain
from segjob.records.source import FeatureSpec, SourceSpec
from tests.integration.reading import READERS, all_of, plan, read_by_libpq, series

# One row a line: what every type may hold. The first is ordinary, the last is nothing at all.
EVERYTHING = """
CREATE SCHEMA s;
CREATE DOMAIN s.amount AS numeric;
CREATE TYPE s.colour AS ENUM ('red', 'light green');
CREATE TABLE s.everything (
    i2 smallint, i4 int, i8 bigint, u uuid, t text, v varchar(20),
    n numeric, a s.amount, r real, d double precision, b boolean, day date, ts timestamp, tz timestamptz,
    c char(6), e s.colour, place int GENERATED ALWAYS AS IDENTITY
);
INSERT INTO s.everything VALUES
 (1, 1, 1, '00000000-0000-0000-0000-000000000001', 'a', 'b',
  1, 2.5, 0.1, 0.1, true, '2026-01-02', '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05.678901+05:30',
  'x', 'red'),
 (-32768, -2147483648, 9007199254740993, 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'ünïcode ☃ 😀', '',
  123456789012345678901234567890.123456789, 0.000000000000000000000000000001, 3.4028235e38, 1.7976931348623157e308,
  false, '0044-03-15 BC', '4713-01-01 00:00:00.000001 BC', '294276-12-31 23:59:59.999999 UTC',
  'two w', 'light green'),
 (32767, 2147483647, -9223372036854775808, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '', E'tab\\t "q" ''s'' \\\\ \\n',
  '1e-320', '1e400', 1e-45, 4.94065645841246544e-324, NULL, 'infinity', 'infinity', '-infinity', '', NULL),
 (2, 2, 9223372036854775807, gen_random_uuid(), repeat('long ', 3000), 'c',
  'NaN', '-1e-400', 'NaN', 'NaN', true, '-infinity', '-infinity', 'infinity', 'é', 'red'),
 (3, 3, 3, gen_random_uuid(), 'd', 'd',
  'Infinity', '-Infinity', '-Infinity', 'Infinity', true, '5874897-12-31', '1969-12-31 23:59:59.999999', 'epoch',
  ' y', NULL),
 (4, 4, 4, gen_random_uuid(), 'e', 'e', -0.0, 0, '-0', '-0', false, 'epoch', 'epoch', 'epoch', 'z', NULL),
 (5, 5, 5, gen_random_uuid(), 'f', 'f', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
"""
KEYS = ["i2", "i4", "i8", "u", "t", "v"]
NUMBERS = ["n", "a", "r", "d", "b", "day", "ts", "tz", "i2", "i4", "i8"]
CATEGORIES = ["t", "v", "c", "e", "b"]
nan = float("nan")
EXPECTED = {
    "n": [1, 123456789012345678901234567890.123456789, 0, nan, nan, 0, nan],
    "a": [2.5, 1e-30, nan, 0, nan, 0, nan],
    "r": [0.10000000149011612, 3.4028234663852886e38, 1.401298464324817e-45, nan, nan, -0.0, nan],
    "d": [0.1, 1.7976931348623157e308, 5e-324, nan, nan, -0.0, nan],
    "b": [1, 0, nan, 1, 1, 0, nan],
    "day": [20455, -735160, nan, nan, 2145042905, 0, nan],
    "i8": [1, 9007199254740992, -9223372036854775808, 9223372036854775807, 3, 4, 5],
}


@pytest.fixture
def everything(connection: psycopg.Connection, database: Database) -> Database:
    connection.execute(EVERYTHING)
    return database


def plan_everything(database: Database) -> ReadPlan:
    features = [FeatureSpec(name) for name in NUMBERS] + [FeatureSpec(name, onehot=True) for name in CATEGORIES]
    return plan(database, SourceSpec(relation="s.everything"), ["place"], *features)


def bits(table: pa.Table) -> list[Any]:
    """Every column as something whose equality is equality of bits."""
    return [
        column.to_numpy().view(np.uint64).tolist() if column.type == pa.float64() else column.to_pylist()
        for column in table.sort_by(table.schema.names[0]).columns
    ]


# Both readers give the same


@pytest.mark.parametrize("read", [read_bulk, read_by_libpq])
def test_all_readers_give_identical_bits_for_every_type(everything, read):
    plan = plan_everything(everything)
    bulk, plain = (all_of(everything, one, plan) for one in (read, read_plain))
    assert bulk.schema.equals(plan.schema)
    assert bits(bulk) == bits(plain)


@READERS
def test_every_value_is_what_it_should_be(everything, read):
    table = all_of(everything, read, plan_everything(everything))
    for name, expected in EXPECTED.items():
        found = table.column(f"n:{name}").to_numpy()
        assert found.view(np.uint64).tolist() == np.array(expected, float).view(np.uint64).tolist(), name
    assert table.column("n:ts")[0].as_py() == 1767323045.678901 / 86400
    assert table.column("n:tz")[0].as_py() == (1767323045.678901 - 19800) / 86400
    assert table.column("c:c").to_pylist() == ["x", "two w", "", "é", " y", "z", None]
    assert table.column("c:e").to_pylist() == ["red", "light green", None, "red", None, None, None]
    assert table.column("c:b").to_pylist() == ["true", "false", None, "true", "true", "false", None]
    assert all(table.column(f"n:{name}").null_count == 0 for name in NUMBERS)


@READERS
@pytest.mark.parametrize("key", KEYS)
def test_keys_of_every_type_are_exact(everything, connection, read, key):
    table = all_of(everything, read, plan(everything, SourceSpec(relation="s.everything"), [key, "place"]))
    expected = connection.execute(f"SELECT {key} FROM s.everything ORDER BY place").fetchall()
    values = [value.bytes if key == "u" else value for (value,) in expected]
    assert table.column(0).to_pylist() == values
    types = {"i2": pa.int16(), "i4": pa.int32(), "i8": pa.int64(), "u": pa.binary(16)}
    assert table.schema.field(0).type == types.get(key, pa.string())


@pytest.mark.parametrize("read", [read_bulk, read_by_libpq])
def test_the_size_of_the_buffer_changes_nothing(everything, monkeypatch, read):
    plans = [series(everything, 500), plan_everything(everything)]
    for wanted in plans:
        tables = []
        for size in (16, 300, 10_000_000):
            monkeypatch.setattr(replies, "BUFFER_BYTES", size)
            tables.append(all_of(everything, read, wanted))
        assert [table.num_rows for table in tables] == [500 if wanted is plans[0] else 7] * 3
        assert [bits(table) for table in tables[:2]] == [bits(tables[2])] * 2
        assert [table.column(0).num_chunks > 3 for table in tables[1:]] == [True, False]


def test_the_size_of_chunks_changes_nothing(database):
    plan = series(database, 500)
    tables = [all_of(database, read_plain, plan, rows) for rows in (1, 7, 10_000)]
    assert all(table.equals(tables[0]) for table in tables)
    assert tables[0].num_rows == 500
    assert [table.column("k:id").num_chunks > 10 for table in tables] == [True, True, False]


def test_settings_of_the_database_do_not_reach_the_values(everything, connection):
    plan = plan_everything(everything)
    before = bits(all_of(everything, read_bulk, plan))
    for setting in SETTINGS:
        connection.execute(f"""
            DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET ', current_database()) || '{setting}'; END $$
        """)
    for read in (read_bulk, read_by_libpq, read_plain):
        assert bits(all_of(everything, read, plan)) == before


SETTINGS = [
    "extra_float_digits = -15",
    "datestyle = German",
    "timezone = Singapore",
    "bytea_output = escape",
    "client_encoding = latin1",
    "intervalstyle = iso_8601",
]


@READERS
def test_an_empty_source_has_no_batches(database, read):
    assert all_of(database, read, series(database, 0)).num_rows == 0


ODD = """
CREATE SCHEMA "Odd ""%s"" :x";
CREATE TABLE "Odd ""%s"" :x"."t:1" ("Ключ: 100%" bigint, "select" numeric, "a:b::c %(d)s" text);
INSERT INTO "Odd ""%s"" :x"."t:1" VALUES (1, 2, 'a%'), (2, 3, 'b'), (3, 4, 'a:c')
"""


@READERS
def test_filters_and_odd_names_are_read(connection, database, read):
    connection.execute(ODD)
    where = r'"a\:b\:\:c %(d)s" LIKE :like'
    source = SourceSpec(relation='"Odd ""%s"" :x"."t:1"', where=where, params={"like": "a%"})
    wanted = plan(database, source, ["Ключ: 100%"], FeatureSpec("select"), category("a:b::c %(d)s"))
    assert all_of(database, read, wanted).to_pydict() == {
        "k:Ключ: 100%": [1, 3],
        "n:select": [2.0, 4.0],
        "c:a:b::c %(d)s": ["a%", "a:c"],
    }


@READERS
def test_several_keys_keep_their_order(everything, read):
    wanted = plan(everything, SourceSpec(relation="s.everything"), ["t", "u", "i2"], FeatureSpec("d"))
    assert all_of(everything, read, wanted).schema.names == ["k:t", "k:u", "k:i2", "n:d"]


@READERS
def test_who_may_only_select_can_read(everything, connection, database_url, read):
    role = f"reader_{uuid4().hex}"
    connection.execute(f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA s TO {role}; GRANT SELECT ON s.everything TO {role}")
    try:
        reader = Database(make_conninfo(database_url, options=f"-c role={role}"))
        assert all_of(reader, read, plan_everything(reader)).num_rows == 7
    finally:
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


# What is wrong with the data


@READERS
def test_a_null_key_is_told_by_name_and_number(database, read):
    wanted = series(database, 100, key="CASE WHEN x % 10 <> 0 THEN x END")
    with pytest.raises(DataError, match='key column "id" is NULL in 10 of 100 rows'):
        all_of(database, read, wanted)


@READERS
def test_an_error_at_row_n_fails_the_whole_read_with_its_state(database, read):
    with pytest.raises(DataError, match=r"division by zero.*22012"):
        all_of(database, read, series(database, 100_000, "1.0::float8 / (90000 - x)"))


@READERS
def test_a_customer_s_value_is_in_no_message_and_no_traceback(connection, database, read):
    connection.execute("""
        CREATE TABLE public.customer AS
        SELECT i AS id, CASE i WHEN 5000 THEN 'canary' ELSE '1' END AS note FROM generate_series(1, 9999) AS i
    """)
    wanted = plan(database, SourceSpec(query="SELECT id, note::int FROM public.customer"), ["id"], FeatureSpec("note"))
    with pytest.raises(DataError, match="invalid input syntax for type integer") as raised:
        all_of(database, read, wanted)
    assert "canary" not in "".join(traceback.format_exception(raised.value))


@READERS
def test_text_that_the_client_can_not_have_is_a_data_error(server_connection, server_url, read):
    name = f"bytes_{uuid4().hex}"
    server_connection.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
    try:
        database = Database(make_conninfo(server_url, dbname=name))
        wanted = plan(database, SourceSpec(query=r"SELECT 1 AS id, E'\xff'::text AS note"), ["id"], category("note"))
        with pytest.raises(DataError, match=r"text that is not valid in its encoding"):
            all_of(database, read, wanted)
    finally:
        server_connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@READERS
@pytest.mark.parametrize("column", ["id", "note"])
def test_text_that_is_broken_in_the_table_is_a_data_error(connection, database, read, column):
    connection.execute(r"""
        CREATE CAST (bytea AS text) WITHOUT FUNCTION;
        CREATE TABLE public.customer AS SELECT 'a' AS id, 'b' AS note;
    """)
    connection.execute(f"UPDATE public.customer SET {column} = '\\xff'::bytea::text".encode())
    wanted = plan(database, SourceSpec(relation="public.customer"), ["id"], category("note"))
    with pytest.raises(DataError, match=r"text that is not valid in its encoding"):
        all_of(database, read, wanted)


def category(name: str) -> FeatureSpec:
    return FeatureSpec(name, onehot=True)
