"""The reference of the views is what `segjob migrate` makes, word by word, and the SQL of the documentation works."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from segjob.postgres.connecting.connect import Database
from segjob.shop import create_shop
from tests.command import run_segjob
from tests.conftest import load_mall
from tests.markdown import Page, codes, page, pages
from tests.servers import fresh_database

REFERENCE = page("docs/reference/views.md")
VIEWS = {
    heading: codes(heading)[0].partition(".")[2].replace("<name>", "mall")
    for heading in REFERENCE.sections()
    if heading.startswith("`segments.")
}
SEGMENTATIONS = {
    "mall": {
        "source": "public.mall_customer",
        "key": "customer_id",
        "features": ["annual_income", "spending_score"],
        "n_clusters": 5,
    },
    "customer": {
        "source": "public.customer",
        "key": "customer_id",
        "features": ["recency_days", "orders", "spent"],
        "n_clusters": 4,
    },
}
OBJECTS = """
SELECT c.relname, obj_description(c.oid, 'pg_class') FROM pg_class c
WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relname <> 'alembic_version'
"""
COLUMNS = """
SELECT attname, replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz'),
    col_description(attrelid, attnum)
FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


@pytest.fixture(scope="module")
def migrated(
    server_url: str,
    server_connection: psycopg.Connection,
    mall_csv: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[psycopg.Connection]:
    """The tables that the docs speak of, and what `segjob migrate` makes of them."""
    folder = tmp_path_factory.mktemp("docs")
    with fresh_database(server_url, server_connection) as url, psycopg.connect(url, autocommit=True) as connection:
        load_mall(connection, mall_csv)
        with Database(url).begin() as transaction:
            create_shop(transaction)
        for block in page("docs/tutorial.md").blocks("sql"):
            if block.startswith("CREATE TABLE"):
                connection.execute(block.encode())
        configuration = {"database": {"url": "${DATABASE_URL}"}, "segmentations": SEGMENTATIONS}
        (folder / "segjob.yaml").write_text(yaml.safe_dump(configuration))
        done = run_segjob(folder, url, "migrate")
        assert done.returncode == 0, done.stderr
        yield connection


def plain(cell: str) -> str:
    """A cell as the COMMENT has it."""
    return cell.replace("`", "").replace("<name>", "mall")


def test_every_view_is_documented_and_none_is_invented(migrated: psycopg.Connection) -> None:
    made = {name for name, _ in migrated.execute(OBJECTS, ["segments"])}
    assert {name for name in made if not name.startswith("customer")} == set(VIEWS.values())


@pytest.mark.parametrize("heading", VIEWS)
def test_the_columns_of_a_view_are_the_documented_ones(migrated: psycopg.Connection, heading: str) -> None:
    made = migrated.execute(COLUMNS, [f"segments.{VIEWS[heading]}"]).fetchall()
    documented = [(plain(name), kind, plain(meaning)) for name, kind, meaning in REFERENCE.rows(heading)]
    keys = ("*the key columns*", "the source's own", "Key column of the source.")
    assert [("customer_id", "integer", keys[2]) if row == keys else row for row in documented] == made


def test_the_tables_that_the_job_keeps_are_the_documented_ones(migrated: psycopg.Connection) -> None:
    documented = [(plain(name), plain(meaning)) for name, meaning in REFERENCE.rows("What the job keeps")]
    made = migrated.execute(OBJECTS, ["segjob"]).fetchall()
    assert sorted(documented) == sorted(row for row in made if not row[0].endswith("_customer"))


def test_what_the_functions_are_for_is_said_in_the_same_words(migrated: psycopg.Connection) -> None:
    rows = REFERENCE.rows("The model in SQL: `<name>_assign`")
    documented = [plain(meaning) for *_, meaning in rows]
    made = migrated.execute(
        "SELECT obj_description(oid, 'pg_proc') FROM pg_proc WHERE proname = 'mall_assign' ORDER BY pronargs DESC"
    ).fetchall()
    assert [(meaning,) for meaning in documented] == made


def statements(one: Page) -> list[str]:
    """The SELECTs of a page."""
    found = [part.strip() for block in one.blocks("sql") for part in block.split(";\n")]
    return [statement.removesuffix(";") for statement in found if statement.startswith("SELECT")]


def test_every_select_of_the_docs_works(migrated: psycopg.Connection) -> None:
    found = [statement for one in pages() for statement in statements(one)]
    assert len(found) >= 10
    for statement in found:
        migrated.execute(statement.encode()).fetchall()


def own(text: str) -> str:
    """With names of roles that no other test has: roles belong to the whole server."""
    return text.replace("segjob_", "docs_test_").replace("bi_reader", "docs_test_reader")


@pytest.fixture
def roles(mall: str, connection: psycopg.Connection) -> Iterator[Callable[[str], str]]:
    """The roles that the guide makes; gives the URL with which one of them logs in."""
    (script,) = (block for block in page("docs/how-to/roles.md").blocks("sql") if "CREATE ROLE" in block)
    place, names = urlsplit(mall), re.findall("CREATE ROLE (.+?) LOGIN", own(script))
    script = own(script).replace("DATABASE shop", f"DATABASE {place.path.removeprefix('/')}")
    try:
        connection.execute(script.encode())
        for name in names:
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD 'docs'").format(sql.Identifier(name)))
        yield lambda name: place._replace(netloc=f"{name}:docs@{place.netloc.rpartition('@')[2]}").geturl()
    finally:
        for name in names:
            connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(sql.Identifier(name)))


def test_the_roles_of_the_guide_are_enough(
    roles: Callable[[str], str], connection: psycopg.Connection, tmp_path: Path
) -> None:
    (configuration,) = page("docs/how-to/roles.md").blocks("yaml")
    (tmp_path / "segjob.yaml").write_text(own(configuration))
    of_the_job = ("check", "run mall", "show mall", "run mall", "score mall", "rollback mall", "prune mall")
    for role, *command in (("owner", "migrate"), *(("job", *one.split()) for one in of_the_job)):
        done = run_segjob(tmp_path, roles(f"docs_test_{role}"), *command)
        assert done.returncode == 0, done.stderr
    with psycopg.connect(roles("docs_test_reader"), autocommit=True) as analyst:
        assert analyst.execute("SELECT count(*) FROM segments.mall").fetchone() == (200,)
        with pytest.raises(InsufficientPrivilege):
            analyst.execute("SELECT FROM segjob.version")
