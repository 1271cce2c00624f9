"""The SQL that the job runs: every statement is described, used, and understood by a real server."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from segjob.postgres.connecting.connect import Database, Schemas
from segjob.postgres.migrate import Grants, migrate
from segjob.postgres.queries import Names, literal, quote, sql, statements
from segjob.postgres.shapes import Shape
from segjob.records.source import FeatureColumn, KeyColumn

SOURCES = sorted((Path(__file__).parents[2] / "segjob").rglob("*.py"))
SHAPE = Shape("mall", (KeyColumn("id", "integer", "integer"),), (FeatureColumn("income", "integer", "number"),))
CHANGES = """(
    SELECT 1 AS id, 1 AS segment_id, 2 AS new_segment_id, 1.0 AS old_distance, 2.0 AS distance, true AS was_there,
        true AS is_there
)"""
IDENTIFIERS = Names(Schemas(), "mall").identifiers() | {
    "part": '"segjob"."label_mall"',
    "keys": '"id"',
    "exported_keys": 'l."id"',
    "version_id": "1",
    "table": '"segjob"."label_mall"',
    "wanted": "unnest(CAST(:key_0 AS bigint[])) AS k(key_0)",
    "is_wanted": 't."id" = k.key_0',
    "columns": '"id", version_id',
    "values": "0, 1",
    "piece": '"segjob"."membership_mall"',
    "moves": '"segjob"."membership_mall"',
    "number": "1",
    "before": '"segjob"."label_mall"',
    "after": '"segjob"."label_mall"',
    "compared": "(SELECT 1 AS segment_id, 2 AS new_segment_id, 3 AS carried_segment_id)",
    "either_keys": 'coalesce(a."id", b."id") AS "id"',
    "same_key": 'a."id" = b."id"',
    "target": '"segjob"."label_mall"',
    "present": '"segjob"."label_mall"',
    "scored": '"segjob"."label_mall"',
    "l_is_p": 'l."id" = p."id"',
    "s_is_p": 's."id" = p."id"',
    "changes": CHANGES,
    "touched": '"segjob"."label_mall"',
    "texts_of_keys": '"id"::text',
    "most": "2",
}
ASKED = [name for name, statement in statements().items() if re.match(r"(SELECT|INSERT)\b", statement.sql)]


def test_every_statement_is_used_and_none_is_missing() -> None:
    text = "\n".join(path.read_text() for path in SOURCES)
    assert [name for name in statements() if not re.search(f"""["']{name}["']""", text)] == []


def test_what_can_be_misread_is_described() -> None:
    changing = [name for name, one in statements().items() if one.sql.startswith(("ALTER", "INSERT", "CREATE"))]
    assert [name for name in changing if not statements()[name].description and "comment" not in name] == []


@pytest.mark.parametrize("name", ASKED)
def test_the_server_understands_it(name: str, database: Database, connection: psycopg.Connection) -> None:
    migrate(database, [SHAPE], Grants())
    extra = {"key_columns": literal("[]"), "feature_columns": literal("[]")}
    for statement in sql(name, **IDENTIFIERS, **(extra if name == "record_segmentation" else {})):
        numbered = re.sub(r"%\(\w+\)s|(?<![:\w]):[a-z]\w*", "NULL", statement)
        connection.execute(f"PREPARE one AS {numbered}".encode())
        connection.execute("DEALLOCATE one")


@pytest.mark.parametrize("name", ['a"b', "SELECT", "Käufer %s", ":x", "{label}", "a;\nb"])
def test_any_name_can_be_quoted(name: str, connection: psycopg.Connection) -> None:
    connection.execute(f"CREATE TABLE {quote(name)} ({quote(name)} integer)".encode())
    found = connection.execute(
        "SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
        " WHERE relnamespace = 'public'::regnamespace AND attnum > 0"
    ).fetchall()
    assert found == [(name, name)]
