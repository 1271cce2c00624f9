"""The hash sample: who is chosen depends on the keys alone."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segjob.clustering.sample import HashSample, SampleRows, sample_capacity


def keys(*columns: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(columns), [f"k{index}" for index in range(len(columns))])


@pytest.mark.parametrize(("n_features", "capacity"), [(1, 2**20), (8, 2**20), (32, 2**18), (128, 2**16)])
def test_the_sample_is_smaller_for_more_features(n_features: int, capacity: int) -> None:
    assert sample_capacity(n_features) == capacity


def part(hashes: np.ndarray, texts: list[str]) -> SampleRows:
    return SampleRows(hashes, np.stack([hashes % np.uint64(97), hashes % np.uint64(13)], 1) * 1.0, (pa.array(texts),))


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=120),
    st.integers(1, 20),
    st.integers(1, 40),
    st.randoms(use_true_random=False),
)
def test_the_sample_is_the_smallest_hashes_in_any_order_and_chunks(hashes, capacity, size, random) -> None:
    wanted = sorted(hashes)[:capacity]
    random.shuffle(hashes)
    rows = part(np.array(hashes, np.uint64), [str(value) for value in hashes])
    pieces = [
        HashSample(capacity, (rows.take(np.arange(first, min(first + size, len(hashes)))),))
        for first in range(0, len(hashes), size)
    ]
    chosen = reduce(lambda merged, other: merged.merge(other), pieces).rows
    assert chosen.hashes.tolist() == wanted
    assert chosen.categories[0].to_pylist() == [str(value) for value in wanted]
    assert chosen.numbers[:, 0].tolist() == [value % 97 for value in wanted]


@pytest.mark.parametrize("hashes", [[2**63 + 3, 2**63, 2**63 + 2, 2**63 + 1], [2**64 - 1, 2**64 - 2, 0], [0], []])
def test_hashes_that_differ_in_their_last_bits_only_are_in_order_too(hashes: list[int]) -> None:
    chosen = HashSample(9, (part(np.array(hashes, np.uint64), [str(value) for value in hashes]),)).rows
    assert chosen.hashes.tolist() == sorted(hashes)
    assert chosen.categories[0].to_pylist() == [str(value) for value in sorted(hashes)]


def test_the_blocks_of_a_sample_are_the_sample() -> None:
    rows = part(np.arange(10, dtype=np.uint64), [str(value) for value in range(10)])
    blocks = rows.blocks(4)
    assert [block.n_rows for block in blocks] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([block.numbers for block in blocks]), rows.numbers)
    assert [text for block in blocks for text in block.categories[0].to_pylist()] == rows.categories[0].to_pylist()
    assert [block.n_rows for block in rows.take(np.arange(0)).blocks(4)] == [0]


def test_merging_is_associative() -> None:
    random = np.random.default_rng(0)
    parts = [
        HashSample(10, (part(hashes, [str(value) for value in hashes]),))
        for hashes in random.integers(0, 2**63, (3, 30)).astype(np.uint64)
    ]
    left = parts[0].merge(parts[1]).merge(parts[2]).rows
    right = parts[0].merge(parts[1].merge(parts[2])).rows
    np.testing.assert_array_equal(left.hashes, right.hashes)


def test_a_full_sample_holds_little_more_than_its_capacity() -> None:
    random = np.random.default_rng(0)
    sample = HashSample(100, (part(np.array([1], np.uint64), ["1"]),))
    for _ in range(50):
        hashes = random.integers(0, 2**63, 200).astype(np.uint64)
        sample = sample.merge(HashSample(100, (part(hashes, [""] * 200),)))
        assert sample.n_held <= 150


def test_equal_hashes_are_ordered_by_what_the_rows_hold() -> None:
    numbers = np.array([[3.0], [1.0], [np.nan], [2.0], [2.0]])
    texts = pa.array(["a", "a", "a", "z", "b"])
    rows = SampleRows(np.full(5, 7, np.uint64), numbers, (texts,))
    orders = [np.arange(5), np.array([4, 3, 2, 1, 0]), np.array([2, 0, 4, 1, 3])]
    found = [HashSample(3, (rows.take(order),)).merge(HashSample(3, (rows.take(order[:0]),))).rows for order in orders]
    for one in found:
        assert one.categories[0].to_pylist() == found[0].categories[0].to_pylist()
        np.testing.assert_array_equal(one.numbers, found[0].numbers)
