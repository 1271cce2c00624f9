"""Reading while something is wrong with the server, or while somebody stops it."""

from __future__ import annotations

import gc
import signal
import time
import traceback
from collections.abc import Generator, Iterator
from contextlib import closing

import pyarrow as pa
import pytest
from psycopg.conninfo import make_conninfo

from segjob.errors import ConfigurationError, DatabaseUnavailable, NotPermitted, Stopped, TryAgain
from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading.read import read_bulk
from segjob.postgres.reading.snapshot import hold
from tests.integration.reading import READERS, all_of, read_by_libpq, reading_threads, series, sessions
from tests.waiting import wait_until

# What is wrong with the server


@READERS
def test_a_session_that_is_killed_is_no_short_success(database, connection, read):
    wanted = series(database, 2_000_000)
    with hold(database, wanted) as snapshot, closing(read(database, snapshot, wanted)) as batches:
        next(batches)
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid NOT IN (pg_backend_pid(), %s) AND query NOT LIKE '%%pg_export_snapshot%%'",
            [snapshot.guard.info.backend_pid],
        )
        with pytest.raises(DatabaseUnavailable):
            for _ in batches:
                pass


@READERS
def test_a_statement_timeout_is_for_another_try(database, connection, read):
    connection.execute("""
        DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = 300', current_database()); END $$
    """)
    with pytest.raises(TryAgain, match="57014"):
        all_of(database, read, series(database, 10, "(x + length(pg_sleep(0.2)::text))::float8"))


@READERS
def test_a_snapshot_that_is_gone_is_for_another_try(database, connection, read):
    wanted = series(database, 10)
    with hold(database, wanted) as snapshot:
        pass
    wait_until(lambda: sessions(connection) == 0)
    with pytest.raises(TryAgain, match="the session that held the snapshot is gone"):
        list(read(database, snapshot, wanted))


@READERS
def test_a_source_that_writes_is_refused(database, connection, read):
    connection.execute("CREATE SEQUENCE public.counter")
    with pytest.raises(ConfigurationError, match="read-only transaction"):
        all_of(database, read, series(database, 10, "nextval('public.counter')"))


@READERS
def test_a_server_that_is_gone_is_unavailable_and_no_password_is_told(database, read):
    wanted = series(database, 10)
    nowhere = Database("postgresql://somebody:canary@127.0.0.1:1/shop", deadline=0.1)
    with hold(database, wanted) as snapshot, pytest.raises(DatabaseUnavailable) as raised:
        list(read(nowhere, snapshot, wanted))
    assert "canary" not in "".join(traceback.format_exception(raised.value))


def test_a_wrong_password_is_not_permitted(database, database_url):
    wanted = series(database, 10)
    wrong = Database(make_conninfo(database_url, password="canary"), deadline=5)
    with hold(database, wanted) as snapshot, pytest.raises(NotPermitted) as raised:
        list(read_bulk(wrong, snapshot, wanted))
    assert "canary" not in "".join(traceback.format_exception(raised.value))


# Stopping early


@READERS
@pytest.mark.parametrize("way", ["closed", "abandoned", "broken"])
def test_who_stops_early_leaves_no_session_and_no_thread(database, connection, read, way):
    wanted = series(database, 3_000_000)
    with hold(database, wanted) as snapshot:
        batches: Iterator[pa.RecordBatch] | None = read(database, snapshot, wanted)
        assert batches is not None
        next(batches)
        assert sessions(connection) == 3
        if way == "closed":
            assert isinstance(batches, Generator)
            batches.close()
        elif way == "broken":
            assert isinstance(batches, Generator)
            with pytest.raises(Stopped):
                batches.throw(Stopped("SIGTERM"))
        batches = None
        gc.collect()
        wait_until(lambda: sessions(connection) == 2)
        assert reading_threads() == []


@pytest.mark.parametrize("read", [read_bulk, read_by_libpq])
def test_a_signal_is_heard_while_the_server_computes(database, connection, read):
    def stop(*_):
        raise Stopped("SIGTERM")

    wanted = series(database, 3, "(x + length(pg_sleep(60)::text))::float8")
    before = signal.signal(signal.SIGALRM, stop)
    try:
        with hold(database, wanted) as snapshot:
            began = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(Stopped):
                next(iter(read(database, snapshot, wanted)))
            assert time.monotonic() - began < 1.5
            wait_until(lambda: sessions(connection) == 2)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert reading_threads() == []


@READERS
def test_a_read_leaves_nothing_behind(database, connection, read):
    all_of(database, read, series(database, 1000))
    wait_until(lambda: sessions(connection) == 0)
    assert reading_threads() == []
