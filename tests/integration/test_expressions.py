from __future__ import annotations

import pytest
from sqlalchemy import literal_column

from segjob.postgres.reading.columns import as_sql
from segjob.postgres.reading.expressions import NUMBERS, feature_expression

EXPRESSIONS = [
    ("numeric", "'0.1'", 0.1),
    ("numeric", "'12345678901234567890.1234567890'", 12345678901234567890.123456789),
    ("numeric", "'1e-320'", 0.0),
    ("numeric", "'-1e-5000'", 0.0),
    ("numeric", "'1e5000'", None),
    ("numeric", "'-1.7976931348623158e308'", None),
    ("numeric", "'1.7976931348623157e308'", 1.7976931348623157e308),
    ("numeric", "'NaN'", None),
    ("numeric", "'-Infinity'", None),
    ("bigint", "9007199254740993", 9007199254740992.0),
    ("smallint", "(-32768)", -32768.0),
    ("real", "0.1", 0.10000000149011612),
    ("double precision", "'1e-320'", 1e-320),
    ("boolean", "true", 1.0),
    ("boolean", "false", 0.0),
    ("date", "'1970-01-02'", 1.0),
    ("date", "'0044-03-15 BC'", -735160.0),
    ("date", "'infinity'", None),
    ("date", "'-infinity'", None),
    ("timestamp", "'1970-01-01 12:00'", 0.5),
    ("timestamp", "'2026-01-02 03:04:05.678901'", 1767323045.678901 / 86400),
    ("timestamp", "'infinity'", None),
    ("timestamptz", "'1970-01-02 00:00+01'", 23 / 24),
    ("timestamptz", "'-infinity'", None),
]
BASE_TYPES = {"timestamp": "timestamp without time zone", "timestamptz": "timestamp with time zone"}


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
@pytest.mark.parametrize(("type_name", "literal", "expected"), EXPRESSIONS)
def test_a_feature_becomes_the_same_number_in_every_session(server_connection, zone, type_name, literal, expected):
    base_type = BASE_TYPES.get(type_name, type_name)
    of_column = as_sql(feature_expression(literal_column("v"), base_type))
    statements = [
        f"SELECT {as_sql(feature_expression(literal_column(f'{literal}::{type_name}'), base_type))}",
        f"SELECT {of_column} FROM (VALUES ({literal}::{type_name})) AS t (v)",
        f"SELECT {of_column} FROM (VALUES (NULL::{type_name})) AS t (v)",
    ]
    with server_connection.transaction(force_rollback=True):
        server_connection.execute(f"SET TimeZone = '{zone}'; SET DateStyle = 'SQL, DMY'; SET search_path = ''")
        found = [server_connection.execute(statement).fetchone() for statement in statements]
    assert found == [(expected,), (expected,), (None,)]


@pytest.mark.parametrize("base_type", NUMBERS)
def test_every_feature_is_a_float8(server_connection, base_type):
    expression = as_sql(feature_expression(literal_column(f"NULL::{base_type}"), base_type))
    assert server_connection.execute(f"SELECT pg_typeof({expression})::text").fetchone() == ("double precision",)
