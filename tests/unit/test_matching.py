"""Who was there before: no more of the published labels are read than it takes to say so."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segjob.clustering.alignment import Match
from segjob.clustering.key_hash import key_hashes
from segjob.job.matching import ASKED_EVERY, labels_of, no_newcomers, without_newcomers

PARENT: Any = SimpleNamespace(model=SimpleNamespace(segment_ids=(3, 5)))
MATCHES = (Match(3, "kept", (3,)), Match(6, "split", (5,)), Match(7, "merged", (3, 5)))
N_BATCHES, BATCH_ROWS = 20 * ASKED_EVERY, 10


def batch(place: int) -> pa.RecordBatch:
    keys = np.arange(place * BATCH_ROWS, (place + 1) * BATCH_ROWS)
    return pa.RecordBatch.from_arrays([pa.array(keys)], names=["id"])


def published(read: list[int]) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    for place in range(N_BATCHES):
        read.append(place)
        yield batch(place), np.full(BATCH_ROWS, 5)


@pytest.fixture(scope="module")
def hashes() -> np.ndarray:
    """Of everyone."""
    return np.sort(np.concatenate([key_hashes(batch(place)) for place in range(N_BATCHES)]))


def test_all_labels_are_read_where_nobody_says_what_is_enough(hashes: np.ndarray) -> None:
    read: list[int] = []
    assert set(labels_of(hashes, PARENT, published(read)).tolist()) == {1}
    assert len(read) == N_BATCHES


def test_no_more_are_read_once_those_who_are_known_suffice(hashes: np.ndarray) -> None:
    read: list[int] = []
    before = labels_of(hashes, PARENT, published(read), lambda known: bool(2 * known.sum() >= len(known)))
    assert np.count_nonzero(before >= 0) == len(hashes) // 2
    assert len(read) == N_BATCHES // 2 + 1


def test_all_are_read_where_they_never_suffice(hashes: np.ndarray) -> None:
    read: list[int] = []
    labels_of(hashes, PARENT, published(read), lambda known: len(known) == 0)
    assert len(read) == N_BATCHES


people = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 2)), min_size=1, max_size=30)


@settings(max_examples=200)
@given(people)
def test_whoever_else_was_there_changes_nothing_once_no_segment_can_be_new(drawn: list[tuple[bool, bool, int]]) -> None:
    first, others, new = (np.array(column) for column in zip(*drawn, strict=True))
    if no_newcomers(MATCHES, first, new):
        assert without_newcomers(MATCHES, first, new) == without_newcomers(MATCHES, first | others, new) == MATCHES
    elif first.any():
        assert without_newcomers(MATCHES, first, new) != MATCHES
