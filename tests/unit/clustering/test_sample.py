"""The hash sample: who is chosen depends on the keys alone."""

from __future__ import annotations

import uuid
from functools import reduce

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segjob.clustering.sample import HashSample, SampleRows, key_hashes, sample_capacity, splitmix64


def keys(*columns: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(columns), [f"k{index}" for index in range(len(columns))])


def test_splitmix64_gives_the_published_first_numbers() -> None:
    golden = 0x9E3779B97F4A7C15
    states = np.array([0, golden, 2 * golden % 2**64], np.uint64)
    assert [hex(value) for value in splitmix64(states)] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]


def test_the_hash_of_a_key_never_changes_between_releases() -> None:
    one = pa.array([1], pa.int64())
    text, key = pa.array(["Grüße"]), pa.array([uuid.UUID(int=7).bytes], pa.binary(16))
    found = [int(key_hashes(batch)[0]) for batch in (keys(one), keys(text), keys(key), keys(one, text))]
    assert found == [0x35ECE3BA48E64663, 0xE107ECB8F0138AC1, 0xDB1FE49E050842A2, 0xFB6F8795D1B13FB6]


def test_an_integer_key_hashes_the_same_in_any_width() -> None:
    values = [-32768, -1, 0, 1, 32767]
    hashes = [key_hashes(keys(pa.array(values, kind))) for kind in (pa.int16(), pa.int32(), pa.int64())]
    np.testing.assert_array_equal(hashes[0], hashes[1])
    np.testing.assert_array_equal(hashes[0], hashes[2])


def test_keys_beyond_two_to_the_53_are_told_apart() -> None:
    assert len(set(key_hashes(keys(pa.array([2**53, 2**53 + 1, -(2**63), 2**63 - 1], pa.int64()))).tolist())) == 4


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3), st.integers(-9, 9)), unique=True, min_size=1))
def test_composite_keys_that_differ_hash_differently(tuples: list[tuple[str, str, int]]) -> None:
    first, second, third = zip(*tuples, strict=True)
    batch = keys(pa.array(first, pa.string()), pa.array(second, pa.string()), pa.array(third, pa.int32()))
    assert len(set(key_hashes(batch).tolist())) == len(tuples)


def test_moving_a_letter_between_two_text_keys_changes_the_hash() -> None:
    assert len(set(key_hashes(keys(pa.array(["ab", "a", ""]), pa.array(["c", "bc", "abc"]))).tolist())) == 3


def test_a_slice_of_a_batch_hashes_like_its_rows() -> None:
    batch = keys(pa.array(["a", "b", "c", "d"]))
    np.testing.assert_array_equal(key_hashes(batch.slice(1, 2)), key_hashes(batch)[1:3])


def test_no_keys_have_no_hashes() -> None:
    assert key_hashes(keys(pa.array([], pa.string()))).tolist() == []
    assert key_hashes(keys(pa.array([], pa.int64()))).tolist() == []


def test_hashes_of_consecutive_integers_are_spread_evenly() -> None:
    shares = key_hashes(keys(pa.array(np.arange(100_000)))) / 2.0**64
    assert np.histogram(shares, 10, (0, 1))[0] == pytest.approx(10_000, rel=0.05)


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
