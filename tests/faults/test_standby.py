"""The customers are read from a standby, and everything else is done on its primary."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from segjob.postgres.standby import Replay
from tests.acceptance.conftest import MALL, write_configuration
from tests.command import run_segjob
from tests.conftest import load_mall
from tests.faults.standby import AT_ONCE, GATE, Pair, closed_gate, pair, waits_at_the_gate
from tests.waiting import wait_until

SECONDS = 60.0  # for what a process does on a machine that has much to do
THROUGH_THE_GATE = MALL | {"where": f"pg_catalog.pg_advisory_xact_lock_shared({GATE}) IS NOT NULL"}


class Project:
    """A database with the mall on the primary, and a configuration that reads it on the standby."""

    def __init__(self, servers: Pair, name: str, folder: Path) -> None:
        self.servers, self.name, self.folder = servers, name, folder

    def configure(self, **keys: Any) -> None:
        source_url = self.servers.standby.url_of(self.name)
        write_configuration(self.folder, {"mall": MALL | keys}, source_url=source_url)

    def segjob(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_segjob(self.folder, self.servers.primary.url_of(self.name), *arguments)

    def document(self, *arguments: str) -> Any:
        done = self.segjob(*arguments, "--json")
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def execute(self, statement: str) -> list[Any]:
        with self.servers.primary.connect(self.name) as session:
            done = session.execute(statement.encode())
            return done.fetchall() if done.description else []

    def change(self, statement: str) -> None:
        """Do something on the primary, and wait until the standby has repeated it."""
        self.execute(statement)
        self.servers.catch_up()


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    with pair() as servers:
        yield servers


@pytest.fixture
def project(servers: Pair, mall_csv: Path, tmp_path: Path) -> Iterator[Project]:
    name = f"test_{uuid4().hex}"
    servers.primary.make_database(name)
    with servers.primary.connect(name) as session:
        load_mall(session, mall_csv)
    servers.catch_up()
    made = Project(servers, name, tmp_path)
    made.configure()
    done = made.segjob("migrate")
    assert done.returncode == 0, done.stderr
    yield made
    servers.primary.drop_database(name)


# What is read


def test_the_customers_come_from_the_standby_as_it_is_and_the_results_go_to_the_primary(project: Project) -> None:
    (before,) = project.execute("SELECT now()")[0]
    project.servers.catch_up()
    with project.servers.paused():
        project.execute("DELETE FROM public.mall_customer WHERE customer_id > 150")
        assert project.document("run", "mall")["n_customers"] == 200
        ((n_labels, data_as_of),) = project.execute(
            "SELECT (SELECT count(*) FROM segments.mall), data_as_of FROM segments.segmentation"
        )
        assert n_labels == 200
        assert data_as_of <= before
    project.servers.catch_up()
    assert project.document("score", "mall")["n_left"] == 50
    assert project.document("run", "mall")["n_customers"] == 150
    ((status,),) = project.execute("SELECT DISTINCT status FROM segments.run")
    assert status == "succeeded"


def test_a_standby_that_has_nothing_to_repeat_is_not_behind(project: Project) -> None:
    project.servers.catch_up()
    ((before,),) = project.execute("SELECT clock_timestamp()")
    project.document("run", "mall")
    ((data_as_of,),) = project.execute("SELECT data_as_of FROM segments.version")
    assert data_as_of >= before


def test_how_far_a_standby_is_behind_is_told_from_a_minute_on() -> None:
    then = datetime(2026, 10, 31, 23, 59, 30, tzinfo=UTC)
    sentence = "the standby was 61 s behind: the customers are those of 2026-10-31 23:59 UTC"
    assert Replay(True, then, 61.2).warnings == [sentence]
    assert Replay(True, then, 59.9).warnings == []
    assert Replay(True, None, 0.0).warnings == []


def test_check_looks_at_both_servers(project: Project) -> None:
    def of(what: str) -> tuple[str, str]:
        (row,) = [row for row in project.document("check")["checks"] if row["check"] == what]
        return row["result"], row["message"]

    result, said = of("source's connection")
    assert (result, said.endswith("; a standby, 0 s behind")) == ("ok", True)
    assert "hot_standby_feedback" in of("standby")[1]
    with project.servers.set_on_standby(hot_standby_feedback="on"), pytest.raises(ValueError, match="unpack"):
        of("standby")


def test_what_is_wrong_with_the_source_s_url_is_said_of_it(project: Project) -> None:
    nothing_there = project.servers.standby.url_of("nothing_there").replace("postgres@", "postgres:canary@")
    write_configuration(project.folder, {"mall": MALL}, source_url=nothing_there)
    done = project.segjob("run", "mall")
    assert (done.returncode, "can not connect as database.source_url says" in done.stderr) == (78, True)
    assert "canary" not in done.stderr
    assert project.execute("SELECT count(*) FROM segments.run") == [(0,)]


def test_a_fit_loses_nobody_whom_scoring_labelled_meanwhile(project: Project) -> None:
    project.document("run", "mall")
    with project.servers.primary.connect(project.name) as holder, ThreadPoolExecutor(1) as pool:
        with holder.transaction():
            holder.execute("LOCK TABLE segjob.centroid IN SHARE MODE")  # a fit writes there, and `score` does not
            fit = pool.submit(project.document, "run", "mall")
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'segjob.centroid'::regclass"
            with project.servers.primary.connect(project.name) as session:
                wait_until(lambda: session.execute(waiting.encode()).fetchone() == (1,), SECONDS)
            project.change("INSERT INTO public.mall_customer VALUES (1001, 'Female', 40, 20, 90)")
            project.change("DELETE FROM public.mall_customer WHERE customer_id = 7")
            scored = project.document("score", "mall")
            assert (scored["n_came"], scored["n_left"]) == (1, 1)
        done = fit.result()
    ((version_id, n_new, n_gone),) = project.execute(
        "SELECT version_id, count(*) FILTER (WHERE customer_id = 1001), count(*) FILTER (WHERE customer_id = 7)"
        " FROM segments.mall GROUP BY 1"
    )
    assert (version_id, n_new, n_gone) == (done["version_id"], 1, 0)


# Conflicts


@contextmanager
def run_at_the_gate(project: Project) -> Iterator[tuple[Any, Callable[[], None], psycopg.Connection]]:
    """A run that waits while it reads; with what lets it go on, and a session on the standby."""
    project.configure(**THROUGH_THE_GATE)
    with ExitStack() as held:
        held.enter_context(project.servers.set_on_standby(max_standby_streaming_delay=AT_ONCE))
        pool = held.enter_context(ThreadPoolExecutor(1))
        open_gate = held.enter_context(closed_gate(project.servers.standby, project.name))
        session = held.enter_context(project.servers.standby.connect(project.name))
        running = pool.submit(project.segjob, "run", "mall", "--json")
        wait_until(lambda: waits_at_the_gate(session), SECONDS)
        yield running, open_gate, session


CONFLICTS = pytest.mark.parametrize(
    "disturb",
    [
        pytest.param("UPDATE public.mall_customer SET age = age; VACUUM public.mall_customer", id="snapshot"),
        pytest.param("VACUUM FULL public.mall_customer", id="lock"),
    ],
)
