"""Writing while something goes wrong: nothing is left behind, and what a dead run left is cleared away."""

from __future__ import annotations

import errno
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import psycopg
import pyarrow as pa
import pytest

from segjob import threads
from segjob.errors import DatabaseUnavailable, DataError, SegjobError, Stopped
from segjob.postgres.connecting.connect import Database
from segjob.postgres.writing import sending, write
from segjob.postgres.writing.write import Part, completing, drop_orphans, fill_part, new_part
from segjob.records.source import KeyColumn
from tests.integration.parts import CHUNK, MANY, Batches, chunks, labels, leftovers, load_part, new, sessions, stored
from tests.waiting import wait_until


@pytest.fixture
def part(database: Database) -> Part:
    return new(database)


# What goes wrong


def test_a_duplicate_key_is_told_without_naming_the_customer(database, connection, part):
    keys = pa.RecordBatch.from_arrays([pa.array([1, 424242, 424242])], names=["id"])
    with pytest.raises(DataError, match=r"key \(id\) is not unique in the source") as raised:
        load_part(database, part, [(keys, labels(3))], [], 3)
    assert "424242" not in "".join(map(str, chain_of(raised.value)))
    assert leftovers(connection) == []


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize("n_expected", [4999, 5001])
def test_another_number_of_rows_than_expected_is_noticed(database, connection, part, monkeypatch, n_expected):
    monkeypatch.setattr(write, "STREAM_ROWS", CHUNK)
    with pytest.raises(DataError, match=f"{n_expected} customers were read and 5000 written"):
        load_part(database, part, chunks(5000), [], n_expected, 3)
    assert leftovers(connection) == []


def test_nothing_is_committed_before_the_count_is_right(database, connection, part, monkeypatch):
    monkeypatch.setattr(write, "STREAM_ROWS", CHUNK)
    with new_part(database, part):
        with pytest.raises(DataError):
            fill_part(database, part, chunks(5000), [], 5001, 3)
        assert stored(connection, part) == []


@pytest.mark.parametrize("n_before", [0, 1, 30])
def test_a_pass_that_fails_midway_leaves_nothing(database, connection, part, monkeypatch, n_before):
    monkeypatch.setattr(write, "STREAM_ROWS", CHUNK)

    def failing() -> Batches:
        yield from chunks(n_before * CHUNK)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        load_part(database, part, failing(), [], 50 * CHUNK, 2)
    assert leftovers(connection) == []


@pytest.mark.parametrize("n_threads", range(4))
def test_a_thread_for_which_there_is_no_room_ends_the_others(database, connection, part, monkeypatch, n_threads):
    monkeypatch.setattr(write, "STREAM_ROWS", CHUNK)
    asked = count()

    def refuse() -> None:
        if next(asked) >= n_threads:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(threads, "ask_for_room", refuse)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        load_part(database, part, chunks(5000), [], 5000, 2)  # two streams, the key, the statistics
    assert next(asked) == n_threads + 1
    assert leftovers(connection) == []


def test_a_stream_that_is_killed_stops_the_others_and_the_pass(database, connection, part, monkeypatch):
    monkeypatch.setattr(write, "STREAM_ROWS", CHUNK)
    killed: list[int] = []

    def killing() -> Batches:
        for batch in chunks(MANY):
            copying = sessions(connection, "COPY")
            if len(copying) == 2 and not killed:
                wait_until_rows_are_wanted(connection, [pid for pid, *_ in copying])
                killed.append(copying[0][0])
                connection.execute("SELECT pg_terminate_backend(%s)", killed)
            yield batch

    with pytest.raises(DatabaseUnavailable, match="the connection broke while the labels were written"):
        load_part(database, part, killing(), [], MANY, 2)
    assert leftovers(connection) == []


def wait_until_rows_are_wanted(connection: psycopg.Connection, pids: list[int]) -> None:
    """Until every COPY has begun, as its session has been told then, and waits for more."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s) AND wait_event = 'ClientRead'"
    wait_until(lambda: connection.execute(waiting, [pids]).fetchone() == (len(pids),))


def test_a_value_that_the_server_refuses_is_not_repeated(database, connection):
    part = new(database, (KeyColumn("id", "character varying(5)", "text"),))
    keys = pa.RecordBatch.from_arrays([pa.array(["a", "secret-customer"])], names=["id"])
    with pytest.raises(DataError, match="value too long") as raised:
        load_part(database, part, [(keys, labels(2))], [], 2)
    assert "secret" not in str(raised.value)
    assert leftovers(connection) == []


def test_a_table_that_is_in_the_way_is_not_touched(database, connection, part):
    connection.execute(f"CREATE TABLE {part.table} (precious int)".encode())
    with pytest.raises(SegjobError, match="already exists"):
        load_part(database, part, chunks(10), [], 10)
    connection.execute(f"SELECT precious FROM {part.table}".encode())


def test_an_error_beside_the_building_of_the_key_ends_it_and_drops_the_table(database, connection, part):
    def beside() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        load_and_wait(database, connection, part, beside)
    assert leftovers(connection) == []


def test_a_session_that_is_killed_while_it_builds_the_key_is_an_error_of_the_block(database, connection, part):
    def beside() -> None:
        connection.execute("SELECT pg_terminate_backend(%s)", [sessions(connection, "ALTER TABLE")[0][0]])

    with pytest.raises(DatabaseUnavailable, match="terminating connection"):
        load_and_wait(database, connection, part, beside)
    assert leftovers(connection) == []


def load_and_wait(
    database: Database, connection: psycopg.Connection, part: Part, beside: Callable[[], object] = bool
) -> None:
    """Load a part that somebody holds, so that the building of its key waits, and do something beside that."""
    with new_part(database, part):
        fill_part(database, part, chunks(1000), [], 1000)
        with locked(database, part, "ACCESS SHARE"), completing(database, part):
            wait_until(lambda: bool(sessions(connection, "ALTER TABLE")))
            beside()


@contextmanager
def locked(database: Database, part: Part, mode: str) -> Iterator[None]:
    """Somebody else holds the table."""
    with psycopg.connect(database.conninfo) as somebody:
        somebody.execute(f"LOCK TABLE {part.table} IN {mode} MODE".encode())
        yield


# Signals


@contextmanager
def stopped_after(seconds: float) -> Iterator[None]:
    """SIGALRM as SIGTERM is for the command."""

    def stop(*_: object) -> None:
        raise Stopped("stopped")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_signal_is_heard_while_the_server_takes_nothing(database, connection, part, monkeypatch):
    monkeypatch.setattr(write, "STREAM_ROWS", CHUNK)
    monkeypatch.setattr(write, "DISCARD_SECONDS", 0.1)
    with new_part(database, part):
        began = time.monotonic()
        with locked(database, part, "ACCESS EXCLUSIVE"), stopped_after(0.3), pytest.raises(Stopped):
            fill_part(database, part, chunks(2**62), [], 2**62, 2)
        assert time.monotonic() - began < 3
        assert stored(connection, part) == []


def test_a_signal_is_heard_while_the_key_is_built(database, connection, part):
    with stopped_after(0.5), pytest.raises(Stopped):
        load_and_wait(database, connection, part)
    assert leftovers(connection) == []


def test_a_session_whose_server_is_silent_is_broken_off(database, connection):
    """Not even a cancel is answered: the line is cut on our side."""
    session = database.open()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            session.execute("SELECT pg_sleep(60)")
        except psycopg.Error as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: bool(sessions(connection, "SELECT pg_sleep")))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(psycopg.Connection, "cancel_safe", lambda *_, **__: None)
            sending.break_off(session)
        thread.join(5)
        assert not thread.is_alive()
        assert isinstance(failed[0], psycopg.OperationalError)
    finally:
        session.close()
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")


# What a dead run leaves


def test_the_table_of_a_stored_version_is_never_dropped(database, connection, part):
    with pytest.raises(ZeroDivisionError), new_part(database, part):
        failing_after(lambda: store(connection, part))
    assert stored(connection, part) == []


def test_a_table_of_another_run_with_the_same_name_is_not_dropped(database, connection, part):
    swap = f"DROP TABLE {part.table}; CREATE TABLE {part.table} (precious int)"
    with pytest.raises(ZeroDivisionError), new_part(database, part):
        failing_after(lambda: connection.execute(swap.encode()))
    connection.execute(f"SELECT precious FROM {part.table}".encode())


def test_the_next_run_drops_what_a_dead_one_left(database, connection, part):
    keep = Part(part.names, 7, part.keys)
    for one in (part, keep):
        with new_part(database, one):
            pass
    store(connection, keep)
    with database.begin() as session:
        assert drop_orphans(session, part.names) == ["label_mall$1"]
    with database.begin() as session:
        assert drop_orphans(session, part.names) == []


def failing_after(step: Callable[[], object]) -> None:
    step()
    raise ZeroDivisionError


def store(connection: psycopg.Connection, part: Part) -> None:
    """A version's row."""
    connection.execute(
        "INSERT INTO segjob.run (segmentation, kind, program_version, config_hash) VALUES ('mall', 'run', '1', 'c')"
    )
    connection.execute(
        "INSERT INTO segjob.version (segmentation, version_id, run_id, status, data_as_of, n_customers, n_unlabelled,"
        " n_segments, inertia, silhouette_method, silhouette_n_sampled, silhouette_exact, squared_silhouette_method,"
        " squared_silhouette_n_sampled, squared_silhouette_exact, seed, config_hash, grid_exponent, stages)"
        " SELECT 'mall', %s, max(run_id), 'staged', now(), 1, 0, 1, 0, 'euclidean', 1, true, 'squared euclidean', 1,"
        " true, 1, 'c', 0, '[]' FROM segjob.run",
        [part.version_id],
    )


def test_the_version_of_a_dead_run_can_be_made_again(database, connection, part):
    with new_part(database, part):
        pass
    with database.begin() as session:
        drop_orphans(session, part.names)
    load_part(database, part, chunks(10), [], 10)
