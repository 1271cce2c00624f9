"""Rules are short, readable and good, and their counts do not depend on how the customers were cut into chunks."""

from __future__ import annotations

import re
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segjob.clustering.literals import literal, quote_identifier, quote_literal
from segjob.clustering.rules import MeasuredRule, learn_rules, measured_rules, rule_counts
from segjob.clustering.thresholds import Ascending, find_thresholds, roundest_date, roundest_moment, roundest_number
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec
from tests.unit.clustering.conftest import blobs, customers, cut, plan_of, segment
from tests.unit.clustering.test_whole_way import MALL, mall

NAN = float("nan")


def rules_for(
    specs: list[FeatureSpec], chunk: Chunk, index: np.ndarray, kind: str = "integer"
) -> tuple[MeasuredRule, ...]:
    """Rules for customers whose segments are known, learnt and measured on all of them."""
    columns, types = plan_of(specs, chunk).columns, [kind] * len(specs)
    rules = learn_rules(columns, types, chunk, index, range(1, int(index.max()) + 2))
    return measured_rules(rules, rule_counts(rules, chunk, index + 1), columns, types, excluded=False)


def predicates(rules: tuple[MeasuredRule, ...]) -> list[str]:
    return [rule.predicate for rule in rules]


def test_the_mall_has_rules_that_a_person_would_write() -> None:
    found = segment(MALL, mall(), 5)
    rules = rules_for(MALL, mall(), found.labels.segment_id - 1)
    assert predicates(rules) == [
        '("annual_income" >= 40 AND "annual_income" < 70) IS TRUE',
        '("spending_score" >= 61 AND "annual_income" >= 40) IS TRUE',
        '("spending_score" < 40 AND "annual_income" >= 40) IS TRUE',
        '("annual_income" < 40 AND "spending_score" < 50) IS TRUE',
        '("annual_income" < 40 AND "spending_score" >= 50) IS TRUE',
    ]
    incomes = mall().numbers[:, 0]
    ruled = (incomes >= 40) & (incomes < 70)
    members = found.labels.segment_id == 1
    assert rules[0].precision == np.count_nonzero(ruled & members) / np.count_nonzero(ruled)
    assert rules[0].recall == np.count_nonzero(ruled & members) / np.count_nonzero(members)


def test_a_rule_tells_where_missing_values_go() -> None:
    values = np.array([NAN] * 30 + [1.0] * 30 + [9.0] * 40)
    rules = rules_for([FeatureSpec("x")], customers(values), np.repeat([0, 1], [60, 40]))
    assert predicates(rules) == ['(("x" < 5 OR "x" IS NULL)) IS TRUE', '("x" >= 5) IS TRUE']
    assert [(rule.precision, rule.recall) for rule in rules] == [(1.0, 1.0)] * 2


def test_categories_are_named_and_the_others_are_what_is_not_named() -> None:
    texts = ["DE"] * 40 + ["FR"] * 30 + ["it's"] * 20 + [None] * 10
    chunk = customers(categories=[texts])
    rules = rules_for([FeatureSpec("country", onehot=True)], chunk, np.repeat([0, 1, 2], [40, 50, 10]), "text")
    assert predicates(rules) == [
        "(\"country\" = 'DE') IS TRUE",
        "(\"country\" IN ('FR', 'it''s')) IS TRUE",
        "((\"country\" IS NULL OR \"country\" NOT IN ('DE', 'FR', 'it''s'))) IS TRUE",
    ]
    assert all(rule.precision == rule.recall == 1.0 for rule in rules)


def test_a_single_segment_and_customers_who_are_all_alike_are_everyone() -> None:
    spread = rules_for([FeatureSpec("x")], customers(np.arange(20.0)), np.zeros(20, np.int64))
    alike = rules_for([FeatureSpec("x"), FeatureSpec("y")], customers([[3.0, NAN]] * 20), np.zeros(20, np.int64))
    assert spread == alike == (MeasuredRule(1, "TRUE", 1.0, 1.0),)


def test_constant_and_empty_columns_are_in_no_rule() -> None:
    matrix, truth = blobs(300, 3, 2, apart=9.0)
    matrix[:, 1], matrix[:, 2] = 4.0, NAN
    specs = [FeatureSpec("varied"), FeatureSpec("constant"), FeatureSpec("empty")]
    for predicate in predicates(rules_for(specs, customers(matrix), truth)):
        assert '"varied"' in predicate
        assert "constant" not in predicate
        assert "empty" not in predicate


def test_a_segment_of_one_in_a_thousand_is_found() -> None:
    random = np.random.default_rng(3)
    matrix = random.normal(size=(20_000, 4))
    index = (np.arange(20_000) % 1_000 == 0).astype(np.int64)
    matrix[index == 1] += [8.0, 0.0, -8.0, 0.0]
    rules = rules_for([FeatureSpec(name) for name in "abcd"], customers(matrix), index, "double precision")
    assert rules[1].precision == rules[1].recall == 1.0


def test_rules_of_clouds_are_good_and_short() -> None:
    matrix, truth = blobs(6_000, 6, 6, apart=4.0)
    rules = rules_for([FeatureSpec(f"x{i}") for i in range(6)], customers(matrix), truth, "double precision")
    for rule in rules:
        assert rule.precision is not None
        assert rule.recall is not None
        assert min(rule.precision, rule.recall) > 0.85
        assert rule.predicate.count(" AND ") < 4
        assert len(rule.predicate) < 120


def test_of_many_features_the_telling_ones_are_found() -> None:
    random = np.random.default_rng(5)
    matrix = random.normal(size=(2_000, 40))
    truth = random.integers(3, size=2_000)
    matrix[:, 37] += truth * 12.0
    rules = rules_for([FeatureSpec(f"x{i}") for i in range(40)], customers(matrix), truth, "real")
    assert all(rule.precision == rule.recall == 1.0 for rule in rules)
    assert all(set(re.findall(r'"(.+?)"', rule.predicate)) == {"x37"} for rule in rules)


def test_the_counts_do_not_depend_on_the_chunks() -> None:
    matrix, truth = blobs(500, 2, 3)
    chunk = customers(np.where(np.random.default_rng(1).random(matrix.shape) < 0.1, NAN, matrix))
    columns = plan_of([FeatureSpec("a"), FeatureSpec("b")], chunk).columns
    rules = learn_rules(columns, ["real", "numeric"], chunk, truth, (4, 7, 9))
    ids = np.array([4, 7, 9])[truth]
    whole = rule_counts(rules, chunk, ids)
    parts = [rule_counts(rules, part, ids[i * 7 : i * 7 + 7]) for i, part in enumerate(cut(chunk, 7))]
    merged = reduce(lambda one, other: one.merge(other), parts)
    for name in ("found", "hits", "members", "ties"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))
    assert whole.members.tolist() == np.bincount(truth).tolist()


def test_a_rule_that_finds_nobody_has_no_precision() -> None:
    chunk = customers(np.arange(20.0))
    columns = plan_of([FeatureSpec("x")], chunk).columns
    rules = learn_rules(columns, ["integer"], chunk, (np.arange(20) > 9).astype(np.int64), (1, 2))
    counts = rule_counts(rules, customers(np.zeros(5)), np.ones(5, np.int64))
    assert [rule.precision for rule in measured_rules(rules, counts, columns, ["integer"], False)] == [1.0, None]


def test_customers_without_a_segment_are_in_no_rule() -> None:
    chunk = customers([[float(i), float(i % 2)] for i in range(40)])
    specs = [FeatureSpec("x"), FeatureSpec("y", impute="exclude")]
    columns = plan_of(specs, chunk).columns
    rules = learn_rules(columns, ["integer"] * 2, chunk, (np.arange(40) > 19).astype(np.int64), (1, 2))
    counts = rule_counts(rules, chunk, 1 + (np.arange(40) > 19))
    told = predicates(measured_rules(rules, counts, columns, ["integer"] * 2, excluded=True))
    assert told == ['("x" < 20 AND "y" IS NOT NULL) IS TRUE', '("x" >= 20 AND "y" IS NOT NULL) IS TRUE']


# Thresholds and constants


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (39.0, 40.0, 40.0),
        (57.2, 64.0, 60.0),
        (-3.0, 2.0, 0.0),
        (0.1234, 0.1278, 0.125),
        (-1.1, -0.9, -1.0),
        (999.0, 1001.0, 1000.0),
        (1e300, 2e300, 2e300),
        (0.1, 0.1 + 2**-55, 0.1 + 2**-55),
    ],
)
def test_a_threshold_has_the_fewest_digits(low: float, high: float, expected: float) -> None:
    found = roundest_number(None, low, high)
    assert found is not None
    assert found[0] == expected


@given(st.floats(-1e200, 1e200), st.floats(-1e200, 1e200))
def test_a_threshold_parts_the_values_and_reads_back_exactly(one: float, other: float) -> None:
    low, high = sorted((one, other))
    if low < high:
        found = roundest_number(None, low, high)
        assert found is not None
        assert low < found[0] <= high
        assert float(literal("number", "numeric", found[0])) == found[0]


def test_a_threshold_keeps_away_from_values_that_may_only_look_like_it() -> None:
    values = np.array([1.0, 2.0, 3.0] * 50)
    index = (values == 3.0).astype(np.int64)
    column = Ascending.of(values)
    assert find_thresholds("number", column, index, 2).values.tolist() == [2.0, 3.0]
    assert find_thresholds("number", column, index, 2, between=True).values.tolist() == [1.5, 2.5]


def test_days_are_cut_at_the_start_of_a_year_or_a_month_where_that_can_be() -> None:
    def cut_at(low: str, high: str) -> str:
        found = roundest_date(*(float(np.datetime64(day, "D").astype(int)) for day in (low, high)))
        assert found is not None
        return literal("date", "date", found[0])

    assert cut_at("2023-11-05", "2024-02-20") == "DATE '2024-01-01'"
    assert cut_at("2024-02-20", "2024-03-20") == "DATE '2024-03-01'"
    assert cut_at("2024-03-07", "2024-03-09") == "DATE '2024-03-09'"
    assert cut_at("-0045-12-30", "-0044-03-15") == "DATE '0045-01-01 BC'"
    assert cut_at("12345-06-06", "12345-06-07") == "DATE '12345-06-07'"


def test_moments_are_cut_as_coarsely_as_can_be_and_never_where_no_timestamp_is() -> None:
    day = 86_400e6
    found = roundest_moment(19_783 + 1e6 / day, 19_783 + 8_000e6 / day)
    assert found is not None
    assert literal("timestamp", "timestamp without time zone", found[0]) == "TIMESTAMP '2024-03-01 02:00:00+00'"
    assert literal("timestamp", "my_moment", 0.5 + 1 / day) == "'1970-01-01 12:00:00.000001+00'"
    assert literal("timestamp", "timestamp(3) with time zone", -1.0).startswith("TIMESTAMPTZ '1969-12-31")
    assert roundest_moment(0.0, 1e-16) is None
    assert roundest_moment(0.0, 1e300) is None


def test_names_and_texts_are_quoted() -> None:
    assert quote_identifier('Betrag "in" €') == '"Betrag ""in"" €"'
    assert quote_literal("O'Hara") == "'O''Hara'"
    assert quote_literal("a\\'b") == "E'a\\\\''b'"
