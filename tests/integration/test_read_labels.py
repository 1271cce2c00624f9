"""The labels of a version, back into the job."""

from __future__ import annotations

import pyarrow as pa
import pytest

from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading.labels import read_segment_ids
from tests.integration.parts import CHUNK, chunks, labels, load_part, new, sessions
from tests.waiting import wait_until

N_ROWS = 100 * CHUNK  # many more than lie between the server and the job
SOURCE = pa.schema([pa.field("id", pa.int64(), nullable=False)])


@pytest.fixture
def part(database: Database):
    found = new(database)
    load_part(database, found, chunks(N_ROWS), [], N_ROWS)
    return found


def test_every_key_comes_with_its_segment(database, part):
    found: dict[int, int] = {}
    for keys, segment_ids in read_segment_ids(database, part, SOURCE):
        found |= dict(zip(keys.column(0).to_pylist(), segment_ids.tolist(), strict=True))
    assert found == dict(enumerate(labels(N_ROWS).segment_id.tolist()))


def test_who_has_seen_enough_leaves_no_session_behind(database, connection, part):
    reading = read_segment_ids(database, part, SOURCE)
    keys, _ = next(reading)
    assert 0 < keys.num_rows < N_ROWS
    assert sessions(connection, "COPY")
    reading.close()
    wait_until(lambda: not sessions(connection, "COPY"))
