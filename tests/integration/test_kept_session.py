"""Transactions that follow one another share a session, and a session that has ended is noticed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import main_thread

import psycopg
import pytest
from sqlalchemy import Connection, text

from segjob.errors import ConfigurationError, Stopped
from segjob.postgres.connecting.connect import Database
from tests.waiting import wait_until


@pytest.fixture
def kept(database: Database) -> Iterator[Database]:
    with database.kept() as one:
        yield one


def process(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_catalog.pg_backend_pid()")).scalar_one())


def process_of(database: Database) -> int:
    with database.begin() as connection:
        return process(connection)


def is_there(connection: psycopg.Connection, pid: int) -> bool:
    return connection.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone() is not None


def test_one_session_serves_one_transaction_after_the_other(kept):
    assert len({process_of(kept) for _ in range(8)}) == 1


def test_without_being_asked_to_it_does_not(database):
    assert len({process_of(database) for _ in range(3)}) == 3


def test_transactions_at_the_same_time_have_a_session_each_of_which_one_stays(kept, connection):
    with kept.begin() as first, kept.begin() as second:
        both = {process(first), process(second)}
    assert len(both) == 2
    stays = process_of(kept)
    assert stays in both
    wait_until(lambda: [pid for pid in both if is_there(connection, pid)] == [stays])


def test_it_ends_with_the_block(database, connection):
    with database.kept() as kept:
        pid = process_of(kept)
    wait_until(lambda: not is_there(connection, pid))


def test_one_that_was_ended_in_between_is_replaced(kept, connection):
    before = process_of(kept)
    connection.execute("SELECT pg_terminate_backend(%s)", [before])
    wait_until(lambda: not is_there(connection, before))
    assert process_of(kept) != before


def test_one_that_a_signal_closed_is_replaced(kept, connection):
    before = process_of(kept)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(signal_in_a_statement, connection, before)
        with pytest.raises(Stopped):
            stop_in_a_statement(kept)
    assert process_of(kept) != before


def signal_in_a_statement(connection: psycopg.Connection, pid: int) -> None:
    """Interrupt the main thread while a session sleeps, before it has its answer."""
    asleep = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
    wait_until(lambda: connection.execute(asleep, [pid]).fetchone() is not None)
    signal.pthread_kill(main_thread().ident or 0, signal.SIGALRM)


def stop_in_a_statement(database: Database) -> None:
    def stop(*_: object) -> None:
        raise Stopped("SIGALRM")

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with database.begin() as connection:
            connection.execute(text("SELECT pg_catalog.pg_sleep(30)"))
    finally:
        signal.signal(signal.SIGALRM, before)


def go_wrong(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE left_behind (x integer)"))
        connection.execute(text("SET LOCAL lock_timeout = '7s'"))
        connection.execute(text("SELECT FROM nowhere.nothing"))


def test_what_went_wrong_leaves_nothing_behind(kept):
    with pytest.raises(ConfigurationError):
        go_wrong(kept)
    with kept.begin() as connection:
        assert connection.execute(text("SELECT to_regclass('pg_temp.left_behind')")).scalar_one() is None
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "1min"


def test_a_table_that_changes_in_between_is_read_as_it_is_now(kept, connection):
    connection.execute("CREATE TABLE public.changing AS SELECT 1 AS a")
    for columns in range(1, 9):
        with kept.begin() as session:
            assert len(session.execute(text("SELECT * FROM public.changing")).one()) == columns
        connection.execute(f"ALTER TABLE public.changing ADD column_{columns} integer".encode())
