"""Two versions' labels compared: who moved, from where to where, and why."""

from __future__ import annotations

import pytest

from segjob.postgres.publishing.moves import Moves, compare, drop_moves, write_moves
from segjob.records.comparison import Transition
from tests.integration.publishing import KEYS, Segments, Shop

BEFORE: Segments = {1: 1, 2: 1, 3: 2, 4: 2, 5: None, 6: 3, 7: 3}
AFTER: Segments = {1: 1, 2: 2, 3: 2, 4: None, 5: 1, 6: 4, 8: 4}
WHO = [(1, 1, 1), (1, 2, 1), (2, 2, 1), (2, None, 1), (None, 1, 1), (3, 4, 1), (3, None, 1), (None, 4, 1)]


@pytest.mark.parametrize("kind", KEYS)
def test_everybody_is_counted_once_by_where_from_and_where_to(database, connection, kind):
    shop = Shop(database, connection, kind)
    before = shop.label(1, BEFORE)
    after = shop.store(2, AFTER)
    moves = Moves(before.names, 2, before.keys)
    found = compare(database, before, after)
    written = write_moves(database, before, after, moves, carried=False, logged=True)
    assert set(found.transitions) == set(written.transitions) == {Transition(*one) for one in WHO}
    assert len(found.transitions) == len(written.transitions) == len(WHO)
    assert (found.n_shared, found.n_stayed, found.label_churn) == (4, 2, 0.5)
    kept = connection.execute(f"SELECT segment_id, new_segment_id FROM {moves.table}".encode()).fetchall()
    assert set(kept) == {(1, 2), (2, None), (None, 1), (3, 4), (3, None), (None, 4)}
    drop_moves(database, moves)
    assert connection.execute("SELECT to_regclass(%s)", [moves.table]).fetchone() == (None,)


def test_of_those_who_moved_it_is_told_whether_their_features_or_the_model_did(database, connection):
    shop = Shop(database, connection)
    before = shop.label(1, {1: 1, 2: 1, 3: 1, 4: 1, 5: 3, 6: 3})
    after = shop.store(2, {1: 2, 2: 2, 3: 2, 4: 1, 5: 3, 7: 2}, carried={1: 2, 2: 1, 3: 3, 4: 2, 5: 3, 7: 1})
    expected = {
        Transition(1, 2, 3, n_features_moved=2, n_model_moved=2),
        Transition(1, 1, 1),
        Transition(3, 3, 1),
        Transition(3, None, 1),
        Transition(None, 2, 1),
    }
    assert set(compare(database, before, after, carried=True).transitions) == expected
    written = write_moves(database, before, after, Moves(before.names, 7, before.keys), carried=True, logged=False)
    assert set(written.transitions) == expected


def test_without_an_answer_of_the_old_model_for_everyone_nothing_is_told(database, connection):
    shop = Shop(database, connection)
    before = shop.label(1, {1: 1, 2: 1})
    after = shop.label(2, {1: 2, 2: 2}, {1: 2})
    assert compare(database, before, after, carried=True).transitions == (Transition(1, 2, 2),)


def test_strangers_share_nobody_and_have_no_churn(database, connection):
    shop = Shop(database, connection)
    before = shop.label(1, {1: 1})
    after = shop.label(2, {2: 1})
    found = compare(database, before, after)
    assert (found.n_shared, found.label_churn) == (0, None)
    assert set(found.transitions) == {Transition(1, None, 1), Transition(None, 1, 1)}


def test_a_version_compared_with_itself_has_no_churn(database, connection):
    shop = Shop(database, connection)
    before = shop.label(1, BEFORE)
    assert compare(database, before, before).label_churn == 0
