"""The customers are read from a standby, and everything else is done on its primary."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from segjob.postgres.reading.standby import Replay
from tests.acceptance.conftest import MALL, write_configuration
from tests.command import run_segjob
from tests.conftest import load_mall
from tests.faults.standby import AT_ONCE, SECONDS, THROUGH_THE_GATE, Gate, Pair, closed_gate, pair
from tests.waiting import wait_until

SLOWLY = {"where": THROUGH_THE_GATE}


class Project:
    """A database with the mall on the primary, and a configuration that reads it on the standby."""

    def __init__(self, servers: Pair, name: str, folder: Path) -> None:
        self.servers, self.name, self.folder = servers, name, folder

    def configure(self, **keys: Any) -> None:
        source_url = self.servers.standby.url_of(self.name)
        write_configuration(self.folder, {"mall": MALL | keys}, source_url=source_url)

    def segjob(self, *arguments: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
        return run_segjob(self.folder, url or self.servers.primary.url_of(self.name), *arguments)

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


@pytest.fixture(scope="module")
def migrated(servers: Pair, mall_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with the mall and the two schemas; tests take copies of it."""
    servers.primary.make_database("migrated")
    with servers.primary.connect("migrated") as session:
        load_mall(session, mall_csv)
    servers.catch_up()
    made = Project(servers, "migrated", tmp_path_factory.mktemp("migrated"))
    made.configure()
    done = made.segjob("migrate")
    assert done.returncode == 0, done.stderr
    return made.name


@pytest.fixture
def project(servers: Pair, migrated: str, tmp_path: Path) -> Iterator[Project]:
    name = f"test_{uuid4().hex}"
    servers.primary.make_database(name, migrated)
    servers.catch_up()
    made = Project(servers, name, tmp_path)
    made.configure()
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


def test_results_can_not_go_to_a_standby(project: Project) -> None:
    done = project.segjob("run", "mall", url=project.servers.standby.url_of(project.name))
    assert (done.returncode, "database.url has to be a server that can be written to" in done.stderr) == (78, True)


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


# Conflicts: what the primary did is in the way of who reads


@contextmanager
def run_at_the_gate(project: Project) -> Iterator[tuple[Any, Gate]]:
    """A run that is held up while it reads a standby which waits for nobody."""
    project.configure(**SLOWLY)
    with ExitStack() as held:
        held.enter_context(project.servers.set_on_standby(max_standby_streaming_delay=AT_ONCE))
        pool = held.enter_context(ThreadPoolExecutor(1))
        gate = held.enter_context(closed_gate(project.servers.standby, project.name))
        running = pool.submit(project.segjob, "run", "mall", "--json")
        gate.await_reader()
        yield running, gate


def disturb(project: Project, gate: Gate, in_the_way: str) -> None:
    """Do something on the primary that who reads the standby has to give way to."""
    project.execute("UPDATE public.mall_customer SET age = age + 1")
    project.execute(in_the_way)
    gate.await_end_of_reader()


CONFLICTS = pytest.mark.parametrize(
    "in_the_way",
    [
        pytest.param("VACUUM public.mall_customer", id="rows that are read are removed"),
        pytest.param("BEGIN; LOCK TABLE public.mall_customer; COMMIT", id="the table is locked"),
    ],
)


@CONFLICTS
def test_after_a_conflict_everything_is_read_once_more_with_a_new_snapshot(project: Project, in_the_way: str) -> None:
    with run_at_the_gate(project) as (running, gate):
        project.execute("DELETE FROM public.mall_customer WHERE customer_id > 190")
        disturb(project, gate, in_the_way)
        gate.open()
        done = running.result()
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["n_customers"], document["status"]) == (190, "published")
    (warnings,) = project.execute("SELECT warnings FROM segments.run")
    assert any("read once more" in sentence for sentence in warnings[0])


@CONFLICTS
def test_a_conflict_that_comes_again_ends_the_run_and_what_was_published_stays(
    project: Project, in_the_way: str
) -> None:
    project.document("run", "mall")
    with run_at_the_gate(project) as (running, gate):
        disturb(project, gate, in_the_way)
        gate.await_reader()
        disturb(project, gate, in_the_way)
        done = running.result()
    assert done.returncode == 75, done.stderr
    last = project.execute("SELECT status, exit_code, version_id FROM segments.run ORDER BY run_id DESC LIMIT 1")
    assert last == [("failed", 75, None)]
    assert project.execute("SELECT version_id, count(*) FROM segments.mall GROUP BY 1") == [(1, 200)]
    assert project.document("run", "mall")["version_id"] == 2


def test_a_standby_that_is_restarted_is_read_once_more(project: Project) -> None:
    with run_at_the_gate(project) as (running, _):
        project.servers.restart_standby_at_once()
        done = running.result()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_customers"] == 200


# Who reads the views on a standby

SEEN = """
SELECT
    count(*),
    count(DISTINCT m.version_id),
    min(m.version_id) = (SELECT version_id FROM segments.segmentation),
    (SELECT sum(n_customers_now) FROM segments.mall_profile),
    min(m.version_id)
FROM segments.mall AS m
JOIN segments.mall_profile AS p USING (segment_id)
"""


class Reader(Thread):
    """Asks the standby all the while, and keeps what it saw and what went wrong."""

    def __init__(self, project: Project) -> None:
        super().__init__(daemon=True)
        self.project, self.ended = project, Event()
        self.seen: Counter[tuple[Any, ...]] = Counter()
        self.errors: list[psycopg.Error] = []

    def run(self) -> None:
        with self.project.servers.standby.connect(self.project.name) as session:
            while not self.ended.is_set():
                try:
                    self.seen.update(session.execute(SEEN).fetchall())
                except psycopg.Error as error:
                    self.errors.append(error)
                    return

    def __enter__(self) -> Reader:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join(SECONDS)


def test_readers_see_one_version_or_the_other_while_versions_are_published_and_pruned(project: Project) -> None:
    project.configure(keep_versions=1)
    project.document("run", "mall")
    project.servers.catch_up()
    with Reader(project) as reader, Reader(project) as other:
        for command in (["run", "mall"], ["run", "mall"], ["rollback", "mall"], ["prune", "mall"], ["run", "mall"]):
            project.document(*command)
        project.servers.catch_up()
    assert (reader.errors, other.errors) == ([], [])
    seen = reader.seen + other.seen
    assert {row[:4] for row in seen} == {(200, 1, True, 200)}
    assert len({row[4] for row in seen}) >= 3
    assert seen.total() > 20


def test_with_feedback_a_long_reader_is_cancelled_by_a_detach_and_by_no_publication(project: Project) -> None:
    project.document("run", "mall")
    project.servers.catch_up()
    strictly = project.servers.set_on_standby(max_standby_streaming_delay=AT_ONCE, hot_standby_feedback="on")
    with strictly, project.servers.standby.connect(project.name) as session:
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        before = session.execute(SEEN).fetchone()
        project.servers.await_feedback()
        for _ in range(2):
            project.document("run", "mall", "--no-prune")
        project.servers.catch_up()
        assert session.execute(SEEN).fetchone() == before
        project.document("prune", "mall")
        project.servers.catch_up()
        with pytest.raises(psycopg.OperationalError, match="conflict with recovery"):
            session.execute(SEEN)
