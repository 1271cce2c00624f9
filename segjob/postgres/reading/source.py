"""The source of the customers as it is configured, and what it turns out to be.

A table, a view of any kind and a query look alike from here on: a FROM item, a filter, and columns with types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq.abc import PGresult
from sqlalchemy import Connection, Dialect, text
from sqlalchemy.dialects import registry

from segjob.errors import ConfigurationError
from segjob.postgres.connecting.connect import driver_of
from segjob.postgres.connecting.discretion import WITHHELD, sentence_of
from segjob.postgres.connecting.meaning import database_error, translated
from segjob.postgres.queries import driver_query
from segjob.postgres.reading.columns import Description, SourceColumn, nearest
from segjob.records.source import SourceSpec

# Bad values and writing are data errors elsewhere; here they can only come from the text of the configuration.
NO_ROW_WAS_READ = ("22", "25006", "P0")
ESCAPED_COLON = "\0"  # stands for it, as no SQL has this character
PYFORMAT: Dialect = registry.load("postgresql.psycopg")()

RELATIONS = {"r": "table", "v": "view", "m": "materialized view", "p": "partitioned table", "f": "foreign table"}


def describe(connection: Connection, source: SourceSpec) -> Description:
    """Look at the source without reading a row.

    Raises
    ------
    ConfigurationError
        No such relation, a query that is not one SELECT, a filter that is none.
    NotPermitted
        No privilege, or row-level security would hide customers.
    """
    driver = driver_of(connection)
    with translated(), driver.transaction(force_rollback=True):
        driver.execute("SET TRANSACTION READ ONLY")
        from_sql = find_from(driver, source)
        columns = find_columns(driver, from_sql)
        where_sql = find_where(driver, source, from_sql)
    return Description(from_sql, where_sql, columns, source.parallel_safe)


def find_from(driver: psycopg.Connection, source: SourceSpec) -> str:
    """What stands behind FROM: the relation's full name, or the query in parentheses."""
    if source.relation is not None:
        return find_relation(driver, source.relation)
    if source.query is not None:
        return f"(\n{bind(driver, without_end(source.query), source.params, 'query')}\n) AS q"
    raise ConfigurationError("a segmentation needs one of source, query and query_file")


def find_relation(driver: psycopg.Connection, name: str) -> str:
    """The relation's schema-qualified and quoted name."""
    with explained(driver, f"source {name}"):
        found = driver.execute(driver_query("find_relation"), {"name": name}).fetchone()
    if found is None:
        raise ConfigurationError(f"source {name}: there is no such relation{nearest_relation(driver, name)}")
    if found[1] not in RELATIONS:
        raise ConfigurationError(f"source {name}: this is none of {', '.join(RELATIONS.values())}")
    return str(found[0])


def find_columns(driver: psycopg.Connection, from_sql: str) -> tuple[SourceColumn, ...]:
    """Every column with its declared and its base type.

    The server describes a domain's column by the type below it, hence the second look, through pg_typeof.
    """
    with explained(driver, "query" if from_sql.startswith("(") else f"source {from_sql}"):
        result = run_one(driver, f"SELECT * FROM {from_sql} LIMIT 0")
    places = range(result.nfields)
    declared = driver.execute(
        f"SELECT ARRAY[{', '.join(f'pg_typeof(q.c{i})::oid' for i in places)}]::oid[] FROM (SELECT) AS one"
        f" LEFT JOIN (SELECT * FROM {from_sql} LIMIT 0) AS q({', '.join(f'c{i}' for i in places)}) ON true".encode()
    ).fetchone()
    asked = {
        "declared": declared[0] if declared else [],
        "base": [result.ftype(i) for i in places],
        "modifiers": [result.fmod(i) for i in places],
    }
    types = driver.execute(driver_query("names_of_types"), asked).fetchall()
    names = [(result.fname(i) or b"").decode() for i in places]
    return tuple(SourceColumn(name, *three) for name, three in zip(names, types, strict=True))


def find_where(driver: psycopg.Connection, source: SourceSpec, from_sql: str) -> str | None:
    """The filter with its parameters, tried out."""
    if source.where is None:
        return None
    where_sql = bind(driver, source.where, source.params, "where")
    with explained(driver, "where"):
        run_one(driver, f"SELECT FROM {from_sql} WHERE (\n{where_sql}\n) LIMIT 0")
    return where_sql


def run_one(driver: psycopg.Connection, statement: str) -> PGresult:
    """Run one statement by the extended protocol, which refuses a second one behind a semicolon."""
    with driver.cursor() as cursor:
        cursor.execute(statement.encode(), binary=True)
        if cursor.pgresult is None:
            raise AssertionError("unreachable: a statement that did not raise has a result")
        return cursor.pgresult


# Parameters


def bind(driver: psycopg.Connection, raw: str, params: Mapping[str, Any], path: str) -> str:
    r"""Put the parameters into the text as literals that the driver quotes.

    SQLAlchemy finds the `:name` places (`::` casts and `HH24:MI` are none, `\:` is a colon), psycopg fills them. What
    SQLAlchemy would misread is put out of its way: a name with a cast behind it, and a colon that is escaped.
    """
    readable = re.sub(r"(?<![:\w]):(\w+)", r":\1 ", raw.replace(r"\:", ESCAPED_COLON))
    compiled = text(readable).compile(dialect=PYFORMAT)
    for name in compiled.params:
        if name not in params:
            hint = nearest(name, {known: known for known in params})
            raise ConfigurationError(rf"{path}: :{name} is not in params{hint} (write \: for a colon of your own)")
    statement = compiled.string.replace(ESCAPED_COLON, ":").encode()
    try:
        return psycopg.ClientCursor(driver).mogrify(statement, {name: params[name] for name in compiled.params})
    except psycopg.Error as error:
        raise ConfigurationError(f"{path}: a value of params can not be given to Postgres: {error}") from error


def without_end(query: str) -> str:
    """The query without its last semicolon and the comments behind it."""
    return re.sub(r";\s*(--[^\n]*\s*)*\Z", "", query)


# What to say


@contextmanager
def explained(driver: psycopg.Connection, what: str) -> Iterator[None]:
    """Turn what Postgres says about the source into a sentence for whoever wrote the configuration."""
    try:
        with driver.transaction():
            yield
    except psycopg.Error as error:
        said = error.diag.message_primary or "no answer"
        if sentence_of(error) == WITHHELD:
            said = WITHHELD
        meaning = type(database_error(error))
        if (error.sqlstate or "").startswith(NO_ROW_WAS_READ):
            meaning = ConfigurationError
        raise meaning(f"{what}: {said} (SQLSTATE {error.sqlstate}){advice(driver, what, error)}") from error


def advice(driver: psycopg.Connection, what: str, error: psycopg.Error) -> str:
    """What to do about it, where that is known."""
    said = error.diag.message_primary or ""
    if error.sqlstate == "42501" and "row-level security" in said:
        return "; it would hide customers from this role, so read as a role that it does not bind (BYPASSRLS)"
    missing = re.search(r'"(.+)"', said)
    if error.sqlstate == "42P01" and missing:
        return nearest_relation(driver, missing.group(1))
    return "; it has to be one SELECT" if what == "query" and error.sqlstate in ("42601", "0A000") else ""


def nearest_relation(driver: psycopg.Connection, name: str) -> str:
    """A hint with the relations whose names come nearest, in whatever schema they are."""
    candidates: dict[str, str] = {}
    for relation, full in driver.execute(driver_query("all_relations")):
        candidates[relation] = f"{candidates[relation]} or {full}" if relation in candidates else full
    return nearest(name.replace('"', "").rpartition(".")[2], candidates)
