"""Who is to be forgotten is nowhere any more: in no table, index or statistic of ours, and in no file of these."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from segjob.config import load
from segjob.errors import TryAgain
from segjob.job import forgetting
from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import hold_lock
from segjob.postgres.removing import scrubbing
from segjob.progress import Progress
from tests import servers
from tests.acceptance.conftest import write_configuration
from tests.command import run_segjob

pytestmark = pytest.mark.long

Segjob = Callable[..., "subprocess.CompletedProcess[str]"]
Document = Callable[..., Any]

CUSTOMERS = """
CREATE TABLE public.person (
    email text PRIMARY KEY, shop bigint NOT NULL, number bigint NOT NULL, spent float8, UNIQUE (shop, number)
);
INSERT INTO public.person
SELECT
    'marked, "person" ' || lpad(i::text, 4, '0') || '@example.org',
    81985529216486895 + i / 100,
    1311768467463790320 + i,
    i % 2 * 100 + i % 7
FROM generate_series(1, 1000) AS i
"""
SHARED = {"source": "public.person", "features": ["spent"], "n_clusters": 2}
SEGMENTATIONS = {
    "mail": {**SHARED, "key": "email"},
    "number": {**SHARED, "key": "number"},
    "pair": {**SHARED, "key": ["shop", "number"]},
}
RELATIONS = """
SELECT c.oid::regclass::text, c.relkind, pg_relation_filepath(c.oid)
FROM pg_class c WHERE c.relnamespace IN ('segjob'::regnamespace, 'segments'::regnamespace)
"""
STATISTICS = """
SELECT count(*) FROM pg_statistic s JOIN pg_class c ON c.oid = s.starelid
WHERE c.relnamespace = 'segjob'::regnamespace
    AND strpos(concat(stavalues1, stavalues2, stavalues3, stavalues4, stavalues5), %s) > 0
"""


@pytest.fixture(scope="module")
def labelled(
    server_url: str, server_connection: psycopg.Connection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a database whose customers were labelled under three keys, twice under one; tests take copies."""
    folder = tmp_path_factory.mktemp("labelled")
    write_configuration(folder, SEGMENTATIONS)
    with servers.fresh_database(server_url, server_connection) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(CUSTOMERS)
        for command in ("migrate", "run --all"):
            done = run_segjob(folder, url, *command.split())
            assert done.returncode == 0, done.stderr
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE public.person SET spent = 100 - spent WHERE number % 3 = 0")
        assert run_segjob(folder, url, "run", "mail").returncode == 0
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, labelled: str) -> Iterator[str]:
    with servers.fresh_database(server_url, server_connection, labelled) as url:
        yield url


@pytest.fixture(autouse=True)
def _configured(configure: Callable[..., Path]) -> None:
    configure(SEGMENTATIONS)


@pytest.fixture
def somebody(connection: psycopg.Connection) -> tuple[str, int, int]:
    """Who moved, and lies where it is hardest: last on a page of the published labels."""
    row = connection.execute("""
        SELECT p.email, p.shop, p.number FROM public.person AS p
        JOIN (
            SELECT max(ctid) AS last FROM segjob."label_mail$2" GROUP BY (ctid::text::point)[0]
        ) AS page ON true
        JOIN segjob."label_mail$2" AS l ON l.ctid = page.last AND l.email = p.email
        ORDER BY p.number % 3, page.last LIMIT 1
    """).fetchone()
    assert row is not None
    return row


def tables_with(connection: psycopg.Connection, text: str) -> list[str]:
    """Tables and views in one of whose rows the text stands."""
    having = "SELECT FROM {} AS t WHERE strpos(t::text, %s) > 0 LIMIT 1"
    return [
        name
        for name, kind, _ in connection.execute(RELATIONS).fetchall()
        if kind in "rpv" and connection.execute(having.format(name).encode(), [text]).rowcount
    ]


def files_with(connection: psycopg.Connection, marked: bytes) -> list[str]:
    """Tables and indexes in whose files the bytes stand."""
    return [name for name, content in files(connection).items() if marked in content]


def files(connection: psycopg.Connection) -> dict[str, bytes]:
    """What lies on disk of our tables and indexes; nothing where the server's files are out of reach."""
    connection.execute("CHECKPOINT")
    place = connection.execute("SHOW data_directory").fetchone()
    assert place is not None
    paths = {name: Path(place[0]) / path for name, _, path in connection.execute(RELATIONS).fetchall() if path}
    return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}


def has_statistics(connection: psycopg.Connection, text: str) -> bool:
    row = connection.execute(STATISTICS, [text.replace('"', '\\"')]).fetchone()
    return row is not None and row[0] > 0


def customers_now(connection: psycopg.Connection, name: str) -> int:
    row = connection.execute(f"SELECT sum(n_customers_now) FROM segments.{name}_profile".encode()).fetchone()
    assert row is not None
    return int(row[0])


def in_row(text: str) -> str:
    """As a row in text form has it."""
    return text.replace('"', '""')


def test_no_table_index_statistic_or_file_of_ours_holds_who_was_forgotten(
    document: Document, connection: psycopg.Connection, somebody: tuple[str, int, int]
) -> None:
    email = somebody[0]
    assert {'segjob."label_mail$1"', 'segjob."label_mail$2"', "segments.mail"} <= set(
        tables_with(connection, in_row(email))
    )
    of_a_dead_run = 'CREATE TABLE segjob."membership_mail$moves" AS SELECT email FROM segments.mail'
    connection.execute(of_a_dead_run)
    assert len(files_with(connection, email.encode())) in (0, 7)
    before = customers_now(connection, "mail")
    found = document("forget", "mail", email)
    assert (found["n_keys"], found["n_left"]) == (1, 0)
    assert {one["table"] for one in found["tables"]} == {
        "label_mail$1",
        "label_mail$2",
        "membership_mail$2",
        "sample_row",
    }
    assert found["n_rows"] == sum(one["n_rows"] for one in found["tables"]) == 5
    assert tables_with(connection, in_row(email)) == []
    assert files_with(connection, email.encode()) == []
    assert not has_statistics(connection, email)
    assert before - customers_now(connection, "mail") == 1
    differing = connection.execute(
        "SELECT p.segment_id FROM segments.mail_profile p WHERE n_customers_now <>"
        " (SELECT count(*) FROM segments.mail m WHERE m.segment_id = p.segment_id)"
    ).fetchall()
    assert differing == []


def test_everybody_of_a_page_or_of_the_statistics_can_be_forgotten(
    segjob: Segjob, connection: psycopg.Connection, tmp_path: Path
) -> None:
    """Those whose values the statistics hold, and a hundred more, from a file."""
    known = connection.execute(
        "SELECT histogram_bounds::text::text[] FROM pg_stats WHERE tablename = 'label_mail$2' AND attname = 'email'"
    ).fetchone()
    assert known is not None
    assert has_statistics(connection, known[0][5])
    rows = connection.execute(
        "SELECT email, number FROM public.person WHERE mod(number, 7) = 0 OR email = ANY (%s)", known
    )
    chosen = rows.fetchall()
    lines = ["number,email", *(f'{number},"{in_row(email)}"' for email, number in chosen)]
    (tmp_path / "them.csv").write_text("\n".join(lines))
    done = segjob("forget", "mail", "--csv", "them.csv", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_keys"] == len(chosen) > 150
    assert "example.org" not in done.stdout + done.stderr
    contents = {name: content for name, content in files(connection).items() if "mail" in name}
    for email, _ in chosen:
        assert [name for name, content in contents.items() if email.encode() in content] == []
    for email, _ in chosen[:: len(chosen) // 20]:
        assert tables_with(connection, in_row(email)) == []
        assert not has_statistics(connection, email)
    assert connection.execute("SELECT count(*) FROM segments.mail").fetchone() == (1000 - len(chosen),)


@pytest.mark.parametrize("name", ["number", "pair"])
def test_numbers_and_keys_of_several_columns_are_forgotten(
    name: str, document: Document, connection: psycopg.Connection, somebody: tuple[str, int, int]
) -> None:
    _, shop, number = somebody
    marked = number.to_bytes(8, "little")
    assert files_with(connection, marked) == [] or len(files_with(connection, marked)) == 4
    found = document("forget", name, f"{shop},{number}" if name == "pair" else str(number))
    assert {one["table"] for one in found["tables"]} == {f"label_{name}$1", "sample_row"}
    other = "pair" if name == "number" else "number"
    views = {f"segments.{other}", f"segments.{other}_history"}
    theirs = {f"segjob.label_{other}", f'segjob."label_{other}$1"', *views}
    assert set(tables_with(connection, str(number))) == theirs
    assert {one for one in files_with(connection, marked) if f"label_{name}" in one} == set()
    sampled = connection.execute("SELECT segmentation, count(*) FROM segjob.sample_row GROUP BY 1").fetchall()
    assert {(name, 999), (other, 1000)} <= set(sampled)


def test_a_table_that_has_become_empty_keeps_no_statistics(
    document: Document, connection: psycopg.Connection, somebody: tuple[str, int, int]
) -> None:
    """ANALYZE alone would leave them as they were."""
    everybody = [number for (number,) in connection.execute("SELECT number FROM public.person").fetchall()]
    assert document("forget", "number", *map(str, everybody))["n_keys"] == 1000
    assert connection.execute("SELECT count(*) FROM segments.number").fetchone() == (0,)
    assert connection.execute('SELECT count(*) FROM segjob."label_number$1"').fetchone() == (0,)
    row = connection.execute(
        "SELECT count(*) FROM pg_stats WHERE tablename LIKE 'label_number%%' AND attname = 'number'"
        " AND (histogram_bounds IS NOT NULL OR most_common_vals::text NOT IN ('{0}'))"
    ).fetchone()
    assert row == (0,)


def test_nobody_s_key_is_in_a_message_a_log_or_the_books(
    segjob: Segjob, connection: psycopg.Connection, somebody: tuple[str, int, int]
) -> None:
    email, _, number = somebody
    for name, key, code in (
        ("mail", email, 0),
        ("number", f"{number}x", 2),
        ("number", "9" * 30, 2),
        ("pair", email, 2),
    ):
        done = segjob("forget", name, key, "--debug")
        assert done.returncode == code, done.stderr
        assert key not in done.stdout + done.stderr
    rows = connection.execute("SELECT kind, status, r::text FROM segments.run r WHERE kind = 'forget'").fetchall()
    assert [row[:2] for row in rows] == [("forget", "succeeded")]
    assert "example.org" not in rows[0][2]


def test_who_is_not_there_is_forgotten_already(document: Document) -> None:
    found = document("forget", "mail", "nobody")
    assert (found["n_keys"], found["n_rows"], found["tables"], found["n_left"]) == (1, 0, [], 0)


@pytest.mark.parametrize("purpose", ["fit", "score"])
def test_beside_a_run_that_could_bring_them_back_nothing_is_erased(
    purpose: str, segjob: Segjob, database: Database, connection: psycopg.Connection, somebody: tuple[str, int, int]
) -> None:
    with hold_lock(database, "mail", purpose):
        assert segjob("forget", "mail", somebody[0]).returncode == 75
    assert connection.execute("SELECT count(*) FROM segments.mail").fetchone() == (1000,)


def test_a_transaction_that_was_open_before_is_waited_for_and_the_next_time_finishes(
    document: Document,
    database: Database,
    connection: psycopg.Connection,
    somebody: tuple[str, int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    email = somebody[0]
    monkeypatch.setenv("DATABASE_URL", database.conninfo)
    monkeypatch.setattr(forgetting, "SNAPSHOT_DEADLINE", 0.3)
    settings = load(tmp_path / "segjob.yaml")
    with psycopg.connect(database.conninfo) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert reader.execute("SELECT count(*) FROM segments.mail").fetchone() == (1000,)
        with pytest.raises(TryAgain, match="give the same command again"):
            forgetting.forget_customers(database, settings, "mail", [[email]], Progress("mail"))
        assert connection.execute("SELECT count(*) FROM segments.mail").fetchone() == (999,)
        assert reader.execute("SELECT count(*) FROM segments.mail").fetchone() == (1000,)
    last = connection.execute("SELECT status, exit_code FROM segments.run ORDER BY run_id DESC LIMIT 1").fetchone()
    assert last == ("failed", 75)
    assert document("forget", "mail", email)["n_left"] == 0
    assert [one for one in files_with(connection, email.encode()) if "idx" in one or "pkey" in one] == []
    assert not has_statistics(connection, email)


def test_readers_never_wait(document: Document, database_url: str, somebody: tuple[str, int, int]) -> None:
    done, slowest, seen = threading.Event(), [0.0], set()

    def watch() -> None:
        with psycopg.connect(database_url, autocommit=True) as reader:
            while not done.is_set():
                began = time.monotonic()
                seen.add(reader.execute("SELECT count(*) FROM segments.mail").fetchone())
                slowest[0] = max(slowest[0], time.monotonic() - began)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        document("forget", "mail", somebody[0])
    finally:
        done.set()
        watching.join()
    assert seen == {(1000,), (999,)}
    assert slowest[0] < 1


def test_an_index_that_was_left_unfinished_goes(database: Database, connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE segjob.t (id int)")
    connection.execute("INSERT INTO segjob.t VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY unfinished ON segjob.t (id)")
    with database.autocommit() as session:
        scrubbing.reindex(session, "segjob.t")
    assert connection.execute("SELECT FROM pg_index WHERE NOT indisvalid").fetchall() == []
