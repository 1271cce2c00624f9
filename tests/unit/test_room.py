"""Whether the customers will fit on the disk."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from segjob.engine.room import check_room, free_bytes, size, spool_row_bytes
from segjob.engine.spool import Budget, Spool
from segjob.errors import TryAgain

MIB = 2**20
KEYS = {
    "smallint": (pa.int16(), 2),
    "bigint": (pa.int64(), 8),
    "uuid": (pa.binary(16), 16),
}


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch):
    """Say how many bytes are free."""

    def set_free(n_bytes: int, blocks: int = 1) -> None:
        found = SimpleNamespace(f_bavail=n_bytes, f_frsize=1, f_blocks=blocks)
        monkeypatch.setattr(os, "statvfs", lambda _: found)

    return set_free


@pytest.mark.parametrize("reliable", [True, False])
def test_what_fits_is_passed_over_in_silence(free, tmp_path, reliable):
    free(6 * MIB)
    assert check_room(tmp_path, MIB, row_bytes=10, in_memory=4 * MIB, reliable=reliable) is None


def test_what_surely_does_not_fit_is_refused_before_reading(free, tmp_path):
    free(3 * MIB)
    with pytest.raises(TryAgain) as raised:
        check_room(tmp_path, MIB, row_bytes=10, in_memory=4 * MIB, reliable=True)
    assert str(raised.value) == (
        f"the planner expects 1,048,576 customers, which need 6.0 MiB in {tmp_path} beside the 4.0 MiB that stay in"
        " memory, and 3.0 MiB are free there: make room, name a larger directory as resources.spool_dir, or raise"
        " resources.memory; if the source has far fewer rows, ANALYZE it"
    )


def test_what_may_just_fit_is_tried_with_a_warning(free, tmp_path):
    free(4 * MIB)  # three quarters of 10 MiB, less the 4 in memory, are 3.5
    warned = check_room(tmp_path, MIB, row_bytes=10, in_memory=4 * MIB, reliable=True)
    assert warned is not None
    assert warned.endswith("4.0 MiB are free there; the forecast may be wrong, so the run goes on")


def test_a_forecast_that_may_be_absurd_never_refuses(free, tmp_path):
    free(3 * MIB)
    warned = check_room(tmp_path, 10**15, row_bytes=100, in_memory=0, reliable=False)
    assert warned is not None
    assert "1,000,000,000,000,000 customers" in warned
    assert "90949.5 TiB" in warned


def test_a_file_system_that_does_not_tell_and_a_directory_that_is_missing_refuse_nothing(free, tmp_path):
    assert check_room(tmp_path / "missing", 10**12, row_bytes=100, in_memory=0, reliable=True) is None
    free(0, blocks=0)
    assert check_room(tmp_path, 10**12, row_bytes=100, in_memory=0, reliable=True) is None


def test_a_real_directory_has_room_for_a_little_and_not_for_everything(tmp_path):
    free = free_bytes(tmp_path)
    assert free is not None
    assert check_room(tmp_path, 1, row_bytes=1, in_memory=0, reliable=True) is None
    with pytest.raises(TryAgain):
        check_room(tmp_path, 2 * free + 1, row_bytes=1, in_memory=0, reliable=True)


@pytest.mark.parametrize("key", KEYS)
def test_the_bytes_of_a_row_are_those_that_the_spool_takes(tmp_path, key):
    kind, width = KEYS[key]
    fields = [pa.field("k:id", kind), pa.field("n:a", pa.float64()), pa.field("c:b", pa.string())]
    schema, n_rows = pa.schema(fields), 20_000
    values = [b"%016d" % i for i in range(n_rows)] if key == "uuid" else [i % 1000 for i in range(n_rows)]
    texts = ["twelve bytes" if i % 2 else None for i in range(n_rows)]
    columns = [pa.array(values, kind), pa.array([1.0] * n_rows), pa.array(texts)]
    with Spool(schema, Budget(0), Path(tmp_path), chunk_rows=10_000) as spool:
        spool.append(pa.RecordBatch.from_arrays(columns, schema=schema))
        spool.finish()
        forecast = n_rows * spool_row_bytes(schema, width=width + 8 + 6, n_columns=0)  # a text is 6 bytes on average
        assert spool.n_bytes == pytest.approx(forecast, rel=0.05)


def test_a_clustered_column_takes_four_bytes_more(tmp_path):
    schema = pa.schema([pa.field("k:id", pa.int64()), pa.field("n:a", pa.float64())])
    assert spool_row_bytes(schema, width=16, n_columns=1) == 8 + 8 + 4
    assert spool_row_bytes(schema, width=999, n_columns=0) == 16  # without texts nothing is left to guess


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [(0, "0.0 KiB"), (1536, "1.5 KiB"), (2**20, "1.0 MiB"), (999 * 2**20, "999.0 MiB"), (2**40, "1.0 TiB")],
)
def test_bytes_as_a_person_reads_them(n_bytes, shown):
    assert size(n_bytes) == shown
