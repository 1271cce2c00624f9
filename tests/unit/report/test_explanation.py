"""The rules and what sets segments apart stand on the page as the version has them."""

from __future__ import annotations

from dataclasses import replace

from segjob.records.version import Version
from segjob.report import render
from segjob.report.explanation import apart_text, rules_table
from segjob.report.tables import difference_matrix
from tests.unit.report.pages import read_page
from tests.unit.report.records_by_hand import HOSTILE

RULE = '("annual_income" >= 70 AND "name" = \'<script>\') IS TRUE'


def with_rules(version: Version) -> Version:
    first, *others = version.segments
    return replace(version, segments=(replace(first, rule=RULE, rule_precision=0.957, rule_recall=1.0), *others))


def test_a_rule_stands_open_on_the_page_with_its_precision_and_recall(mall_record: Version) -> None:
    record = with_rules(mall_record)
    section = read_page(render(record)).section("rules")
    assert RULE in section.text
    assert "open" in section.one("details").attributes
    head, *shares = rules_table(record).rows[0][0], *rules_table(record).rows[0][3:]
    assert (head, shares) == ("1 · Middle of the road", [0.957, 1.0])
    assert rules_table(record).rows[1][2:] == ("–", None, None)


def test_a_version_without_rules_has_no_such_section(mall_record: Version) -> None:
    assert 'id="rules"' not in render(mall_record)


def test_what_sets_a_segment_apart_is_told_the_farthest_first(mall_record: Version, shop_record: Version) -> None:
    assert apart_text(mall_record, mall_record.segments[0]) == "near the average in everything"
    assert apart_text(mall_record, mall_record.segments[1]) == "spending_score +1.2, annual_income +0.99"
    told = [apart_text(shop_record, segment) for segment in shop_record.segments]
    assert any(HOSTILE in text for text in told)
    assert all(text.count(HOSTILE) <= 1 for text in told)


def test_stored_differences_are_shown_as_they_are(mall_record: Version) -> None:
    stored = tuple(replace(one, difference=-0.75) for one in mall_record.centroids)
    record = replace(mall_record, centroids=stored)
    assert set(difference_matrix(record).ravel().tolist()) == {-0.75}
    assert apart_text(record, record.segments[0]) == "annual_income −0.75, spending_score −0.75"
