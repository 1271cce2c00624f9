"""The hash of a key depends on the key alone, and tells keys apart."""

from __future__ import annotations

import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segjob.clustering.key_hash import SALT, key_hashes, splitmix64


def keys(*columns: pa.Array) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(list(columns), [f"k{index}" for index in range(len(columns))])


def hash_of(text: str) -> int:
    """The definition, one text at a time."""
    encoded, mixed = text.encode(), int(SALT)
    words = [int.from_bytes(encoded[first : first + 8], "little") for first in range(0, len(encoded), 8)]
    for word in (len(encoded), *words):
        mixed = int(splitmix64(np.array([mixed ^ word], np.uint64))[0])
    return mixed


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
    assert found == [0x35ECE3BA48E64663, 0xC55164806200AB29, 0x957032328C899D1F, 0x404D11636E2390C6]


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
    ids = keys(pa.array([uuid.UUID(int=number).bytes for number in (1, 2**64, 3, 4)], pa.binary(16)))
    np.testing.assert_array_equal(key_hashes(ids.slice(1, 2)), key_hashes(ids)[1:3])


def test_no_keys_have_no_hashes() -> None:
    assert key_hashes(keys(pa.array([], pa.string()))).tolist() == []
    assert key_hashes(keys(pa.array([], pa.int64()))).tolist() == []
    assert key_hashes(keys(pa.array([], pa.binary(16)))).tolist() == []


def test_hashes_of_consecutive_integers_are_spread_evenly() -> None:
    shares = key_hashes(keys(pa.array(np.arange(100_000)))) / 2.0**64
    assert np.histogram(shares, 10, (0, 1))[0] == pytest.approx(10_000, rel=0.05)


@given(st.lists(st.text(max_size=40), max_size=30), st.integers(0, 5))
def test_texts_of_any_length_and_place_hash_as_defined(texts: list[str], skipped: int) -> None:
    batch = keys(pa.array(texts, pa.string())).slice(skipped)
    assert key_hashes(batch).tolist() == [hash_of(text) for text in texts[skipped:]]
