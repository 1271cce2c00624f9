"""Several sessions at once: all or none, no faster than the caller takes the rows, and gone when it has gone."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import psycopg
import pyarrow as pa
import pytest
from psycopg.conninfo import make_conninfo

from segjob.errors import DatabaseUnavailable, DataError, InternalError, Stopped
from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading import ranges, replies, streams
from segjob.postgres.reading.columns import ReadPlan, plan_read
from segjob.postgres.reading.libpq import LibpqWire
from segjob.postgres.reading.read import read_bulk
from segjob.postgres.reading.snapshot import hold
from segjob.postgres.reading.source import describe
from segjob.postgres.reading.streams import open_wire
from segjob.postgres.reading.wire import SocketWire, Wire
from segjob.postgres.writing.wire import SocketWriter, Writer, writer_for
from segjob.records.source import FeatureSpec, SourceSpec
from tests.integration.reading import reading_threads, sessions
from tests.waiting import wait_until

N_ROWS = 200_000
SHOP = f"""
CREATE TABLE public.customer AS
SELECT i AS id, i::float8 AS amount, repeat('n', 60) AS note FROM generate_series(1, {N_ROWS}) AS i;
ANALYZE public.customer
"""


@pytest.fixture
def shop(connection: psycopg.Connection, database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A table that counts as large."""
    monkeypatch.setattr(ranges, "UNDIVIDED_BYTES", 0)
    monkeypatch.setattr(ranges, "LEAST_BYTES", 2**20)
    connection.execute(SHOP)
    return database


@pytest.fixture(params=[SocketWire, LibpqWire])
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to the server's messages."""
    monkeypatch.setattr(streams, "open_wire", request.param)


def plan(database: Database, where: str | None = None) -> ReadPlan:
    with database.begin() as connection:
        description = describe(connection, SourceSpec(relation="public.customer", where=where))
    return plan_read(description, ["id"], [FeatureSpec("amount"), FeatureSpec("note", onehot=True)])


def test_every_session_reads(shop, connection, wire):
    wanted = plan(shop)
    n_rows = 0
    with hold(shop, wanted) as snapshot, closing(read_bulk(shop, snapshot, wanted, 3)) as batches:
        n_rows += next(batches).num_rows
        wait_until(lambda: sessions(connection, "query LIKE '%COPY%ctid%'") == 3)
        n_rows += sum(batch.num_rows for batch in batches)
        wait_until(lambda: sessions(connection) == 2)
    assert n_rows == N_ROWS
    assert reading_threads() == []


@pytest.mark.skipif(sys.platform != "linux", reason="threads are not scheduled one by one here")
def test_who_reads_takes_no_core_from_a_server_that_sends(shop, monkeypatch):
    found: list[int] = []
    read_all = streams.read_all

    def looking(*arguments: Any) -> None:
        found.append(os.sched_getscheduler(0))
        read_all(*arguments)

    monkeypatch.setattr(streams, "read_all", looking)
    before, wanted = os.sched_getscheduler(0), plan(shop)
    with hold(shop, wanted) as snapshot:
        assert sum(batch.num_rows for batch in read_bulk(shop, snapshot, wanted, 2)) == N_ROWS
    assert found == [os.SCHED_BATCH] * 2
    assert os.sched_getscheduler(0) == before


def test_where_threads_may_not_be_scheduled_so_they_read_as_they_are(shop, monkeypatch):
    def refuse(*_: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    wanted = plan(shop)
    with hold(shop, wanted) as snapshot:
        assert sum(batch.num_rows for batch in read_bulk(shop, snapshot, wanted, 2)) == N_ROWS


def settled(measure: Callable[[], int]) -> int:
    """What is measured once ten looks see the same: a thread may be about to hand over what it has decoded."""
    seen: list[int] = []

    def has_settled() -> bool:
        seen.append(measure())
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    wait_until(has_settled)
    return seen[-1]


def test_a_slow_caller_makes_the_server_wait(shop, connection, wire, monkeypatch):
    if not connection.info.host.startswith("/"):
        pytest.skip("on the way to another machine or a container, the kernels hold more than the whole table")
    monkeypatch.setattr(replies, "BUFFER_BYTES", 2**16)
    wanted = plan(shop)
    with hold(shop, wanted) as snapshot, closing(read_bulk(shop, snapshot, wanted, 2)) as batches:
        next(batches)
        wait_until(lambda: sessions(connection, "wait_event = 'ClientWrite'") == 2)
        held = settled(pa.total_allocated_bytes)
        time.sleep(0.3)  # in which a server that did not wait would send all of it
        assert sessions(connection, "wait_event = 'ClientWrite'") == 2
        assert pa.total_allocated_bytes() == held
        assert sum(batch.num_rows for batch in batches) > N_ROWS / 2


def test_an_error_in_one_part_ends_all(shop, connection, wire):
    wanted = plan(shop, where=f"1 / (id - {N_ROWS // 2}) < 2")
    began = time.monotonic()
    with hold(shop, wanted) as snapshot:
        with pytest.raises(DataError, match="division by zero"):
            for _ in read_bulk(shop, snapshot, wanted, 3):
                pass
        assert reading_threads() == []
        wait_until(lambda: sessions(connection) == 2)
    assert time.monotonic() - began < 5


def test_a_session_that_is_killed_among_others_ends_all(shop, connection, wire):
    wanted = plan(shop)
    with hold(shop, wanted) as snapshot, closing(read_bulk(shop, snapshot, wanted, 3)) as batches:
        next(batches)
        wait_until(lambda: sessions(connection, "query LIKE '%COPY%ctid%'") == 3)
        connection.execute(
            "SELECT pg_terminate_backend(max(pid)) FROM pg_stat_activity WHERE query LIKE '%COPY%ctid%'"
            " AND pid <> pg_backend_pid() AND datname = current_database()"
        )
        with pytest.raises(DatabaseUnavailable):
            for _ in batches:
                pass


def test_a_session_too_many_is_done_without(shop, connection, database_url, wire):
    role = f"reader_{uuid4().hex}"
    connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'canary' CONNECTION LIMIT 3")
    connection.execute(f"GRANT SELECT ON public.customer TO {role}")
    reasons: list[str] = []
    try:
        reader = Database(make_conninfo(database_url, user=role, password="canary"))
        wanted = plan(reader)
        with hold(reader, wanted) as snapshot:
            n_rows = sum(batch.num_rows for batch in read_bulk(reader, snapshot, wanted, 3, reasons.append))
        assert n_rows == N_ROWS
        refused = [reason for reason in reasons if reason != streams.ROW_BY_ROW]
        assert len(refused) == 2
        assert all("a session could not be opened" in reason and "too many connections" in reason for reason in refused)
    finally:
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


class Tampered:
    """A wire that changes what the server says."""

    def __init__(self, wire: Wire, said: bytes, heard: bytes) -> None:
        self.connection = wire.connection
        self.send = wire.send
        self.close = wire.close
        self._wire, self._said, self._heard = wire, said, heard

    def read_into(self, space: memoryview, fully: bool) -> int:
        n_bytes = self._wire.read_into(space, fully)
        space[:n_bytes] = bytes(space[:n_bytes]).replace(self._said, self._heard)
        return n_bytes


def tampered(monkeypatch: pytest.MonkeyPatch, said: bytes, heard: bytes) -> None:
    monkeypatch.setattr(streams, "open_wire", lambda connection: Tampered(open_wire(connection), said, heard))


@pytest.mark.parametrize(
    ("said", "heard", "meaning"),
    [
        (b"COPY 100\0", b"COPY 101\0", "the server sent 101 rows and 100 arrived"),
        (b"d\0\0\0\6\xff\xff", b"d\0\0\0\6\xff\xfe", "has no place among rows"),
        (b"Z\0\0\0\5T", b"x\0\0\0\5T", "has no place among rows"),
        (b"\0\0\0\x04\0\0", b"\0\0\0\x05\0\0", "not what was asked for"),
    ],
)
def test_rows_that_are_not_as_counted_or_sent_are_no_success(shop, monkeypatch, said, heard, meaning):
    tampered(monkeypatch, said, heard)
    wanted = plan(shop, where="id <= 100")
    with hold(shop, wanted) as snapshot, pytest.raises(InternalError, match=meaning):
        list(read_bulk(shop, snapshot, wanted, 1))
    assert reading_threads() == []


def test_what_the_server_says_in_between_is_passed_over(shop, connection):
    connection.execute("""
        CREATE FUNCTION public.talk(id int) RETURNS float8 LANGUAGE plpgsql AS
        $$
            BEGIN
                RAISE NOTICE 'row % ', id;
                PERFORM set_config('application_name', 'talk' || id, true);
                RETURN id;
            END
        $$;
        CREATE VIEW public.talking AS SELECT id, public.talk(id) AS amount FROM public.customer WHERE id <= 1000
    """)
    with shop.begin() as session:
        wanted = plan_read(describe(session, SourceSpec(relation="public.talking")), ["id"], [FeatureSpec("amount")])
    with hold(shop, wanted) as snapshot:
        table = pa.Table.from_batches(read_bulk(shop, snapshot, wanted))
    assert sorted(table.column("k:id").to_pylist()) == list(range(1, 1001))


def test_a_statement_too_long_to_send_ahead_is_sent_in_its_turn(shop, monkeypatch, wire):
    monkeypatch.setattr(streams, "SENT_AHEAD", 0)
    wanted = plan(shop)
    with hold(shop, wanted) as snapshot:
        assert sum(batch.num_rows for batch in read_bulk(shop, snapshot, wanted, 2)) == N_ROWS


def test_a_signal_ends_all_sessions_while_the_caller_waits(shop, connection, wire):
    def stop(*_: object) -> None:
        raise Stopped("SIGALRM")

    connection.execute("CREATE VIEW public.slow AS SELECT id, amount, pg_sleep(60)::text AS note FROM public.customer")
    with shop.begin() as session:
        description = describe(session, SourceSpec(relation="public.slow"))
    wanted = plan_read(description, ["id"], [FeatureSpec("note", onehot=True)])
    before = signal.signal(signal.SIGALRM, stop)
    try:
        with hold(shop, wanted) as snapshot:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            began = time.monotonic()
            with pytest.raises(Stopped):
                next(iter(read_bulk(shop, snapshot, wanted, 3)))
            assert time.monotonic() - began < 1.3
            assert reading_threads() == []
            wait_until(lambda: sessions(connection) == 2)
    finally:
        signal.signal(signal.SIGALRM, before)


class Encrypted:
    """What libpq says of a connection that is encrypted."""

    def __init__(self, connection: psycopg.Connection, **facts: bool) -> None:
        self._pgconn = connection.pgconn
        self._facts = facts

    def __getattr__(self, name: str) -> object:
        return self._facts[name] if name in self._facts else getattr(self._pgconn, name)


@pytest.fixture
def opened(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url) as connection:
        yield connection


@pytest.mark.parametrize(
    ("facts", "kind"), [({}, SocketWire), ({"ssl_in_use": True}, LibpqWire), ({"used_gssapi": True}, LibpqWire)]
)
def test_libpq_reads_what_is_encrypted(opened, facts, kind, monkeypatch):
    monkeypatch.setattr(opened, "pgconn", Encrypted(opened, **facts))
    wire = open_wire(opened)
    assert isinstance(wire, kind)
    monkeypatch.undo()
    wire.close()


@pytest.mark.parametrize(
    ("facts", "kind"), [({}, SocketWriter), ({"ssl_in_use": True}, Writer), ({"used_gssapi": True}, Writer)]
)
def test_libpq_writes_what_is_encrypted(opened, facts, kind, monkeypatch):
    with opened.cursor() as cursor:
        monkeypatch.setattr(opened, "pgconn", Encrypted(opened, **facts))
        assert type(writer_for(cursor)) is kind
        monkeypatch.undo()
