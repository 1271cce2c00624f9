"""What `score` does to the published labels, from the labels of today on: keys of every kind, and who comes between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from segjob.errors import TryAgain
from segjob.postgres.locks import fit_lock
from segjob.postgres.publishing import scoring
from segjob.postgres.publishing.history import keep_moves
from segjob.postgres.publishing.moves import Moves
from segjob.postgres.publishing.publish import pointer_of
from segjob.postgres.publishing.scoring import (
    Changes,
    Scored,
    Scoring,
    apply_to_staged,
    count_unknown,
    drop_scratch,
    find_changes,
    has_touched,
    make_changes,
    occupied,
    scored_table,
    touched_keys,
    write_moves_of_changes,
)
from segjob.postgres.queries import quote
from segjob.postgres.reading.columns import ReadPlan, plan_read
from segjob.postgres.reading.partial import only_these, only_those_in, watermark_of
from segjob.postgres.reading.source import describe
from segjob.records.source import FeatureSpec, SourceSpec
from tests.integration.publishing import KEYS, Segments, Shop

pytestmark = pytest.mark.long

Rows = dict[str, tuple[Any, ...]]
BEFORE: Segments = {1: 1, 2: 1, 3: 2, 4: 2}
TODAY: Segments = {1: 1, 2: 2, 4: None, 5: 1}
SCRATCH = "SELECT relname FROM pg_class WHERE relname LIKE '%#%' AND relkind = 'r' ORDER BY 1"


class Scores:
    """Labels of today that are given, not computed."""

    def __init__(self, shop: Shop, version_id: int = 1, purpose: str = "scored") -> None:
        self.shop = shop
        self.scored = Scored(shop.names, version_id, shop.keys, purpose)

    @contextmanager
    def table(self, segments: Segments, carried: Segments | None = None) -> Iterator[Scored]:
        """The table of them, as `score` fills it."""
        keys = self.scored.identifiers["keys"]
        columns = f"{keys}, segment_id, carried_segment_id".replace("%", "%%")
        with scored_table(self.shop.database, self.scored):
            for customer, segment in segments.items():
                statement = f"INSERT INTO {self.scored.table} ({columns}) VALUES ({self.shop.key(customer)}, %s, %s)"
                self.shop.connection.execute(statement.encode(), [segment, (carried or {}).get(customer)])
            keyed = f"ALTER TABLE {self.scored.table} ADD PRIMARY KEY (version_id, {keys})"
            self.shop.connection.execute(keyed.encode())
            yield self.scored

    def find(self, known: str = "all_labels") -> Scoring:
        """What is to become visible, with the history that goes with it."""
        with self.shop.database.begin() as session:
            pointer = pointer_of(session, "mall")
            assert pointer is not None
            changes = find_changes(session, self.scored, known)
            found = occupied(session, self.scored)
        if changes.n_moved:
            moves = Moves(self.shop.names, pointer.publication + 1, self.shop.keys)
            with self.shop.database.begin() as session:
                write_moves_of_changes(session, self.scored, moves)
            keep_moves(self.shop.database, moves, changes.n_moved)
        return Scoring(self.scored, pointer, changes, found, self.shop.new_run(), kept=True, fit_due=False)


def labels(shop: Shop, version_id: int = 1) -> Rows:
    """Segment, what the parent's model says, and which transaction wrote it, by key."""
    part = shop.part(version_id)
    keys = part.identifiers["keys"].replace("%", "%%")
    statement = f"SELECT {keys}, segment_id, carried_segment_id, xmin::text FROM {part.table}"
    rows = shop.connection.execute(statement.encode(), []).fetchall()
    return {"/".join(map(str, row[:-3])): row[-3:] for row in rows}


def segments_of(shop: Shop, version_id: int = 1) -> dict[str, int | None]:
    return {key: row[0] for key, row in labels(shop, version_id).items()}


def keyed(shop: Shop, segments: Segments) -> dict[str, int | None]:
    return {shop.keyed(customer): segment for customer, segment in segments.items()}


def published(shop: Shop, segments: Segments = BEFORE) -> None:
    shop.store(1, segments)
    shop.publish(1)


@pytest.mark.parametrize("kind", KEYS)
def test_labels_of_today_take_the_place_of_those_that_differ_and_history_knows(database, connection, kind):
    shop = Shop(database, connection, kind)
    published(shop)
    before = labels(shop)
    scores = Scores(shop)
    with scores.table(TODAY):
        scoring = scores.find()
        assert scoring.changes == Changes(n_came=1, n_changed=2, n_left=1, n_moved=4)
        done = make_changes(database, scoring, {})
    assert done is not None
    assert segments_of(shop) == keyed(shop, TODAY)
    assert labels(shop)[shop.keyed(1)] == before[shop.keyed(1)]
    visible = {customer: segment for customer, segment in TODAY.items() if segment is not None}
    moments = connection.execute("SELECT published_at FROM segjob.publication ORDER BY publication").fetchall()
    for (moment,), expected in zip(moments, (BEFORE, visible), strict=True):
        assert {key: row[0] for key, row in shop.as_of(moment).items()} == keyed(shop, expected)
    sizes = connection.execute("SELECT n_customers_now FROM segments.mall_profile ORDER BY segment_id").fetchall()
    assert sizes == [(2,), (1,)]
    assert connection.execute(SCRATCH).fetchall() == []


@pytest.mark.parametrize("kind", KEYS)
def test_of_those_who_changed_lately_and_those_who_are_gone_nobody_else_is_touched(database, connection, kind):
    shop = Shop(database, connection, kind)
    published(shop)
    scores = Scores(shop)
    present = Scores(shop, purpose="present")
    with present.table(dict.fromkeys((1, 2, 4, 5))), scores.table({2: 2, 5: 1}):
        with database.begin() as session:
            assert count_unknown(session, scores.scored) == 0
        make_changes(database, scores.find("labels_of_recent"), {})
    assert segments_of(shop) == keyed(shop, {1: 1, 2: 2, 4: 2, 5: 1})
    with present.table(dict.fromkeys((1, 2, 4, 5, 6))), scores.table({}), database.begin() as session:
        assert count_unknown(session, scores.scored) == 1


@pytest.mark.parametrize("kind", KEYS)
def test_a_staged_version_gets_what_was_touched_meanwhile_and_what_the_parent_says_of_it(database, connection, kind):
    shop = Shop(database, connection, kind)
    published(shop)
    shop.store(2, BEFORE)
    part = shop.part(2)
    connection.execute(f"UPDATE {part.table} SET carried_segment_id = segment_id".encode())
    scores = Scores(shop)
    with scores.table(TODAY), fit_lock(database, "mall"):
        make_changes(database, scores.find(), {})
    caught = Scores(shop, 2, "caught")
    here, elsewhere = of_touched(shop, caught.scored)
    read = sorted(shop.connection.execute(here.sql.encode()).fetchall())
    assert {"/".join(map(str, row)) for row in read} == {shop.keyed(customer) for customer in (2, 4, 5)}
    assert sorted(shop.connection.execute(elsewhere.sql.encode()).fetchall()) == read
    with caught.table({1: 2, 2: 1, 4: None, 5: 2}, carried={2: 2, 5: 1}), database.begin() as session:
        assert has_touched(session, caught.scored)
        assert apply_to_staged(session, caught.scored) == Changes(n_came=1, n_changed=2, n_left=1, n_moved=3)
    assert {key: row[:2] for key, row in labels(shop, 2).items()} == {
        shop.keyed(1): (1, 1),
        shop.keyed(2): (1, 2),
        shop.keyed(4): (None, None),
        shop.keyed(5): (2, 1),
    }
    with database.begin() as session:
        drop_scratch(session, shop.names)
    assert connection.execute(SCRATCH).fetchall() == []


def of_touched(shop: Shop, scored: Scored) -> tuple[ReadPlan, ReadPlan]:
    """How a fit reads those whom `score` touched, from a source that has the keys of TODAY, here or elsewhere."""
    plan, _ = plans(shop, TODAY)
    with shop.database.begin() as session:
        keys = touched_keys(session, scored)
    assert keys is not None
    return only_those_in(plan, scored.names.scratch("touched"), scored.key_names), only_these(plan, keys)


def test_keys_are_not_sent_to_another_server_where_they_are_too_many(database, connection, monkeypatch):
    shop = Shop(database, connection)
    published(shop)
    scores = Scores(shop)
    with scores.table(TODAY), fit_lock(database, "mall"):
        make_changes(database, scores.find(), {})
    caught = Scored(shop.names, 1, shop.keys, "caught")
    for most, sent in ((4, True), (3, False)):
        monkeypatch.setattr(scoring, "MOST_KEYS_SENT", most)
        with database.begin() as session:
            assert (touched_keys(session, caught) is not None) == sent


def plans(shop: Shop, customers: Mapping[int, object]) -> tuple[ReadPlan, Any]:
    """A source of these customers: the plan for all of them, and its description."""
    columns = ", ".join(f"{quote(key.name)} {key.type}" for key in shop.keys)
    odd = quote('seit: %s {x} "y"')
    shop.connection.execute(f"CREATE TABLE public.customer ({columns}, {odd} integer)".encode())
    for customer in customers:
        shop.connection.execute(f"INSERT INTO public.customer VALUES ({shop.key(customer)}, {customer})".encode())
    source = SourceSpec(relation="public.customer", query=None, where="'50 %: {x}' <> ''", params={})
    with shop.database.begin() as session:
        description = describe(session, source)
    return plan_read(description, [key.name for key in shop.keys], []), description


@pytest.mark.parametrize("kind", KEYS)
def test_a_watermark_of_any_name_beside_keys_of_any_name(database, connection, kind):
    shop = Shop(database, connection, kind)
    _, description = plans(shop, TODAY)
    mark = watermark_of(description, 'seit: %s {x} "y"')
    with database.begin() as session:
        assert mark.value_of(mark.highest(session)) == "5"
    keys = [key.name for key in shop.keys]
    recent = connection.execute(mark.plan_since("4", keys, list[FeatureSpec]()).sql.encode()).fetchall()
    assert len(recent) == 2
    assert len(connection.execute(mark.plan_keys(keys).sql.encode()).fetchall()) == 4


@pytest.mark.parametrize("moved", [True, False])
def test_who_was_overtaken_changes_nothing(database, connection, moved):
    shop = Shop(database, connection)
    published(shop)
    shop.store(2, BEFORE)
    scores = Scores(shop)
    with scores.table(TODAY if moved else BEFORE):
        connection.execute(f"UPDATE {scores.scored.table} SET distance = 1.5".encode())
        scoring = scores.find()
        assert bool(scoring.changes.n_moved) == moved
        shop.publish(2)
        before = labels(shop)
        with pytest.raises(TryAgain, match="no label was changed"):
            make_changes(database, scoring, {})
        assert labels(shop) == before
        stale = replace(scoring, pointer=replace(scoring.pointer, publication=7))
        with pytest.raises(TryAgain, match="no label was changed"):
            make_changes(database, stale, {})


def test_time_goes_on_though_the_clock_was_set_back_before_or_after_scoring(database, connection):
    shop = Shop(database, connection)
    published(shop)
    connection.execute("UPDATE segjob.publication SET published_at = '2400-01-01'")
    scores = Scores(shop)
    with scores.table(TODAY):
        make_changes(database, scores.find(), {})
    connection.execute("UPDATE segjob.publication SET published_at = '2500-01-01' WHERE publication = 2")
    shop.store(2, BEFORE)
    shop.publish(2)
    times = connection.execute("SELECT published_at FROM segjob.publication ORDER BY publication").fetchall()
    assert times == sorted(set(times))


def test_a_label_that_changes_forgets_what_the_parent_said_of_the_customer_before(database, connection):
    shop = Shop(database, connection)
    published(shop)
    connection.execute(f"UPDATE {shop.part(1).table} SET carried_segment_id = 2".encode())
    scores = Scores(shop)
    with scores.table({1: 1, 2: 2, 3: 2, 4: 2}):
        scoring = scores.find()
        assert scoring.changes == Changes(n_came=0, n_changed=1, n_left=0, n_moved=1)
        make_changes(database, scoring, {})
    assert {key: row[1] for key, row in labels(shop).items()} == {"1": 2, "2": None, "3": 2, "4": 2}
