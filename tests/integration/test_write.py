"""The table of a version: several streams, every kind of key, and nothing left behind whatever goes wrong."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from segjob.errors import DatabaseUnavailable, DataError, InternalError, SegjobError, Stopped
from segjob.postgres import sending, write
from segjob.postgres.connect import Database
from segjob.postgres.migrate import Grants, migrate
from segjob.postgres.publish import attach
from segjob.postgres.queries import Names, quote
from segjob.postgres.shapes import Shape
from segjob.postgres.write import Part, completing, drop_orphans, fill_part, load_part, new_part
from segjob.records import FeatureColumn, KeyColumn, Labels

Batches = Iterator[tuple[pa.RecordBatch, Labels]]

BIGINT = (KeyColumn("id", "bigint", "integer"),)
CHUNK = 1000
EVERY_KEY = {
    "smallint": ((KeyColumn("id", "smallint", "integer"),), [pa.array([-32768, 0, 32767], pa.int16())]),
    "integer": ((KeyColumn("id", "integer", "integer"),), [pa.array([-(2**31), 0, 2**31 - 1], pa.int32())]),
    "bigint": (BIGINT, [pa.array([-(2**63), 2**53 + 1, 2**63 - 1])]),
    "uuid": (
        (KeyColumn("id", "uuid", "uuid"),),
        [pa.array([bytes(16), bytes(range(16)), b"\xff" * 16], pa.binary(16))],
    ),
    "text": ((KeyColumn("id", "text", "text"),), [pa.array(["", "a\t\\N\n", "ünïcode ☃ 😀" * 20])]),
    "varchar": ((KeyColumn("id", "character varying(5)", "text"),), [pa.array(["a", "b", "☃☃☃☃☃"])]),
    "composite": (
        (
            KeyColumn('Kunde:"Nr" %s {x};', "text", "text"),
            KeyColumn("select", "smallint", "integer"),
            KeyColumn("v", "character varying(20)", "text"),
            KeyColumn("u", "uuid", "uuid"),
        ),
        [
            pa.array(["", "a", "a"]),
            pa.array([1, 1, 2], pa.int16()),
            pa.array(["", "x", "y" * 20]),
            pa.array([b"\1" * 16, b"\2" * 16, b"\3" * 16], pa.binary(16)),
        ],
    ),
}


def new(database: Database, keys: tuple[KeyColumn, ...] = BIGINT, version_id: int = 1) -> Part:
    """A part whose label table exists."""
    shape = Shape("mall", keys, (FeatureColumn("amount", "double precision", "number"),))
    migrate(database, [shape], Grants())
    return Part(Names(database.schemas, "mall"), version_id, keys)


@pytest.fixture
def part(database: Database) -> Part:
    return new(database)


def labels(n: int, first: int = 0) -> Labels:
    """Labels that tell from which row they are."""
    rows = np.arange(first, first + n)
    segment_id = (rows % 7 + 1).astype(np.int32)
    runner_up = (rows % 5 + 8).astype(np.int32)
    return Labels(segment_id, rows / 3.0, runner_up, (rows / 1e6).astype(np.float32))


def chunks(n: int, size: int = CHUNK) -> Batches:
    for first in range(0, n, size):
        keys = pa.array(range(first, min(n, first + size)), pa.int64())
        yield pa.RecordBatch.from_arrays([keys], names=["id"]), labels(len(keys), first)


def stored(connection: psycopg.Connection, part: Part) -> list[tuple[object, ...]]:
    keys = ", ".join(quote(name) for name in part.key_names)
    return connection.execute(
        f"SELECT {keys}, version_id, segment_id, distance, runner_up_segment_id, simplified_silhouette, reason, feature"
        f" FROM {part.table} ORDER BY distance, {keys}".encode()
    ).fetchall()


def leftovers(connection: psycopg.Connection) -> list[object]:
    """Tables of versions, and sessions of the job; those that end take a moment to do so."""
    found: list[object] = []
    for _ in range(50):
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'label\\_mall$%' AND relkind = 'r'"
        ).fetchall()
        found = [*tables, *sessions(connection)]
        if not found:
            break
        time.sleep(0.1)
    return found


def sessions(connection: psycopg.Connection, doing: str = "") -> list[tuple[int, str, str]]:
    return connection.execute(
        "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'segjob' AND query LIKE %s ORDER BY pid",
        [f"{doing}%"],
    ).fetchall()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# What arrives


@pytest.mark.parametrize("n_streams", [1, 2, 5])
def test_every_customer_arrives_once_through_any_number_of_streams(database, connection, part, monkeypatch, n_streams):
    monkeypatch.setattr(write, "STREAM_ROWS", CHUNK)
    seen: list[int] = []
    load_part(database, part, chunks(12_345), [], 12_345, n_streams, seen.append)
    expected = labels(12_345)
    assert stored(connection, part) == [
        (i, 1, segment_id, distance, runner_up, silhouette, None, None)
        for i, (segment_id, distance, runner_up, silhouette) in enumerate(
            zip(
                expected.segment_id.tolist(),
                expected.distance.tolist(),
                expected.runner_up_segment_id.tolist(),
                [pytest.approx(one) for one in expected.simplified_silhouette.tolist()],
                strict=True,
            )
        )
    ]
    assert sum(seen) == 12_345
    assert max(seen) == CHUNK


def test_several_sessions_send_at_the_same_time(database, connection, part, monkeypatch):
    monkeypatch.setattr(write, "STREAM_ROWS", CHUNK)

    def watched() -> Batches:
        yield from chunks(20 * CHUNK)
        wait_for(lambda: len(sessions(connection, "COPY")) == 3)

    load_part(database, part, watched(), [], 20 * CHUNK, 3)


def test_few_customers_need_one_session_only(database, connection, part):
    def watched() -> Batches:
        yield from chunks(CHUNK)
        wait_for(lambda: len(sessions(connection, "COPY")) == 1)

    load_part(database, part, watched(), [], CHUNK, 8)


def test_what_is_computed_goes_out_while_more_is_computed(database, connection, part):
    def watched() -> Batches:
        for n_before, batch in enumerate(chunks(10 * CHUNK)):
            if n_before == 9:  # the queue is shorter than that
                wait_for(lambda: bool(sessions(connection, "COPY")))
            yield batch

    load_part(database, part, watched(), [], 10 * CHUNK)


@pytest.mark.parametrize("kind", EVERY_KEY)
def test_every_kind_of_key_comes_back_as_it_was(database, connection, kind):
    keys, values = EVERY_KEY[kind]
    part = new(database, keys)
    whole = pa.RecordBatch.from_arrays(values, names=[key.name for key in keys])
    chunk = whole.slice(1)  # arrays that do not begin where their buffers do
    load_part(database, part, [(chunk, labels(2, 1)), (whole.slice(0, 1), labels(1))], [], 3)
    found = [row[: len(keys)] for row in stored(connection, part)]
    assert found == list(zip(*(map(python_value, column.to_pylist()) for column in values), strict=True))


def python_value(value: object) -> object:
    return UUID(bytes=value) if isinstance(value, bytes) else value


def test_with_one_segment_there_is_no_runner_up_and_no_silhouette(database, connection, part):
    alone = Labels(np.ones(2, np.int32), np.array([0.0, 1.5]), np.zeros(2, np.int32), np.full(2, np.nan, np.float32))
    keys = pa.RecordBatch.from_arrays([pa.array([1, 2])], names=["id"])
    load_part(database, part, [(keys, alone)], [], 2)
    assert stored(connection, part) == [(1, 1, 1, 0.0, None, None, None, None), (2, 1, 1, 1.5, None, None, None, None)]


@pytest.mark.parametrize("kind", EVERY_KEY)
def test_who_has_no_label_has_a_reason(database, connection, kind):
    keys, values = EVERY_KEY[kind]
    part = new(database, keys)
    reasons = [pa.array(["missing value"] * 3), pa.array(["amount", "ä", ""])]
    batch = pa.RecordBatch.from_arrays([*values, *reasons], names=[*part.key_names, "reason", "feature"])
    load_part(database, part, [], [batch.slice(1), batch.slice(0, 1)], 3)
    found = connection.execute(f"SELECT segment_id, distance, reason, feature FROM {part.table}".encode()).fetchall()
    assert sorted(found) == [
        (None, None, "missing value", ""), (None, None, "missing value", "amount"), (None, None, "missing value", "ä"),
    ]  # fmt: skip


def test_labelled_and_unlabelled_travel_through_the_same_streams(database, connection, part, monkeypatch):
    monkeypatch.setattr(write, "STREAM_ROWS", CHUNK)
    columns = [pa.array(range(5000, 9000)), pa.array(["r"] * 4000), pa.array(["f"] * 4000)]
    unlabelled = pa.Table.from_arrays(columns, names=["id", "reason", "feature"]).to_batches(max_chunksize=100)
    load_part(database, part, chunks(5000), unlabelled, 9000, 3)
    counts = f"SELECT count(segment_id), count(reason), count(DISTINCT id) FROM {part.table}"
    assert connection.execute(counts.encode()).fetchone() == (5000, 4000, 9000)


def test_a_version_of_nobody_is_an_empty_table_with_a_key(database, connection, part):
    load_part(database, part, [], [], 0)
    assert stored(connection, part) == []


def test_the_finished_table_is_keyed_analysed_and_attached_without_a_scan(database, connection, part):
    load_part(database, part, chunks(2000), [], 2000, 2)
    key = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND conrelid = %s::regclass"
    assert connection.execute(key, [part.table]).fetchone() == ("PRIMARY KEY (version_id, id)",)
    estimate = "SELECT reltuples, (SELECT count(*) FROM pg_stats WHERE tablename = 'label_mall$1') FROM pg_class"
    assert connection.execute(f"{estimate} WHERE oid = %s::regclass", [part.table]).fetchone() == (2000, 8)
    connection.execute("SET client_min_messages = debug1")
    said: list[str] = []
    connection.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
    connection.execute(f"ALTER TABLE segjob.label_mall ATTACH PARTITION {part.table} FOR VALUES IN (1)".encode())
    assert [one for one in said if "implied by existing constraints" in one]


def test_rows_of_a_single_stream_are_frozen_so_that_no_page_is_written_again(database, connection, part):
    columns = [pa.array(range(5000, 5100)), pa.array(["r"] * 100), pa.array(["f"] * 100)]
    unlabelled = pa.RecordBatch.from_arrays(columns, names=["id", "reason", "feature"])
    load_part(database, part, chunks(5000), [unlabelled], 5100, 1)
    used = f"SELECT count(DISTINCT (ctid::text::point)[0]) FROM {part.table}"
    frozen = connection.execute(f"SELECT relallvisible, ({used}) FROM pg_class WHERE oid = %s::regclass", [part.table])
    visible, pages = frozen.fetchone() or (0, 0)
    assert visible == pages > 10


def test_the_table_takes_rows_of_its_own_version_only(database, connection, part):
    with new_part(database, part), pytest.raises(psycopg.errors.CheckViolation):
        connection.execute(f"INSERT INTO {part.table} (id, version_id) VALUES (1, 2)".encode())


def test_attached_it_is_a_partition_like_any_other(database, connection, part):
    load_part(database, part, chunks(10), [], 10)
    attach(database, part)
    assert connection.execute("SELECT count(*), min(version_id) FROM segjob.label_mall").fetchone() == (10, 1)
    assert connection.execute("SELECT conname FROM pg_constraint WHERE conname = 'version_bound'").fetchall() == []


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
    with pytest.raises(InternalError, match=f"{n_expected} customers were read and 5000 written"):
        load_part(database, part, chunks(5000), [], n_expected, 3)
    assert leftovers(connection) == []


def test_nothing_is_committed_before_the_count_is_right(database, connection, part, monkeypatch):
    monkeypatch.setattr(write, "STREAM_ROWS", CHUNK)
    with new_part(database, part):
        with pytest.raises(InternalError):
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


def test_a_stream_that_is_killed_stops_the_others_and_the_pass(database, connection, part, monkeypatch):
    monkeypatch.setattr(write, "STREAM_ROWS", CHUNK)
    given: list[int] = []

    def endless() -> Batches:
        for batch in chunks(2**62):
            given.append(batch[0].num_rows)
            if len(given) == 20:
                wait_for(lambda: len(sessions(connection, "COPY")) == 2)
                connection.execute("SELECT pg_terminate_backend(%s)", [sessions(connection, "COPY")[0][0]])
            yield batch

    with pytest.raises(DatabaseUnavailable, match="the connection broke while the labels were written"):
        load_part(database, part, endless(), [], 2**62, 2)
    assert leftovers(connection) == []


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
            wait_for(lambda: bool(sessions(connection, "ALTER TABLE")))
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
    wait_for(lambda: bool(sessions(connection, "SELECT pg_sleep")))
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
        " n_segments, inertia, silhouette_method, silhouette_n_sampled, silhouette_exact, seed, config_hash,"
        " grid_exponent, stages) SELECT 'mall', %s, max(run_id), 'staged', now(), 1, 0, 1, 0, 'euclidean', 1, true, 1,"
        " 'c', 0, '[]' FROM segjob.run",
        [part.version_id],
    )


def test_the_version_of_a_dead_run_can_be_made_again(database, connection, part):
    with new_part(database, part):
        pass
    with database.begin() as session:
        drop_orphans(session, part.names)
    load_part(database, part, chunks(10), [], 10)
