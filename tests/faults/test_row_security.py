"""A policy that would hide customers from the job is an error, wherever it lies under the source."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from segjob.errors import NotPermitted
from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading.source import describe
from segjob.records.source import SourceSpec


@pytest.fixture
def job(connection: psycopg.Connection, database_url: str) -> Iterator[str]:
    """The URL of an ordinary role that may read what is in schema public."""
    role, place = f"job_{uuid4().hex[:12]}", urlsplit(database_url)
    connection.execute(f"""
        CREATE ROLE {role} LOGIN PASSWORD 'job';
        GRANT ALL ON SCHEMA public TO {role};
        CREATE TABLE public.customer (id int, country text) PARTITION BY LIST (country);
        CREATE TABLE public.german PARTITION OF public.customer FOR VALUES IN ('DE');
        INSERT INTO public.customer VALUES (1, 'DE'), (2, 'DE');
        GRANT SELECT ON public.customer, public.german TO {role}
    """)
    yield place._replace(netloc=f"{role}:job@{place.netloc.rpartition('@')[2]}").geturl()
    connection.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


HIDE = "ALTER TABLE public.{0} ENABLE ROW LEVEL SECURITY; CREATE POLICY one ON public.{0} USING (id = 1);"
OWN_VIEW = "SET ROLE {role}; CREATE VIEW public.seen AS SELECT * FROM public.{0}; RESET ROLE;"


@pytest.mark.parametrize(
    ("made", "source"),
    [
        (HIDE.format("customer"), "public.customer"),
        (HIDE.format("german"), "public.german"),
        (OWN_VIEW.format("customer", role="{role}") + HIDE.format("customer"), "public.seen"),
        ("ALTER TABLE public.german OWNER TO {role}; ALTER TABLE public.german FORCE ROW LEVEL SECURITY;"
         + HIDE.format("german"), "public.german"),
    ],
    ids=["table", "partition", "view of the role's own", "own table, forced"],
)  # fmt: skip
def test_a_policy_under_the_source_is_noticed(job: str, connection: psycopg.Connection, made: str, source: str) -> None:
    connection.execute(made.format(role=urlsplit(job).username).encode())
    database = Database(job)
    with database.begin() as session, pytest.raises(NotPermitted, match=r"row-level security .*BYPASSRLS"):
        describe(session, SourceSpec(relation=source))


def test_a_view_of_somebody_whom_the_policy_does_not_bind_shows_everybody(
    job: str, connection: psycopg.Connection
) -> None:
    role = urlsplit(job).username
    connection.execute(HIDE.format("customer").encode())
    connection.execute(f"CREATE VIEW public.seen AS TABLE public.customer; GRANT SELECT ON seen TO {role}")
    database = Database(job)
    with database.begin() as session:
        describe(session, SourceSpec(relation="public.seen"))
        assert session.exec_driver_sql("SELECT count(*) FROM public.seen").scalar_one() == 2
