"""The table of a version: several streams and every kind of key."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from segjob.postgres.connecting.connect import Database
from segjob.postgres.publishing.publish import attach
from segjob.postgres.writing import wire, write
from segjob.postgres.writing.write import Part, new_part
from segjob.records.model import Labels
from segjob.records.source import KeyColumn
from tests.integration.parts import BIGINT, CHUNK, MANY, Batches, chunks, labels, load_part, new, sessions, stored
from tests.waiting import wait_until

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


@pytest.fixture
def part(database: Database) -> Part:
    return new(database)


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


@pytest.mark.parametrize("message_bytes", [1, 1000])
def test_a_message_ends_anywhere_and_a_row_goes_on(database, connection, part, monkeypatch, message_bytes):
    monkeypatch.setattr(wire, "MESSAGE_BYTES", message_bytes)
    load_part(database, part, chunks(100), [], 100)
    assert [row[0] for row in stored(connection, part)] == [*range(100)]


def test_several_sessions_send_at_the_same_time(database, connection, part, monkeypatch):
    monkeypatch.setattr(write, "STREAM_ROWS", CHUNK)

    class Seen(Exception):
        pass

    def watched() -> Batches:
        for batch in chunks(MANY):
            if len(sessions(connection, "COPY")) == 3:
                raise Seen
            yield batch

    with pytest.raises(Seen):
        load_part(database, part, watched(), [], MANY, 3)


def test_few_customers_need_one_session_only(database, connection, part):
    def watched() -> Batches:
        yield from chunks(CHUNK)
        wait_until(lambda: len(sessions(connection, "COPY")) == 1)

    load_part(database, part, watched(), [], CHUNK, 8)


def test_what_is_computed_goes_out_while_more_is_computed(database, connection, part):
    def watched() -> Batches:
        for n_before, batch in enumerate(chunks(10 * CHUNK)):
            if n_before == 9:  # the queue is shorter than that
                wait_until(lambda: bool(sessions(connection, "COPY")))
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


def test_what_the_model_of_the_parent_says_stands_beside_the_label(database, connection, part):
    carried = replace(labels(2), carried_segment_id=np.array([3, 1], np.int32))
    keys = pa.RecordBatch.from_arrays([pa.array([1, 2])], names=["id"])
    load_part(database, part, [(keys, carried)], [], 2)
    assert [row[-2] for row in stored(connection, part)] == [3, 1]


@pytest.mark.parametrize("kind", EVERY_KEY)
def test_who_has_no_label_has_the_feature_that_left_them_out(database, connection, kind):
    keys, values = EVERY_KEY[kind]
    part = new(database, keys)
    features = pa.array(["amount", "ä", ""])
    batch = pa.RecordBatch.from_arrays([*values, features], names=[*part.key_names, "excluded_by"])
    load_part(database, part, [], [batch.slice(1), batch.slice(0, 1)], 3)
    found = connection.execute(f"SELECT segment_id, distance, excluded_by FROM {part.table}".encode()).fetchall()
    assert sorted(found) == [(None, None, ""), (None, None, "amount"), (None, None, "ä")]


def test_labelled_and_unlabelled_travel_through_the_same_streams(database, connection, part, monkeypatch):
    monkeypatch.setattr(write, "STREAM_ROWS", CHUNK)
    columns = [pa.array(range(5000, 9000)), pa.array(["f"] * 4000)]
    unlabelled = pa.Table.from_arrays(columns, names=["id", "excluded_by"]).to_batches(max_chunksize=100)
    load_part(database, part, chunks(5000), unlabelled, 9000, 3)
    counts = f"SELECT count(segment_id), count(excluded_by), count(DISTINCT id) FROM {part.table}"
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


@pytest.mark.parametrize(("asked", "kept"), [(100, 30), (10, 10)])
def test_statistics_are_brief_and_briefer_where_the_server_is_told_so(database, connection, part, asked, kept):
    """A histogram has one bound more than it has buckets."""
    name = connection.execute("SELECT quote_ident(current_database())").fetchone()[0]
    connection.execute(f"ALTER DATABASE {name} SET default_statistics_target = {asked}".encode())
    load_part(database, part, chunks(20 * CHUNK), [], 20 * CHUNK)
    bounds = (
        "SELECT array_length(histogram_bounds, 1) FROM pg_stats WHERE tablename = 'label_mall$1' AND attname = 'id'"
    )
    assert connection.execute(bounds).fetchone() == (kept + 1,)


def test_rows_of_a_single_stream_are_frozen_so_that_no_page_is_written_again(database, connection, part):
    columns = [pa.array(range(5000, 5100)), pa.array(["f"] * 100)]
    unlabelled = pa.RecordBatch.from_arrays(columns, names=["id", "excluded_by"])
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
