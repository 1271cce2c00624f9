"""Three roles: sql/roles.sql is enough for what each has to do, and whatever else one of them tries is refused."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from segjob.shipped import sql_dir
from tests import servers
from tests.acceptance.conftest import MALL, write_configuration
from tests.command import run_segjob
from tests.conftest import load_mall

ROLES = ("owner", "job", "reader")
PASSWORD = "roles"


@dataclass(frozen=True)
class House:
    """A database with the three roles in which the mall was migrated and run; `mark` makes their names its own."""

    url: str
    mark: str
    folder: Path

    def role(self, name: str) -> str:
        return f"{self.mark}_{name}"

    def url_of(self, role: str) -> str:
        place = urlsplit(self.url)
        return place._replace(netloc=f"{self.role(role)}:{PASSWORD}@{place.netloc.rpartition('@')[2]}").geturl()

    def call(self, role: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_segjob(self.folder, self.url_of(role), *arguments)

    def succeed(self, role: str, *arguments: str) -> str:
        done = self.call(role, *arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def script(self) -> str:
        """sql/roles.sql with names of this database."""
        text = (sql_dir() / "roles.sql").read_text()
        text = text.replace("segjob_", f"{self.mark}_").replace("bi_reader", self.role("reader"))
        return text.replace("DATABASE shop", f"DATABASE {urlsplit(self.url).path.removeprefix('/')}")

    def psql(self, role: str, script: str) -> None:
        """Execute a whole script as a role."""
        with psycopg.connect(self.url_of(role), autocommit=True) as session:
            session.execute(script.encode())


@pytest.fixture(scope="module")
def house(
    server_url: str, server_connection: psycopg.Connection, mall_csv: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """The roles made by an ordinary role with CREATEROLE, to whom database and customers belong; then two runs."""
    with servers.fresh_database(server_url, server_connection) as url:
        made = House(url, f"r{uuid4().hex[:12]}", tmp_path_factory.mktemp("roles"))
        with psycopg.connect(url, autocommit=True) as superuser:
            try:
                prepare(made, superuser, mall_csv)
                yield made
            finally:
                for name in (*ROLES, "dba"):
                    role = sql.Identifier(made.role(name))
                    superuser.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
        for name in (*ROLES, "dba"):
            server_connection.execute(
                sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(sql.Identifier(urlsplit(url).path[1:]))
            )
            server_connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(made.role(name))))


def prepare(house: House, superuser: psycopg.Connection, mall_csv: Path) -> None:
    """Up to two published versions and a staged one."""
    load_mall(superuser, mall_csv)
    dba = house.role("dba")
    superuser.execute(f"""
        CREATE ROLE {dba} LOGIN CREATEROLE PASSWORD '{PASSWORD}';
        ALTER DATABASE {urlsplit(house.url).path[1:]} OWNER TO {dba};
        ALTER TABLE public.mall_customer OWNER TO {dba};
        CREATE TABLE public.salary AS SELECT 1 AS id;
        ALTER TABLE public.salary OWNER TO {dba}
    """)
    house.psql("dba", house.script())
    for role in ROLES:
        house.psql("dba", f"ALTER ROLE {house.role(role)} PASSWORD '{PASSWORD}'")
    database = {"analysts": [house.role("reader")], "job_role": house.role("job")}
    write_configuration(house.folder, {"mall": MALL}, **database)
    house.succeed("owner", "migrate")
    for extra in ((), ("--no-publish",), ()):
        house.succeed("job", "run", "mall", *extra)


def as_role(house: House, role: str, statement: str) -> list[tuple[Any, ...]]:
    """What a role gets for a statement; nothing stays of it."""
    with psycopg.connect(house.url_of(role)) as session:
        session.execute("SET lock_timeout = '5s'")
        found = session.execute(statement.encode())
        rows = found.fetchall() if found.description else []
        session.rollback()
        return rows


@pytest.fixture(scope="module")
def objects(house: House) -> dict[tuple[str, str], list[str]]:
    """The quoted names of everything in the two schemas, by schema and kind."""
    with psycopg.connect(house.url) as superuser:
        rows = superuser.execute(
            "SELECT relnamespace::regnamespace::text, relkind::text, array_agg(oid::regclass::text) FROM pg_class"
            " WHERE relnamespace IN ('segments'::regnamespace, 'segjob'::regnamespace) GROUP BY 1, 2"
        ).fetchall()
    return {(schema, kind): names for schema, kind, names in rows}


# What each has to do


def test_none_of_the_three_roles_may_do_more_on_the_server_than_log_in(house: House) -> None:
    powers = "rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
    for role in ROLES:
        rows = as_role(house, role, f"SELECT {powers} FROM pg_roles WHERE rolname = current_user")
        assert rows == [(False,) * 5]


def test_the_job_does_all_its_commands(house: House) -> None:
    commands = (
        "check", "score mall", "choose-k mall --max 3", "versions mall", "diff mall 1 3", "rollback mall",
        "publish mall 3", "prune mall", "predict mall --set annual_income=20 --set spending_score=80",
        "report mall --out r.html", "export mall --out l.csv", "forget mall 7", "show mall 2", "status",
    )  # fmt: skip
    for command in commands:
        house.succeed("job", *command.split())


def test_the_owner_migrates_again_also_by_hand_and_removes_what_the_job_filled(house: House) -> None:
    database = {"analysts": [house.role("reader")], "job_role": house.role("job")}
    try:
        write_configuration(house.folder, {"mall": MALL, "second": MALL}, **database)
        house.psql("owner", house.succeed("owner", "migrate", "--sql"))
        house.succeed("job", "run", "second")
        assert "up to date" in house.succeed("owner", "migrate")
        assert as_role(house, "reader", "SELECT count(*) FROM segments.second") == [(200,)]
        house.succeed("owner", "drop", "second", "--yes")
    finally:
        write_configuration(house.folder, {"mall": MALL}, **database)


def test_the_analyst_reads_every_view_and_calls_every_function(
    house: House, objects: dict[tuple[str, str], list[str]]
) -> None:
    views = objects["segments", "v"]
    assert len(views) > 10
    for view in views:
        as_role(house, "reader", f"SELECT * FROM {view}")
    calls = ("count(*) FROM segments.mall_as_of(now())", "segments.mall_assign(annual_income => 20)")
    for call in (*calls, "segments.mall_assign('{}'::jsonb)"):
        as_role(house, "reader", f"SELECT {call}")


def test_a_view_over_ours_is_the_analysts_own_affair(house: House) -> None:
    with psycopg.connect(house.url_of("reader"), autocommit=True) as analyst:
        analyst.execute("CREATE TEMP VIEW big AS SELECT * FROM segments.mall WHERE segment_id = 1")
        assert analyst.execute("SELECT count(*) > 0 FROM big").fetchone() == (True,)


# What each may not


def refused(house: House, role: str, statement: str) -> None:
    try:
        as_role(house, role, statement)
    except InsufficientPrivilege:
        return
    pytest.fail(f"{role} may: {statement}")


EVERYBODY = (
    "CREATE ROLE another",
    "CREATE SCHEMA public_too AUTHORIZATION pg_database_owner",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "COPY (SELECT 1) TO '/tmp/segjob-roles'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT rolpassword FROM pg_authid",
    "SET session_replication_role = replica",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE c AS 'f'",
    "CREATE PUBLICATION everything FOR ALL TABLES",
    "SELECT * FROM public.salary",
    "INSERT INTO public.mall_customer (customer_id) VALUES (0)",
    "UPDATE public.mall_customer SET age = 0",
    "DELETE FROM public.mall_customer",
    "TRUNCATE public.mall_customer",
    "ALTER TABLE public.mall_customer DISABLE ROW LEVEL SECURITY",
    "DROP TABLE public.mall_customer",
    "SET ROLE {dba}",
)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("statement", EVERYBODY)
def test_none_of_the_three_gets_anything_that_is_not_segjobs(house: House, role: str, statement: str) -> None:
    refused(house, role, statement.format(dba=house.role("dba")))


@pytest.mark.parametrize("role", ROLES)
def test_none_of_the_three_passes_on_what_somebody_else_granted(house: House, role: str) -> None:
    with psycopg.connect(house.url_of(role)) as session:  # a GRANT without a right to it is a warning, or an error
        with suppress(InsufficientPrivilege), session.transaction():
            session.execute("GRANT SELECT ON public.mall_customer TO PUBLIC")
        granted = (
            "SELECT count(*) FROM pg_class, aclexplode(relacl) AS a WHERE relname = 'mall_customer' AND a.grantee = 0"
        )
        assert session.execute(granted).fetchone() == (0,)
        session.rollback()


NO_ANALYST = (
    "SELECT * FROM public.mall_customer",
    "SET ROLE {job}",
    "SET ROLE {owner}",
    "CREATE SCHEMA mine",
    "CREATE TABLE segments.mine (id int)",
    "CREATE VIEW segments.mine AS SELECT 1 AS one",
    "CREATE TABLE segjob.mine (id int)",
    "DROP VIEW segments.mall CASCADE",
    "CREATE OR REPLACE FUNCTION segments.mall_assign(jsonb) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DROP FUNCTION segments.mall_assign(jsonb)",
    "ALTER FUNCTION segments.mall_assign(jsonb) RESET search_path",
    "ALTER SCHEMA segments RENAME TO mine",
    "COMMENT ON VIEW segments.mall IS 'mine'",
    "SELECT segjob.placed_mall('{{}}'::jsonb)",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{job}'",
)


@pytest.mark.parametrize("statement", NO_ANALYST)
def test_the_analyst_reads_the_views_and_does_nothing_else(house: House, statement: str) -> None:
    with psycopg.connect(house.url_of("job")):  # somebody to terminate
        refused(house, "reader", statement.format(job=house.role("job"), owner=house.role("owner")))


def test_the_analyst_gets_at_no_table_and_no_sequence_of_the_private_schema(
    house: House, objects: dict[tuple[str, str], list[str]]
) -> None:
    private = [
        name for (schema, kind), names in objects.items() if schema == "segjob" and kind in "rpS" for name in names
    ]
    assert any("$1" in name for name in private), "partitions are among them"
    for name in private:
        refused(house, "reader", f"SELECT * FROM {name}")
        refused(house, "reader", f"DELETE FROM {name}")
    assert as_role(house, "reader", "SELECT * FROM pg_stats WHERE schemaname = 'segjob'") == []


def test_the_analyst_changes_nothing_through_a_view(house: House, objects: dict[tuple[str, str], list[str]]) -> None:
    for view in objects["segments", "v"]:
        for statement in (f"INSERT INTO {view} DEFAULT VALUES", f"DELETE FROM {view}"):
            with pytest.raises((InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)) as caught:
                as_role(house, "reader", statement)
            assert "permission denied" in str(caught.value) or "cannot" in str(caught.value)
        refused(house, "reader", f"LOCK TABLE {view} IN ACCESS EXCLUSIVE MODE")


NO_JOB = (
    "SET ROLE {owner}",
    "CREATE SCHEMA mine",
    "CREATE TABLE segments.mine (id int)",
    "CREATE OR REPLACE VIEW segments.run AS SELECT 1 AS one",
    "DROP VIEW segments.mall CASCADE",
    "ALTER FUNCTION segments.mall_assign(jsonb) SET search_path = public",
    "CREATE OR REPLACE FUNCTION segments.mall_assign(jsonb) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "UPDATE segjob.alembic_version SET version_num = '0000'",
    "DELETE FROM segjob.alembic_version",
    "TRUNCATE segjob.published",
    "DROP TABLE segjob.version CASCADE",
    "ALTER TABLE segjob.run ADD COLUMN more int",
    "ALTER SCHEMA segjob RENAME TO mine",
)


@pytest.mark.parametrize("statement", NO_JOB)
def test_the_job_fills_tables_and_changes_no_object_of_the_owner(house: House, statement: str) -> None:
    refused(house, "job", statement.format(owner=house.role("owner")))


def test_the_job_owns_labels_history_and_samples_and_nothing_else(house: House) -> None:
    owned = as_role(
        house,
        "job",
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'S') AND relowner = current_user::regrole",
    )
    names = {re.sub(r"[$#].*", "", name) for (name,) in owned}
    assert names == {"label_mall", "membership_mall", "sample_row"}


def test_no_partition_is_granted_to_anybody(house: House) -> None:
    with psycopg.connect(house.url) as superuser:
        rows = superuser.execute("""
            SELECT c.oid::regclass::text, a.grantee::regrole::text
            FROM pg_class AS c, aclexplode(c.relacl) AS a
            WHERE (c.relispartition OR c.relname LIKE '%$%') AND c.relkind = 'r' AND a.grantee <> c.relowner
        """).fetchall()
        (n_parts,) = superuser.execute(
            "SELECT count(*) FROM pg_class WHERE relname LIKE 'label_mall$_'"
        ).fetchone() or (0,)
    assert rows == []
    assert n_parts == 3


def test_nothing_of_ours_is_open_to_everybody(house: House) -> None:
    with psycopg.connect(house.url) as superuser:
        superuser.execute("CREATE ROLE stranger")
        superuser.execute("SET ROLE stranger")
        rows = superuser.execute("""
            SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE nspname IN ('segments', 'segjob') AND relkind IN ('r', 'p', 'v', 'S')
                AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
        """).fetchall()
        for schema in ("segments", "segjob"):
            with pytest.raises(InsufficientPrivilege), superuser.transaction():
                superuser.execute(f"SELECT {schema}.anything()".encode())
        superuser.rollback()
    assert rows == []


# The commands


@pytest.mark.parametrize("role", ["reader", "job"])
@pytest.mark.parametrize("command", ["migrate", "drop mall --yes"])
def test_only_the_owner_makes_and_removes(house: House, role: str, command: str) -> None:
    done = house.call(role, *command.split())
    assert done.returncode == 77, done.stdout
    assert "up to date" not in done.stdout


@pytest.mark.parametrize(
    "command", ["run mall", "score mall", "rollback mall", "publish mall 2", "prune mall", "forget mall 3", "check"]
)
def test_a_command_that_writes_is_refused_to_an_analyst_and_leaves_no_trace(house: House, command: str) -> None:
    before = as_role(house, "job", "SELECT count(*), max(run_id) FROM segments.run")
    done = house.call("reader", *command.split(), "--json")
    assert done.returncode == 77, done.stderr
    assert json.loads(done.stdout)["error"]["exit_code"] == 77
    assert as_role(house, "job", "SELECT count(*), max(run_id) FROM segments.run") == before


def test_the_analyst_asks_for_the_status(house: House) -> None:
    assert "mall" in house.succeed("reader", "status")
    assert "superseded" in house.succeed("reader", "versions", "mall")
