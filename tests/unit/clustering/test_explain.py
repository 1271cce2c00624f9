"""What sets segments apart, by hand-worked numbers and by what an analyst would compute; and names made of it."""

from __future__ import annotations

import numpy as np
import pytest

from segjob.clustering.explain import differences, with_differences
from segjob.clustering.names import segment_names, words_of
from segjob.clustering.profile import centroids
from segjob.records.model import ModelColumn
from segjob.records.source import FeatureFamily, FeatureSpec, Scale
from tests.unit.clustering.conftest import Segmented, blobs, customers, segment
from tests.unit.clustering.test_whole_way import MALL, mall


def apart(found: Segmented) -> np.ndarray:
    return differences(found.plan.columns, found.plan.unit, found.summary, found.plan.prepare(found.sample))


def names_of(found: Segmented) -> tuple[str, ...]:
    return segment_names(found.plan.columns, apart(found), range(1, len(found.fit.centers) + 1), {})


@pytest.mark.parametrize("scale", ["standard", "robust", "minmax", "none"])
def test_differences_are_in_standard_deviations_whatever_the_scale_and_the_weight(scale: Scale) -> None:
    matrix, _ = blobs(900, 2, 3)
    found = segment([FeatureSpec("a", scale=scale, weight=3.0), FeatureSpec("b", scale=scale)], customers(matrix), 3)
    members = [matrix[found.labels.segment_id == segment_id] for segment_id in (1, 2, 3)]
    expected = [(rows.mean(axis=0) - matrix.mean(axis=0)) / matrix.std(axis=0) for rows in members]
    assert apart(found) == pytest.approx(np.array(expected), abs=2e-3)


@pytest.mark.parametrize("scale", ["standard", "robust"])
def test_skewed_amounts_are_compared_by_their_logarithms(scale: Scale) -> None:
    amounts = np.exp(blobs(900, 1, 3)[0][:, 0])
    found = segment([FeatureSpec("amount", "log1p", scale=scale)], customers(amounts), 3)
    logarithms = np.log1p(amounts)
    for segment_id, (far,) in enumerate(apart(found), start=1):
        members = logarithms[found.labels.segment_id == segment_id]
        assert far == pytest.approx((members.mean() - logarithms.mean()) / logarithms.std(), abs=2e-3)


def test_categories_are_compared_by_their_shares() -> None:
    texts = ["DE"] * 60 + ["FR"] * 40
    found = segment([FeatureSpec("country", onehot=True, weight=5.0)], customers(categories=[texts]), 2)
    spread = (0.6 * 0.4) ** 0.5
    german, french = apart(found)
    assert german[:2] == pytest.approx([0.4 / spread, -0.4 / spread])
    assert french[:2] == pytest.approx([-0.6 / spread, 0.6 / spread])


def test_one_segment_and_a_constant_column_differ_in_nothing() -> None:
    found = segment([FeatureSpec("x")], customers([3.0] * 9), 1)
    assert apart(found).tolist() == [[0.0]]
    assert names_of(found) == ("all customers",)


def test_every_centroid_gets_its_own_difference() -> None:
    found = segment(MALL, mall(), 5)
    medians = np.zeros((2, 5))
    plain = centroids(found.plan.columns, found.plan.unit, found.fit.centers, (1, 2, 3, 4, 5), found.summary, medians)
    for one in with_differences(plain, apart(found)):
        column = next(column for column in found.plan.columns if column.feature == one.feature)
        assert one.segment_mean is not None
        assert column.population_mean is not None
        assert column.population_std is not None
        expected = (one.segment_mean - column.population_mean) / column.population_std
        assert one.difference == pytest.approx(expected, abs=1e-3)


# Names


def column(name: str, family: FeatureFamily = "number", category: str | None = None) -> ModelColumn:
    return ModelColumn(f"{name}={category}" if category else name, name, 0, family, category=category)


def names(columns: list[ModelColumn], *rows: list[float], **given: str) -> tuple[str, ...]:
    ids = {int(key.removeprefix("segment_")): name for key, name in given.items()}
    return segment_names(columns, np.array(rows), range(1, len(rows) + 1), ids)


def test_the_mall_s_segments_have_names_that_say_what_they_are() -> None:
    assert names_of(segment(MALL, mall(), 5)) == (
        "average customers",
        "high annual income, high spending score",
        "high annual income, low spending score",
        "low annual income, low spending score",
        "low annual income, high spending score",
    )


def test_a_name_has_the_two_features_that_set_a_segment_most_apart() -> None:
    columns = [column("recency_days"), column("frequency"), column("monetary")]
    assert names(columns, [-0.9, 0.6, 2.4], [0.1, -0.7, -0.2]) == (
        "low recency days, very high monetary",
        "low frequency",
    )


def test_equal_names_are_told_apart_by_further_features_and_at_last_by_numbers() -> None:
    columns = [column("a"), column("b"), column("c")]
    assert names(columns, [1.0, 1.0, 0.3], [1.0, 1.0, -0.7], [0.1, 0.0, 0.3], [0.0, 0.0, 0.0]) == (
        "high a, high b, slightly high c",
        "high a, high b, low c",
        "average customers, slightly high c",
        "average customers, typical a",
    )
    assert names(columns[:1], [1.0], [1.1], [0.9]) == ("high a", "high a 2", "high a 3")


def test_given_names_stay_and_are_not_taken_twice() -> None:
    columns = [column("a"), column("b")]
    assert names(columns, [1.0, 0.0], [1.0, 0.3], segment_1="high a") == ("high a", "high a, slightly high b")
    assert names(columns, [1.0, 0.0], [1.0, 0.3], segment_1="A", segment_2="A") == ("A", "A")
    assert names(columns, [0.0, 0.0], segment_1="Everybody") == ("Everybody",)


@pytest.mark.parametrize(
    ("described", "high", "low"),
    [
        (column("signup_date", "date"), "late signup", "early signup"),
        (column("signed_up_on", "date"), "signed up late", "signed up early"),
        (column("last_seen_at", "timestamp"), "last seen late", "last seen early"),
        (column("is_active", "boolean"), "active", "not active"),
        (column("has_card", "boolean"), "has card", "no card"),
        (column("newsletter", "boolean"), "newsletter", "not newsletter"),
        (column("gender", "text", "Female"), "gender Female", "gender not Female"),
        (column("subscribed", "text", "true"), "subscribed", "not subscribed"),
        (column("subscribed", "text", "false"), "not subscribed", "subscribed"),
        (column("country", "text", "other"), "other country", "usual country"),
        (column("annualIncome"), "high annual income", "low annual income"),
        (column("VIP_score"), "high VIP score", "low VIP score"),
    ],
)
def test_columns_become_words(described: ModelColumn, high: str, low: str) -> None:
    assert names([described], [1.0], [-1.0]) == (high, low)


def test_the_category_that_stands_out_names_the_segment_and_not_the_ones_that_lack() -> None:
    columns = [column("gender", "text", "Female"), column("gender", "text", "Male")]
    assert names(columns, [-1.2, 1.1], [0.9, -0.9]) == ("gender Male", "gender Female")


def test_odd_column_names_stay_readable() -> None:
    assert [words_of(name) for name in ("Umsatz (EUR)", "__", "Пол", "a__b  c")] == [
        "umsatz (EUR)",
        "__",
        "пол",
        "a b c",
    ]
