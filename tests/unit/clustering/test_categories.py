"""Frequent categories in bounded memory."""

from __future__ import annotations

from collections import Counter
from functools import reduce

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segjob.clustering import categories
from segjob.clustering.categories import (
    candidates_of,
    category_codes,
    count_categories,
    count_exactly,
    frequent_categories,
)


@settings(max_examples=80)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(1, 60), st.integers(2, 8))
def test_every_category_above_the_error_bound_keeps_a_counter(values: list[int], size: int, counters: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(categories, "COUNTERS", counters)
        texts = [str(value) for value in values]
        parts = [count_categories(pa.array(texts[first : first + size])) for first in range(0, len(texts), size)]
        found = reduce(lambda merged, other: merged.merge(other), parts).counts
    assert len(found) <= counters
    for name, count in Counter(texts).items():
        assert found.get(name, 0) <= count
        if count * (counters + 1) > len(texts):
            assert name in found


def test_ten_thousand_categories_keep_their_frequent_one_in_bounded_memory() -> None:
    random = np.random.default_rng(0)
    values = np.where(random.random(100_000) < 0.011, "loyal", random.integers(0, 10_000, 100_000).astype(str))
    parts = [count_categories(pa.array(piece, pa.string())) for piece in np.split(values, 20)]
    found = reduce(lambda merged, other: merged.merge(other), parts)
    assert len(found.counts) <= categories.COUNTERS
    candidates = candidates_of(found)
    counts = count_exactly(pa.array(values, pa.string()), candidates)
    assert counts.sum() == 100_000
    by_name = dict(zip(candidates, counts.tolist(), strict=False))
    assert frequent_categories(by_name, 100_000) == ["loyal"]


def test_null_is_missing_and_no_category() -> None:
    found = count_categories(pa.array(["a", None, "a", "", None]))
    assert dict(found.counts) == {"a": 2, "": 1}
    assert found.n_missing == 2


def test_a_category_called_other_joins_the_rest() -> None:
    assert candidates_of(count_categories(pa.array(["other", "a", "b"]))) == ["a", "b"]


def test_exactly_one_percent_is_not_rare() -> None:
    assert frequent_categories({"one": 10, "less": 9, "most": 981}, 1000) == ["most", "one"]


def test_only_the_32_most_frequent_are_kept_and_ties_go_by_bytes() -> None:
    names = [f"{letter}{number}" for letter in "aZé" for number in range(11)]
    kept = frequent_categories(dict.fromkeys(names, 30), 1000)
    assert len(kept) == 32
    assert kept == sorted(names, key=str.encode)[:32]
    assert kept[0] == "Z0"
    assert "é9" not in kept


def test_codes_of_null_and_unknown_values_are_the_last() -> None:
    assert category_codes(pa.array(["b", None, "a", "x"]), ["a", "b"]).tolist() == [1, 2, 0, 2]
    assert category_codes(pa.array(["b", None]), []).tolist() == [0, 0]
