"""Ids by hand, and laws that hold for any table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segjob.clustering.alignment import Match, align

NEXT = 20


def matches(shared: Sequence[Sequence[int]], old_ids: Sequence[int] | None = None) -> list[Match]:
    table = np.array(shared)
    ids = range(1, len(table) + 1) if old_ids is None else old_ids
    return list(align(table, ids, table.sum(axis=0), NEXT))


def kept(segment_id: int, *others: int) -> Match:
    return Match(segment_id, "kept", tuple(sorted((segment_id, *others))))


def test_without_a_parent_all_are_new_the_largest_first() -> None:
    found = align(np.empty((0, 3), np.int64), (), np.array([5, 9, 9]), 1)
    assert found == (Match(3, "new"), Match(1, "new"), Match(2, "new"))


def test_the_same_segments_in_another_order_keep_their_ids() -> None:
    assert matches([[0, 10], [30, 0]]) == [kept(2), kept(1)]


def test_more_than_half_of_both_sides_keeps_the_id_though_another_pair_overlaps_more() -> None:
    assert matches([[51, 49], [49, 0]]) == [kept(1, 2), Match(NEXT, "split", (1,))]


def test_a_segment_in_two_equal_halves_leaves_the_id_to_the_first_and_the_other_is_split_from_it() -> None:
    assert matches([[50, 50, 0], [0, 0, 80]]) == [kept(1), Match(NEXT, "split", (1,)), kept(2)]


def test_the_larger_part_keeps_the_id() -> None:
    assert matches([[40, 60]]) == [Match(NEXT, "split", (1,)), kept(1)]


def test_two_equal_segments_that_become_one_leave_it_the_lower_id() -> None:
    assert matches([[50], [50]], [7, 3]) == [kept(3, 7)]


def test_what_holds_most_of_many_and_continues_none_is_merged() -> None:
    assert matches([[25], [25], [25], [25]]) == [Match(NEXT, "merged", (1, 2, 3, 4))]


def test_a_jaccard_index_of_three_tenths_keeps_the_id_and_less_does_not() -> None:
    assert matches([[30, 0, 0], [35, 35, 0], [35, 0, 35]])[0] == kept(1)  # 30 of 100 together
    assert matches([[29, 0, 0], [35, 35, 0], [36, 0, 35]])[0] == Match(NEXT, "merged", (1, 2, 3))


def test_pairs_are_chosen_for_their_sum_not_one_by_one() -> None:
    # The largest overlap of the rest is that of 1 with the second column; then neither 2 nor the first had a partner.
    table = [[40, 45, 15, 0, 0], [0, 40, 20, 20, 0], [31, 0, 0, 0, 100]]
    kept_ids = [match.segment_id if match.origin == "kept" else None for match in matches(table)]
    assert kept_ids == [1, 2, None, None, 3]


def test_half_from_a_kept_segment_is_a_split_and_less_is_new() -> None:
    assert matches([[90, 30, 0], [0, 30, 200]])[1] == Match(NEXT, "split", (1,))
    assert matches([[90, 29, 0], [0, 30, 200]])[1] == Match(NEXT, "split", (2,))
    assert matches([[90, 30, 0], [0, 29, 200], [0, 2, 9]])[1] == Match(NEXT, "new")


def test_what_came_from_everywhere_is_new() -> None:
    table = [[100, 10, 0, 0], [0, 10, 100, 0], [0, 10, 0, 100]]
    assert matches(table)[1] == Match(NEXT, "new")


def test_nobody_in_common_is_never_the_same_segment() -> None:
    assert matches([[0, 0], [0, 5]]) == [Match(NEXT, "new"), kept(2)]


def test_a_kept_segment_says_whom_it_took_in() -> None:
    assert matches([[80], [20]]) == [kept(1, 2)]


# Laws

tables = hnp.arrays(
    np.int64,
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    elements=st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 100)),
)


@given(tables, st.integers(0, 2**32))
def test_the_order_of_old_and_new_changes_nothing(table: np.ndarray, seed: int) -> None:
    rows, columns = map(np.random.default_rng(seed).permutation, table.shape)
    ids = np.arange(len(table)) + 1
    found = align(table, ids.tolist(), table.sum(axis=0), NEXT)
    other = align(table[rows][:, columns], ids[rows].tolist(), table.sum(axis=0)[columns], NEXT)
    assert described(table, found) == described(table[:, columns], other)


def described(table: np.ndarray, found: Sequence[Match]) -> list[tuple[object, ...]]:
    """What became of each column; columns that are alike can not be told apart."""
    return sorted(
        (tuple(column), match.segment_id, match.origin, match.from_segment_ids)
        for column, match in zip(table.T.tolist(), found, strict=True)
    )


@given(tables)
def test_no_id_is_given_twice_and_what_is_not_kept_was_never_used(table: np.ndarray) -> None:
    found = align(table, range(1, len(table) + 1), table.sum(axis=0), NEXT)
    ids = [match.segment_id for match in found]
    assert len(set(ids)) == len(ids)
    for match in found:
        assert (match.segment_id <= len(table)) == (match.origin == "kept")
    new = sorted(match.segment_id for match in found if match.origin != "kept")
    assert new == list(range(NEXT, NEXT + len(new)))


@given(tables)
def test_a_majority_of_both_sides_always_keeps_the_id_and_no_kept_pair_overlaps_by_less_than_three_tenths(
    table: np.ndarray,
) -> None:
    found = align(table, range(1, len(table) + 1), table.sum(axis=0), NEXT)
    for column, match in enumerate(found):
        for row, both in enumerate(table[:, column].tolist()):
            of_old, of_new = table[row].sum(), table[:, column].sum()
            if 2 * both > of_old and 2 * both > of_new:
                assert match.segment_id == row + 1
            if match.segment_id == row + 1:
                assert both > 0
                assert 10 * both >= 3 * (of_old + of_new - both)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=8))
def test_nothing_changed_keeps_all(sizes: list[int]) -> None:
    found = matches(np.diag(sizes).tolist())
    assert found == [kept(place + 1) for place in range(len(sizes))]


@pytest.mark.parametrize("n", [1, 3, 60, 150])
def test_ties_go_to_the_lowest_ids_however_many_segments_there_are(n: int) -> None:
    halves = np.repeat(np.diag([10] * n), 2, axis=1)  # every segment in two equal halves
    found = align(halves, range(1, n + 1), halves.sum(axis=0), 1000)
    assert sorted(match.segment_id for match in found if match.origin == "kept") == list(range(1, n + 1))
    merged = align(halves.T, range(1, 2 * n + 1), halves.T.sum(axis=0), 1000)
    assert sorted(match.segment_id for match in merged) == list(range(1, 2 * n, 2))
