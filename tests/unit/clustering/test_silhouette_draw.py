"""Who is evaluated and who stands for the segments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segjob.clustering.silhouette_draw import (
    N_GROUPS,
    Draw,
    Members,
    draw,
    everybody,
    sampled_roles,
    segment_roles,
)


def drawn(sizes: list[int], counts: list[int], n_evaluated: int, n_references: int) -> Draw:
    index = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    members = Members(index, len(sizes))
    roles = sampled_roles(members.numbers, np.array(counts), n_evaluated, n_references)
    return draw(members, np.array(counts), roles)


def test_in_a_large_segment_nobody_is_both() -> None:
    found = drawn([5_000, 5_000], [10**6, 10**6], 256, 512)
    assert not set(found.evaluated) & set(found.references)
    assert (found.own_group == -1).all()


def test_in_a_segment_drawn_in_great_part_as_many_are_both_as_two_independent_draws_would_share() -> None:
    roles = segment_roles(1_000, 1_000, 500, 640)
    both = np.count_nonzero(roles.own_groups() >= 0)
    assert both == 500 * 640 / 1_000


def test_a_segment_of_which_all_are_asked_for_is_drawn_as_a_whole() -> None:
    assert segment_roles(300, 300, 400, 800) == everybody(300)


def test_the_first_of_the_sample_are_evaluated_and_the_next_are_references() -> None:
    index = np.array([0, 1] * 500)
    members = Members(index, 2)
    found = draw(members, np.array([10**6, 10**6]), sampled_roles(members.numbers, np.array([10**6] * 2), 20, 64))
    assert found.evaluated.tolist() == [*range(0, 20, 2), *range(1, 20, 2)]
    assert found.references.tolist() == [*range(20, 84, 2), *range(21, 84, 2)]


def test_small_segments_get_half_an_even_share_and_large_ones_half_of_theirs() -> None:
    found = drawn([9_000, 1_000], [9 * 10**6, 10**6], 1_000, 2_048)
    assert found.n_evaluated.tolist() == [700, 300]


def test_groups_are_of_one_size_within_a_segment() -> None:
    found = drawn([5_000, 100, 30], [10**6, 10**5, 10**4], 1_024, 2_048)
    assert found.groups.numbers.tolist()[:2] == [N_GROUPS, N_GROUPS]
    assert (found.groups.numbers <= N_GROUPS).all()
    assert found.groups.references.sum() == len(found.references)


def test_a_segment_of_which_the_sample_has_three_is_not_evaluated_but_near_to_others() -> None:
    found = drawn([500, 3], [10**6, 6_000], 128, 256)
    assert found.n_evaluated.tolist()[1] == 0
    assert found.groups.references.tolist()[1] == 3


def test_a_draw_is_exact_where_everybody_meets_everybody() -> None:
    index = np.array([0, 0, 1, 1, 1])
    members = Members(index, 2)
    roles = [everybody(2), everybody(3)]
    assert draw(members, np.array([2, 3]), roles).exact.tolist() == [True, True]
    assert draw(members, np.array([2, 3]), roles).only(np.array([True, False])).exact.tolist() == [True, False]
    assert draw(members, np.array([2, 4]), roles).exact.tolist() == [False, False]


@pytest.mark.parametrize("places", [300, 70_000])
def test_members_are_in_the_order_of_the_sample_for_any_number_of_segments(places: int) -> None:
    index = np.random.default_rng(0).integers(places, size=1_000)
    members = Members(index, places)
    for each in (0, places // 2, int(index[7])):
        expected = np.flatnonzero(index == each)
        np.testing.assert_array_equal(members.of(each, 0, int(members.numbers[each])), expected)


@given(
    st.integers(1, 5_000).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count))),
    st.integers(2, 2_000),
    st.integers(2, 4_000),
)
def test_no_more_is_drawn_than_there_is(sizes: tuple[int, int], n_evaluated: int, n_references: int) -> None:
    count, available = sizes
    roles = segment_roles(count, available, n_evaluated, n_references)
    assert 0 <= roles.n_evaluated <= min(available, max(n_evaluated, 0))
    assert 0 <= roles.first_reference <= roles.n_evaluated
    assert roles.first_reference + roles.n_references <= available
    assert roles.n_groups * roles.group_size == roles.n_references
    if available >= 4:
        assert roles.n_references >= 2
        assert roles.n_evaluated >= 1
        assert roles.n_references < count or roles.n_groups == 1
