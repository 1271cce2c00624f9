from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from segjob.engine.chunks import decode_chunk, decode_matrix, matrix_batch, matrix_schema
from segjob.engine.local import LocalPopulation, chunks_at_once, zip_populations
from segjob.engine.spool import Budget, Spool
from segjob.errors import InternalError
from segjob.records.population import Population

PLENTY = 2**30
SCHEMA = pa.schema(
    [
        pa.field("k:shop", pa.string(), nullable=False),
        pa.field("k:id", pa.int64(), nullable=False),
        pa.field("n:amount", pa.float64(), nullable=False),
        pa.field("n:k:odd", pa.float64(), nullable=False),
        pa.field("c:gender", pa.string()),
    ]
)


def customers(n: int) -> pa.RecordBatch:
    ids = np.arange(n)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([f"shop {i % 3}" for i in ids]),
            pa.array(ids),
            pa.array(np.where(ids % 5 == 0, np.nan, ids / 7)),
            pa.array(-ids.astype(float)),
            pa.array([None if i % 2 else "x" for i in ids], pa.string()),
        ],
        schema=SCHEMA,
    )


@pytest.fixture
def spool(tmp_path):
    with Spool(SCHEMA, Budget(0), tmp_path, 100) as spool:
        spool.append(customers(1050))
        spool.finish()
        yield spool


@dataclass(frozen=True)
class Trace:
    """A summary whose merge shows the order, which a real one's must not."""

    ids: tuple[int, ...]

    def merge(self, other: Trace) -> Trace:
        return Trace(self.ids + other.ids)


def ids_of(chunk: Any) -> Trace:
    return Trace(tuple(chunk.keys.column("id").to_pylist()))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_pass_meets_every_customer_once_and_in_order(spool, threads):
    population: Population[Any] = LocalPopulation(spool, decode_chunk, threads)
    assert population.n_rows == 1050
    assert population.reduce(ids_of).ids == tuple(range(1050))
    assert [chunk.n_rows for chunk in population.map(lambda chunk: chunk)] == [100] * 10 + [50]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_float_sums_do_not_depend_on_threads(spool, threads):
    @dataclass(frozen=True)
    class Sum:
        value: float

        def merge(self, other: Sum) -> Sum:
            return Sum(self.value + other.value)

    def add(population: LocalPopulation[Any]) -> float:
        return population.reduce(lambda chunk: Sum(float(np.nansum(chunk.numbers[:, 0])))).value

    assert add(LocalPopulation(spool, decode_chunk, threads)) == add(LocalPopulation(spool, decode_chunk, 1))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_items_are_worked_on_by_as_many_threads_as_chunks_are(spool, threads):
    everyone_there = threading.Barrier(threads, timeout=10)
    population = LocalPopulation(spool, decode_chunk, threads)

    def squared(item: int) -> int:
        everyone_there.wait()
        return item * item

    items = range(3 * threads)
    assert population.at_once(squared, items) == [item * item for item in items]


def test_only_a_few_chunks_are_under_way_at_once(spool):
    started = 0
    lock = threading.Lock()

    def count(_: Any) -> None:
        nonlocal started
        with lock:
            started += 1

    results = LocalPopulation(spool, decode_chunk, 2).map(count)
    assert started == 0
    next(results)
    assert started <= 3


def test_who_stops_early_leaves_no_thread_behind(spool):
    results = LocalPopulation(spool, decode_chunk, 3).map(lambda chunk: chunk.n_rows)
    next(results)
    assert isinstance(results, Generator)
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("segjob-pass")]


@pytest.mark.parametrize("threads", [1, 3])
def test_what_a_pass_raises_reaches_the_caller(spool, threads):
    def fail(chunk: Any) -> Trace:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        LocalPopulation(spool, decode_chunk, threads).reduce(fail)


def test_a_pass_over_nobody_is_a_bug(tmp_path):
    with Spool(SCHEMA, Budget(0), tmp_path) as empty:
        empty.finish()
        with pytest.raises(InternalError):
            LocalPopulation(empty, decode_chunk).reduce(ids_of)


def test_two_views_of_the_customers_are_read_side_by_side(spool, tmp_path):
    raw = LocalPopulation(spool, decode_chunk, 2)
    with Spool(matrix_schema(2), Budget(PLENTY), tmp_path, 100) as prepared:
        for matrix in raw.map(lambda chunk: np.column_stack([chunk.numbers[:, 1], -chunk.numbers[:, 1]])):
            prepared.append(matrix_batch(matrix.astype(np.float32)))
        prepared.finish()
        both = zip_populations(raw, LocalPopulation(prepared, decode_matrix))
        for chunk, matrix in both.map(lambda pair: pair):
            assert (matrix[:, 0] == chunk.numbers[:, 1]).all()
            assert matrix.shape == (chunk.n_rows, 2)


def test_different_customers_do_not_pair(spool, tmp_path):
    with Spool(SCHEMA, Budget(PLENTY), tmp_path, 100) as fewer:
        fewer.append(customers(1049))
        fewer.finish()
        with pytest.raises(InternalError, match="1050 customers do not pair with 1049"):
            zip_populations(LocalPopulation(spool, decode_chunk), LocalPopulation(fewer, decode_chunk))


def test_different_chunks_do_not_pair(spool, tmp_path):
    with Spool(SCHEMA, Budget(PLENTY), tmp_path, 104) as other:
        other.append(customers(1050))
        other.finish()
        both = zip_populations(LocalPopulation(spool, decode_chunk), LocalPopulation(other, decode_chunk))
        with pytest.raises(InternalError, match="pairs 100 customers with 104"):
            next(both.map(lambda pair: pair))


def test_a_chunk_has_the_keys_by_their_own_names_and_the_features_in_order():
    chunk = decode_chunk(customers(10).slice(3, 4))
    assert chunk.keys.schema.names == ["shop", "id"]
    assert chunk.keys.column("id").to_pylist() == [3, 4, 5, 6]
    assert chunk.numbers.dtype == np.float64
    assert chunk.numbers.shape == (4, 2)
    assert chunk.numbers[:, 1].tolist() == [-3, -4, -5, -6]
    assert np.isnan(chunk.numbers[:, 0]).tolist() == [False, False, True, False]
    assert [column.to_pylist() for column in chunk.categories] == [[None, "x", None, "x"]]


def test_customers_without_a_number_are_still_counted():
    chunk = decode_chunk(customers(10).select(["k:id", "c:gender"]))
    assert chunk.n_rows == 10


@pytest.mark.parametrize("d", [0, 1, 7])
def test_a_matrix_comes_back_from_its_batch(d):
    matrix = np.arange(5 * d, dtype=np.float32).reshape(5, d)
    batch = matrix_batch(matrix)
    assert batch.schema.equals(matrix_schema(d))
    found = decode_matrix(batch.slice(1, 3))
    assert found.dtype == np.float32
    assert found.shape == (3, d)
    assert (found == matrix[1:4]).all()


def test_a_matrix_is_not_copied_on_its_way():
    matrix = np.arange(20, dtype=np.float32).reshape(5, 4)
    assert np.shares_memory(decode_matrix(matrix_batch(matrix)), matrix)


@pytest.mark.parametrize(
    ("memory", "chunk_bytes", "cores", "expected"), [(100, 10, 4, 4), (100, 30, 4, 3), (100, 101, 4, 1), (0, 10, 4, 1)]
)
def test_as_many_chunks_are_worked_on_as_there_are_cores_and_memory(
    memory: int, chunk_bytes: int, cores: int, expected: int
) -> None:
    assert chunks_at_once(memory, chunk_bytes, cores) == expected
