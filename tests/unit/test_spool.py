from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segjob.engine.spool import Budget, Spool
from segjob.errors import ConfigurationError, InternalError, TryAgain

SCHEMA = pa.schema([pa.field("k:id", pa.int64(), nullable=False), pa.field("c:name", pa.string())])
PLENTY = 2**30


def rows(start: int, stop: int) -> pa.RecordBatch:
    ids = range(start, stop)
    names = [None if i % 7 == 0 else f"customer {i} é" for i in ids]
    return pa.RecordBatch.from_arrays([pa.array(ids, pa.int64()), pa.array(names, pa.string())], schema=SCHEMA)


def filled(directory: Path, sizes: list[int], budget: int = PLENTY, chunk_rows: int = 10) -> Spool:
    spool = Spool(SCHEMA, Budget(budget), directory, chunk_rows)
    start = 0
    for size in sizes:
        spool.append(rows(start, start + size))
        start += size
    spool.finish()
    return spool


@given(sizes=st.lists(st.integers(0, 40), max_size=12), budget=st.sampled_from([0, 500, 1500, PLENTY]))
def test_rows_come_back_in_order_in_chunks_of_one_size(sizes, budget, tmp_path_factory):
    directory = tmp_path_factory.getbasetemp()
    with filled(directory, sizes, budget) as spool:
        chunks = list(spool)
        assert pa.Table.from_batches(chunks, SCHEMA).equals(pa.Table.from_batches([rows(0, sum(sizes))], SCHEMA))
        assert all(chunk.num_rows == 10 for chunk in chunks[:-1])
        assert spool.n_rows == sum(sizes)
        assert spool.n_chunks == -(-sum(sizes) // 10)


def test_a_spool_can_be_read_again_and_by_many_at_once(tmp_path):
    with filled(tmp_path, [1000], budget=0) as spool:
        expected = [chunk.to_pydict() for chunk in spool]
        with ThreadPoolExecutor(8) as pool:
            for found in pool.map(lambda _: [chunk.to_pydict() for chunk in spool], range(16)):
                assert found == expected


def test_two_iterations_do_not_disturb_each_other(tmp_path):
    with filled(tmp_path, [50], budget=0) as spool:
        first, second = iter(spool), iter(spool)
        pairs = [(next(first), next(second)) for _ in range(spool.n_chunks)]
        assert all(left.equals(right) for left, right in pairs)


def test_spools_that_share_a_budget_stay_within_it_together(tmp_path):
    budget = Budget(10_000)
    with Spool(SCHEMA, budget, tmp_path, 100) as raw, Spool(SCHEMA, budget, tmp_path, 100) as prepared:
        for start in range(0, 5_000, 100):
            raw.append(rows(start, start + 100))
            prepared.append(rows(start, start + 100))
        assert 0 <= budget.left < 5_000
        assert raw.n_bytes > 10_000
        assert prepared.n_bytes > 10_000
    assert budget.left == 10_000


def test_the_budget_counts_every_byte_that_stays_in_memory(tmp_path):
    before = pa.total_allocated_bytes()
    with Spool(SCHEMA, Budget(PLENTY), tmp_path, 1000) as spool:
        for start in range(0, 20_000, 500):
            spool.append(rows(start, start + 500))
        spool.finish()
        assert pa.total_allocated_bytes() - before <= 1.1 * spool.n_bytes + 10_000


def test_rows_that_wait_do_not_keep_larger_buffers_alive(tmp_path):
    before = pa.total_allocated_bytes()
    with Spool(SCHEMA, Budget(PLENTY), tmp_path, 1000) as spool:
        for _ in range(50):
            spool.append(rows(0, 20_000).slice(17, 3))
        assert pa.total_allocated_bytes() - before < 100_000


def test_beyond_the_budget_nothing_stays_in_memory(tmp_path):
    before = pa.total_allocated_bytes()
    with filled(tmp_path, [1000] * 50, budget=0, chunk_rows=1000) as spool:
        assert spool.n_bytes > 1_000_000
        assert pa.total_allocated_bytes() - before < 10_000


def test_the_file_has_no_name_and_nobody_else_may_read_it(tmp_path):
    with filled(tmp_path, [1000], budget=0) as spool:
        assert list(tmp_path.iterdir()) == []
        status = os.fstat(spool._file.fileno())
        assert status.st_size == spool.n_bytes
        assert status.st_mode & 0o077 == 0


def test_a_full_disk_is_told_with_the_directory_and_the_way_out(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with (
        Spool(SCHEMA, Budget(0), tmp_path, 10) as spool,
        pytest.raises(TryAgain, match=r"is full.*spool_dir") as raised,
    ):
        spool.append(rows(0, 10))
    assert str(tmp_path) in str(raised.value)


def test_a_write_that_is_cut_short_goes_on(tmp_path, monkeypatch):
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: whole(file, data[:100], offset))
    with filled(tmp_path, [100], budget=0) as spool:
        assert pa.Table.from_batches(list(spool)).equals(pa.Table.from_batches([rows(0, 100)]))


def test_a_missing_directory_is_told_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigurationError, match="spool_dir"):
        Spool(SCHEMA, Budget(PLENTY), tmp_path / "missing")


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="spool_dir"):
        Spool(SCHEMA, Budget(PLENTY), tmp_path / "file")


def test_a_directory_that_can_not_be_written_is_told(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        Spool(SCHEMA, Budget(PLENTY), tmp_path)


def test_a_spool_is_written_first_and_read_then(tmp_path):
    spool = Spool(SCHEMA, Budget(PLENTY), tmp_path, 10)
    spool.append(rows(0, 25))
    with pytest.raises(InternalError):
        iter(spool)
    spool.finish()
    with pytest.raises(InternalError):
        spool.append(rows(0, 1))
    spool.close()
    with pytest.raises(InternalError):
        iter(spool)


def test_closing_twice_gives_the_budget_back_once(tmp_path):
    budget = Budget(PLENTY)
    spool = Spool(SCHEMA, budget, tmp_path, 10)
    spool.append(rows(0, 25))
    spool.close()
    spool.close()
    assert budget.left == PLENTY


def test_a_batch_of_other_types_is_refused(tmp_path):
    other = pa.RecordBatch.from_arrays([pa.array([1.0]), pa.array(["a"])], names=["k:id", "c:name"])
    with Spool(SCHEMA, Budget(PLENTY), tmp_path) as spool, pytest.raises(InternalError):
        spool.append(other)


def test_fixed_size_lists_come_back_bit_for_bit(tmp_path):
    matrix = np.arange(70, dtype=np.float32).reshape(10, 7)
    schema = pa.schema([pa.field("q", pa.list_(pa.float32(), 7))])
    column = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), 7)
    with Spool(schema, Budget(0), tmp_path, 4) as spool:
        spool.append(pa.RecordBatch.from_arrays([column], schema=schema))
        spool.finish()
        found = [chunk.column(0).flatten().to_numpy().reshape(-1, 7) for chunk in spool]
    assert [part.shape[0] for part in found] == [4, 4, 2]
    assert (np.concatenate(found) == matrix).all()
