from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import select

from segjob.errors import ConfigurationError, NotPermitted
from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading.columns import Description, ReadPlan, as_sql, plan_read, verbatim
from segjob.postgres.reading.source import describe
from segjob.records.source import FeatureColumn, FeatureSpec, KeyColumn, SourceSpec

CUSTOMERS = """
CREATE SCHEMA sales;
CREATE DOMAIN sales.customer_number AS bigint CHECK (VALUE > 0);
CREATE DOMAIN sales.loyal_number AS sales.customer_number;
CREATE TYPE sales.colour AS ENUM ('red', 'green');
CREATE TABLE sales.customer (
    id sales.customer_number, small smallint, whole integer, big bigint, exact numeric(30, 5), single real,
    double double precision, yes boolean, day date, moment timestamp, instant timestamptz(3),
    "name" varchar(20), note text, code char(5), colour sales.colour, uid uuid, loyal sales.loyal_number,
    price money, object oid, doc jsonb, list int[], lasts interval, at time, bytes bytea
)
"""
TYPES = {
    "id": ("sales.customer_number", "bigint"),
    "small": ("smallint", "smallint"),
    "whole": ("integer", "integer"),
    "big": ("bigint", "bigint"),
    "exact": ("numeric(30,5)", "numeric"),
    "single": ("real", "real"),
    "double": ("double precision", "double precision"),
    "yes": ("boolean", "boolean"),
    "day": ("date", "date"),
    "moment": ("timestamp without time zone", "timestamp without time zone"),
    "instant": ("timestamp(3) with time zone", "timestamp with time zone"),
    "name": ("character varying(20)", "character varying"),
    "note": ("text", "text"),
    "code": ("character(5)", "character"),
    "colour": ("sales.colour", "sales.colour"),
    "uid": ("uuid", "uuid"),
    "loyal": ("sales.loyal_number", "bigint"),
    "price": ("money", "money"),
    "object": ("oid", "oid"),
    "doc": ("jsonb", "jsonb"),
    "list": ("integer[]", "integer[]"),
    "lasts": ("interval", "interval"),
    "at": ("time without time zone", "time without time zone"),
    "bytes": ("bytea", "bytea"),
}


def look(database: Database, source: SourceSpec) -> Description:
    with database.begin() as connection:
        return describe(connection, source)


def plan(database: Database, source: SourceSpec, key: str, *features: FeatureSpec) -> ReadPlan:
    return plan_read(look(database, source), [key], features)


@pytest.fixture(scope="module")
def sales(server_url: str, server_connection: psycopg.Connection) -> Iterator[Database]:
    """One database for all the tests that only look at it."""
    name = f"sales_{uuid4().hex}"
    server_connection.execute(f"CREATE DATABASE {name}")
    database = Database(make_conninfo(server_url, dbname=name))
    with psycopg.connect(database.conninfo) as connection:
        connection.execute(CUSTOMERS)
    yield database
    server_connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def own_sales(connection: psycopg.Connection, database: Database) -> Database:
    """The same for a test that changes something; `connection` leads to it."""
    connection.execute(CUSTOMERS)
    return database


@pytest.fixture
def reader(connection: psycopg.Connection, database_url: str) -> Iterator[tuple[str, Database]]:
    """A role without privileges, and the database as that role sees it."""
    role = f"reader_{uuid4().hex}"
    connection.execute(f"CREATE ROLE {role}")
    yield role, Database(make_conninfo(database_url, options=f"-c role={role}"))
    connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


# What the source has


def test_every_column_has_its_declared_and_its_base_type(sales):
    found = look(sales, SourceSpec(relation="sales.customer")).columns
    assert {column.name: (column.type, column.base_type) for column in found} == TYPES
    assert {column.name for column in found if column.kind == "e"} == {"colour"}


def test_tables_views_and_queries_look_alike(own_sales, connection):
    connection.execute("""
        CREATE VIEW sales.viewed AS SELECT * FROM sales.customer;
        CREATE MATERIALIZED VIEW sales.kept AS SELECT * FROM sales.customer;
        CREATE UNLOGGED TABLE sales.unlogged AS SELECT * FROM sales.customer;
        CREATE TABLE sales.parted (LIKE sales.customer) PARTITION BY HASH (id);
        CREATE TABLE sales.parted_0 PARTITION OF sales.parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    """)
    names = ["viewed", "kept", "unlogged", "parted", *foreign_table(connection)]
    sources = [SourceSpec(relation=f"sales.{name}") for name in names]
    sources.append(SourceSpec(query="SELECT * FROM sales.customer"))
    expected = look(own_sales, SourceSpec(relation="sales.customer")).columns
    for source in sources:
        assert look(own_sales, source).columns == expected


def foreign_table(connection: psycopg.Connection) -> list[str]:
    """A foreign table where the server can have one, which the bundled ones can not."""
    if not connection.execute("SELECT FROM pg_available_extensions WHERE name = 'file_fdw'").fetchone():
        return []
    columns = ", ".join(f'"{name}" {declared}' for name, (declared, _) in TYPES.items())
    connection.execute(f"""
        CREATE EXTENSION file_fdw;
        CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
        CREATE FOREIGN TABLE sales.foreign_one ({columns}) SERVER files OPTIONS (filename '/dev/null')
    """)
    return ["foreign_one"]


def test_looking_leaves_no_transaction_and_no_setting_behind(own_sales, connection):
    with own_sales.autocommit() as session:
        describe(session, SourceSpec(relation="sales.customer"))
        session.exec_driver_sql("CREATE TABLE sales.writable ()")
    with own_sales.begin() as session:
        describe(session, SourceSpec(relation="sales.customer"))
        session.exec_driver_sql("DROP TABLE sales.writable")
    assert connection.execute("SELECT to_regclass('sales.writable')").fetchone() == (None,)


def test_looking_waits_for_nothing_that_the_query_would_compute(sales):
    look(sales, SourceSpec(query="SELECT 1 AS id, pg_sleep(60)"))


@pytest.mark.parametrize("name", ["customer", "sales.custmer", "SALES.Customers", "sale.customer", 'sales."Customer"'])
def test_a_missing_relation_comes_with_the_nearest_one(sales, name):
    with pytest.raises(ConfigurationError, match=r"no such relation; did you mean sales\.customer\?"):
        look(sales, SourceSpec(relation=name))


def test_the_same_name_in_two_schemas_is_offered_twice(own_sales, connection):
    connection.execute('CREATE SCHEMA "Old"; CREATE TABLE "Old".customer ()')
    with pytest.raises(ConfigurationError, match=r'did you mean "Old"\.customer or sales\.customer\?'):
        look(own_sales, SourceSpec(relation="customer"))


@pytest.mark.parametrize("name", ["", "a b", "a.b.c.d", "sales.", "''; DROP TABLE sales.customer; --", "0"])
def test_what_is_no_name_is_no_relation(sales, name):
    with pytest.raises(ConfigurationError, match="source"):
        look(sales, SourceSpec(relation=name))


def test_an_index_is_no_source(own_sales, connection):
    connection.execute("CREATE INDEX customer_index ON sales.customer (big)")
    with pytest.raises(ConfigurationError, match="none of table, view"):
        look(own_sales, SourceSpec(relation="sales.customer_index"))


def test_a_missing_relation_in_a_query_comes_with_the_nearest_one(sales):
    with pytest.raises(
        ConfigurationError, match=r'query: relation "customer" does not exist.*did you mean sales\.cust'
    ):
        look(sales, SourceSpec(query="SELECT * FROM customer"))


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM sales.customer",
        "WITH gone AS (DELETE FROM sales.customer RETURNING *) SELECT * FROM gone",
        "SELECT 1; SELECT 2",
        "SELECT 1) q; DROP TABLE sales.customer; SELECT * FROM (SELECT 1",
        "SELECT * INTO sales.copy FROM sales.customer",
        "CREATE TABLE sales.copy ()",
        "",
    ],
)
def test_what_is_not_one_select_is_refused_in_the_words_of_postgres(own_sales, connection, query):
    with pytest.raises(ConfigurationError, match=r"query: .*SQLSTATE (42601|0A000)\); it has to be one SELECT"):
        look(own_sales, SourceSpec(query=query))
    assert connection.execute("SELECT to_regclass('sales.customer'), to_regclass('sales.copy')").fetchone() == (
        "sales.customer",
        None,
    )


@pytest.mark.parametrize(
    "query",
    ["SELECT 1 AS id;", "SELECT 1 AS id -- one", "SELECT 1 AS id ; \n-- the end; really\n", "TABLE sales.customer"],
)
def test_a_last_semicolon_and_comments_do_no_harm(sales, query):
    assert look(sales, SourceSpec(query=query, where="true -- all")).columns[0].name == "id"


@pytest.mark.parametrize("where", ["colour", "missing = 1", "big = 1;", "big = 'x'", "true) UNION SELECT (1"])
def test_a_filter_that_is_none_is_refused(sales, where):
    with pytest.raises(ConfigurationError, match="where: "):
        look(sales, SourceSpec(relation="sales.customer", where=where))


def test_a_table_that_may_not_be_read_is_not_permitted(own_sales, connection, reader):
    role, database = reader
    connection.execute(f"GRANT USAGE ON SCHEMA sales TO {role}")
    with pytest.raises(NotPermitted, match="permission denied for table customer"):
        look(database, SourceSpec(relation="sales.customer"))


def test_a_schema_that_may_not_be_used_is_not_permitted(own_sales, reader):
    with pytest.raises(NotPermitted, match="permission denied for schema sales"):
        look(reader[1], SourceSpec(relation="sales.customer"))


def test_row_level_security_is_noticed_and_explained(own_sales, connection, reader):
    role, database = reader
    connection.execute(f"""
        GRANT USAGE ON SCHEMA sales TO {role}; GRANT SELECT ON sales.customer TO {role};
        ALTER TABLE sales.customer ENABLE ROW LEVEL SECURITY;
        CREATE POLICY large ON sales.customer USING (big > 5)
    """)
    with pytest.raises(NotPermitted, match=r"row-level security.*it would hide customers"):
        look(database, SourceSpec(relation="sales.customer"))


# Parameters


def answer(database: Database, expression: str, **params: object) -> object:
    """What an expression gives when it stands in a query with parameters, read through the SELECT that is built."""
    source = SourceSpec(query=f"SELECT 1 AS id, {expression} AS answer", params=params)
    with database.begin() as session:
        statement = plan_read(describe(session, source), ["id"], [FeatureSpec("answer", onehot=True)]).sql
        driver = session.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        row = driver.execute(statement.encode()).fetchone()
    assert row is not None
    return row[1]


@pytest.mark.parametrize(
    ("expression", "value", "expected"),
    [
        (":p", "it's \\ % %s %(p)s :p \" $1", "it's \\ % %s %(p)s :p \" $1"),
        ("(7-:p)::text", -3, "10"),
        (":p::date::text", "2026-10-31", "2026-10-31"),
        ("(:p::int + :p)::text", 4, "8"),
        ("(ARRAY[7, 8, 9])[:p::int : :p]::text", 2, "{8}"),
        ("(date '2026-01-02' < :p)::text", "2026-10-31", "true"),
        ("(:p IS NULL)::text", None, "true"),
        ("(:p)::text", True, "true"),
        ("(1 = ANY(:p))::text", [1, 2], "true"),
    ],
)
def test_parameters_arrive_as_literals(sales, expression, value, expected):
    assert answer(sales, expression, p=value) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("to_char(timestamp '2026-01-02 13:45', 'HH24:MI')", "13:45"),
        ("'5'::int::text", "5"),
        (r"'a \:b'", "a :b"),
        (r"'a \:b::c'", "a :b::c"),
        ("(ARRAY['x','y','z'])[1:2]::text", "{x,y}"),
        ("'100%'", "100%"),
        ("'%s %(p)s %%'", "%s %(p)s %%"),
        (r"'back\slash'", r"back\slash"),
        ("'ünïcode ☃'", "ünïcode ☃"),
    ],
)
def test_colons_and_percent_signs_that_are_no_parameters_survive(sales, expression, expected):
    assert answer(sales, expression) == expected


@given(raw=st.text(st.sampled_from(list("\\:%a$1 '\"()s\n")) | st.characters(exclude_categories=["Cs"])))
def test_finished_sql_is_taken_as_it_stands(raw):
    assert as_sql(select(verbatim(f"1{raw}"))) == f"SELECT 1{raw}"


@given(value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_no_text_leaves_its_literal(sales, value):
    assert answer(sales, ":p", p=value) == value


def test_an_undeclared_parameter_is_named_with_the_nearest(sales):
    with pytest.raises(ConfigurationError, match=r"query: :as_off is not in params; did you mean as_of\?"):
        look(sales, SourceSpec(query="SELECT :as_off", params={"as_of": 1}))


def test_a_filter_has_parameters_too(sales):
    found = look(sales, SourceSpec(relation="sales.customer", where="big > :limit", params={"limit": 5}))
    assert found.where_sql is not None
    assert found.where_sql.split() == ["big", ">", "5"]


def test_a_value_that_does_not_fit_is_a_fault_of_the_configuration(sales):
    with pytest.raises(ConfigurationError, match="where: invalid input syntax for type date"):
        look(sales, SourceSpec(relation="sales.customer", where="day < :as_of", params={"as_of": "next yesterday"}))
    with pytest.raises(ConfigurationError, match="params"):
        look(sales, SourceSpec(relation="sales.customer", where="day < :as_of", params={"as_of": {}}))


# The plan


def test_the_plan_keeps_the_source_s_names_and_types_in_the_order_of_the_configuration(sales):
    found = plan(
        sales,
        SourceSpec(relation="sales.customer"),
        "loyal",
        FeatureSpec("code", onehot=True),
        FeatureSpec("exact"),
        FeatureSpec("yes", onehot=True),
        FeatureSpec("instant"),
    )
    assert found.keys == (KeyColumn("loyal", "sales.loyal_number", "integer"),)
    assert found.features == (
        FeatureColumn("code", "character(5)", "text"),
        FeatureColumn("exact", "numeric(30,5)", "number"),
        FeatureColumn("yes", "boolean", "text"),
        FeatureColumn("instant", "timestamp(3) with time zone", "timestamp"),
    )
    assert found.schema.names == ["k:loyal", "n:exact", "n:instant", "c:code", "c:yes"]


@pytest.mark.parametrize("key", ["exact", "double", "yes", "day", "code", "colour", "doc", "list", "bytes", "object"])
def test_other_types_are_no_key(sales, key):
    with pytest.raises(ConfigurationError, match=rf'key: column "{key}" is .*; a key can be smallint, integer'):
        plan(sales, SourceSpec(relation="sales.customer"), key)


@pytest.mark.parametrize("name", ["price", "object", "doc", "list", "lasts", "at", "bytes", "uid"])
def test_other_types_are_refused_by_name_and_type(sales, name):
    source, declared = SourceSpec(relation="sales.customer"), TYPES[name][0].replace("[]", r"\[\]")
    with pytest.raises(ConfigurationError, match=f'column "{name}" is {declared}'):
        plan(sales, source, "id", FeatureSpec(name))
    with pytest.raises(ConfigurationError, match=f'column "{name}" is {declared}.*text, boolean and enum'):
        plan(sales, source, "id", FeatureSpec(name, onehot=True))


@pytest.mark.parametrize("name", ["name", "note", "code", "colour"])
def test_a_category_used_as_a_number_is_told_of_onehot(sales, name):
    with pytest.raises(ConfigurationError, match=rf'column "{name}" is .*no number: give it `encode: onehot`'):
        plan(sales, SourceSpec(relation="sales.customer"), "id", FeatureSpec(name))


def test_a_missing_column_comes_with_the_nearest_one(sales):
    source = SourceSpec(relation="sales.customer")
    with pytest.raises(ConfigurationError, match=r'features: the source has no column "exakt"; did you mean exact\?'):
        plan(sales, source, "id", FeatureSpec("exakt"))
    with pytest.raises(ConfigurationError, match=r'key: the source has no column "ID"; did you mean id\?'):
        plan(sales, source, "ID")


def test_a_column_that_is_there_twice_is_refused_only_when_it_is_used(sales):
    source = SourceSpec(query="SELECT 1 AS id, 2 AS twice, 3 AS twice, 4 AS once")
    assert plan(sales, source, "id", FeatureSpec("once")).features[0].name == "once"
    with pytest.raises(ConfigurationError, match='2 columns "twice"'):
        plan(sales, source, "id", FeatureSpec("twice"))


def cut(name: str) -> str:
    """The name as Postgres keeps it."""
    return name.encode()[:63].decode(errors="ignore")


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=80)


@given(schema=NAMES, table=NAMES, columns=st.lists(NAMES, min_size=2, max_size=2, unique_by=lambda name: cut(name)))
def test_no_name_is_too_odd(sales, schema, table, columns):
    full = sql.Identifier(f"x{schema}", table)
    key, feature = (sql.Identifier(name) for name in columns)
    with sales.engine.connect() as session:
        driver = session.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(f"x{schema}")))
        driver.execute(sql.SQL("CREATE TABLE {} ({} int, {} numeric)").format(full, key, feature))
        driver.execute(sql.SQL("INSERT INTO {} VALUES (1, 2)").format(full))
        found = describe(session, SourceSpec(relation=full.as_string(driver)))
        plan = plan_read(found, [columns[0]], [FeatureSpec(columns[1])])
        assert [plan.keys[0].name, plan.features[0].name] == [cut(name) for name in columns]
        assert driver.execute(plan.sql.encode()).fetchall() == [(1, 2.0)]
        driver.rollback()
