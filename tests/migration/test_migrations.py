"""The schema: one way up, a way down, the same as the models, readable for a DBA, and never over somebody's objects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, text

from segjob.errors import ConfigurationError, NotPermitted
from segjob.postgres import tables
from segjob.postgres.connecting.connect import Database, Schemas
from segjob.postgres.migrate import Grants, migrate, migration_sql
from segjob.postgres.shapes import REVISION, Shape, check_up_to_date
from segjob.records.source import FeatureColumn, KeyColumn
from segjob.shipped import migrations_dir

MALL = Shape(
    "mall",
    (KeyColumn("customer_id", "integer", "integer"),),
    (FeatureColumn("annual_income", "integer", "number"),),
)
HOSTILE = Shape(
    "odd",
    (KeyColumn('Kunde:"Nr" %s {x};\n', "character varying(20)", "text"), KeyColumn("select", "uuid", "uuid")),
    (FeatureColumn("annual_income", "integer", "number"),),
)


def catalogue(connection: psycopg.Connection) -> list[tuple[str, ...]]:
    """Every relation outside of the system's schemas."""
    return connection.execute(
        "SELECT n.nspname, c.relname, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname !~ '^pg_|information_schema' ORDER BY 1, 2"
    ).fetchall()


def test_there_is_one_head_and_the_program_knows_it() -> None:
    assert ScriptDirectory(str(migrations_dir())).get_heads() == [REVISION]


def test_a_migrated_database_is_up_to_date_and_a_second_migrate_does_nothing(database: Database) -> None:
    with database.begin() as session, pytest.raises(ConfigurationError, match="run `segjob migrate`"):
        check_up_to_date(session, database.schemas)
    assert migrate(database, [MALL], Grants()) == ["schema version none -> 0001", "segmentation mall created"]
    with database.begin() as session:
        check_up_to_date(session, database.schemas, MALL)
    assert migrate(database, [MALL], Grants()) == []


def test_the_models_say_what_the_migrations_made(database: Database) -> None:
    migrate(database, [], Grants())
    wanted = MetaData()
    for table in tables.metadata.sorted_tables:
        table.to_metadata(wanted, schema="segjob", referred_schema_fn=lambda *_: "segjob")
    with database.begin() as session:
        options = {
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == "segjob",
            "include_object": lambda _, name, kind, *__: not (kind == "table" and name == "alembic_version"),
            "compare_type": True,
            "compare_server_default": False,
        }
        context = MigrationContext.configure(session, opts=options)
        assert compare_metadata(context, wanted) == []


def test_down_and_up_again_gives_the_same_schema(database: Database, connection: psycopg.Connection) -> None:
    migrate(database, [MALL], Grants())
    above = catalogue(connection)
    connection.execute('CREATE TABLE segjob."label_mall$1" (LIKE segjob.label_mall)')
    migrate(database, [MALL], Grants(), "base")
    assert {name for _, name, _ in catalogue(connection)} == {"alembic_version", "alembic_version_pkc"}
    migrate(database, [MALL], Grants())
    assert catalogue(connection) == above


def test_both_schemas_can_have_other_names(database_url: str, connection: psycopg.Connection) -> None:
    database = Database(database_url, Schemas("kunden", "kunden_intern"))
    migrate(database, [MALL, HOSTILE], Grants())
    assert {schema for schema, _, _ in catalogue(connection)} == {"kunden", "kunden_intern"}
    with database.begin() as session:
        assert session.execute(text("SELECT count(*) FROM kunden.mall")).scalar() == 0


def test_a_dba_gets_the_same_schema_from_the_printed_sql(database: Database, connection: psycopg.Connection) -> None:
    script = migration_sql(database, [MALL, HOSTILE], Grants())
    assert catalogue(connection) == []
    connection.execute(script.encode())
    by_hand = catalogue(connection)
    with database.begin() as session:
        check_up_to_date(session, database.schemas, HOSTILE)
    assert migrate(database, [MALL, HOSTILE], Grants()) == []
    assert catalogue(connection) == by_hand


def test_the_printed_sql_has_no_findings_of_a_linter(database: Database, tmp_path: Path) -> None:
    script = tmp_path / "migration.sql"
    script.write_text(migration_sql(database, [MALL], Grants()))
    # The tables are new: nothing is locked that anybody reads yet. Versions and segments are few.
    # The one varchar is Alembic's own.
    irrelevant = "prefer-robust-stmts,require-timeout-settings,prefer-bigint-over-int,prefer-text-field"
    linted = subprocess.run(
        [Path(sys.executable).parent / "squawk", f"--exclude={irrelevant}", str(script)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("schema", ["segments", "segjob"])
def test_a_schema_of_somebody_else_is_not_touched(
    schema: str, database: Database, connection: psycopg.Connection
) -> None:
    connection.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.segmentation (mine integer)".encode())
    before = catalogue(connection)
    with pytest.raises(NotPermitted, match=f"schema {schema} exists and holds objects that are not segjob's"):
        migrate(database, [MALL], Grants())
    assert catalogue(connection) == before


def test_an_empty_schema_that_we_may_use_is_ours(database: Database, connection: psycopg.Connection) -> None:
    connection.execute("CREATE SCHEMA segments; CREATE SCHEMA segjob")
    assert migrate(database, [MALL], Grants())[0] == "schema version none -> 0001"


def test_every_object_and_column_that_analysts_see_has_a_comment(
    database: Database, connection: psycopg.Connection
) -> None:
    migrate(database, [MALL, HOSTILE], Grants())
    silent = connection.execute(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE n.nspname = 'segments' AND (col_description(c.oid, a.attnum) IS NULL"
        " OR obj_description(c.oid, 'pg_class') IS NULL)"
    ).fetchall()
    assert silent == []


def test_the_key_of_a_segmentation_without_versions_may_change(
    database: Database, connection: psycopg.Connection
) -> None:
    migrate(database, [MALL], Grants())
    changed = Shape("mall", (KeyColumn("customer", "uuid", "uuid"),), MALL.features)
    assert migrate(database, [changed], Grants()) == ["segmentation mall brought up to date"]
    assert connection.execute("SELECT customer, segment_id FROM segments.mall").fetchall() == []


def test_a_view_over_ours_is_named_and_not_dropped(database: Database, connection: psycopg.Connection) -> None:
    migrate(database, [MALL], Grants())
    connection.execute("CREATE VIEW public.theirs AS SELECT * FROM segments.mall")
    changed = Shape("mall", (KeyColumn("customer", "uuid", "uuid"),), MALL.features)
    with pytest.raises(ConfigurationError, match=r"public\.theirs depends on the views of segmentation mall"):
        migrate(database, [changed], Grants())


def test_a_schema_newer_than_the_program_is_refused(database: Database, connection: psycopg.Connection) -> None:
    migrate(database, [], Grants())
    connection.execute("UPDATE segjob.alembic_version SET version_num = '9999'")
    with database.begin() as session, pytest.raises(ConfigurationError, match="newer than this program"):
        check_up_to_date(session, database.schemas)
