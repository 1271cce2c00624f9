"""The figures against the record, and against plotly's own schema."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from segjob.records.model import ModelColumn
from segjob.records.version import Score, Version
from segjob.report import Candidate
from segjob.report.drawing import ink_on, segment_title
from segjob.report.figures import silhouettes
from segjob.report.sections import sections
from tests.unit.report.pages import Page
from tests.unit.report.records_by_hand import fitted, number_column


def line_version(csv: Path) -> Version:
    return fitted("incomes", pd.read_csv(csv), [number_column("annual_income", scaling="none")], 3)


def drawn(version: Version, slug: str) -> dict:
    figure = next(section.figure for section in sections(version, ()) if section.slug == slug)
    assert figure is not None
    return figure


def dated_version(**more: object) -> Version:
    random = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "joined": np.floor(np.r_[random.normal(18_000, 90, 60), random.normal(20_000, 90, 40)]),
            "spent": np.exp(np.r_[random.normal(4, 1, 60), random.normal(7, 1, 40)]),
        }
    )
    columns = [number_column("joined", family="date"), number_column("spent", transform="log1p", **more)]
    return fitted("members", frame, columns, 2)


def test_plotly_accepts_every_property_of_every_figure(mall_record: Version, shop_record: Version, mall_csv) -> None:
    exact = Score(0.5, 0.5, 0.5, "euclidean", 200, exact=True)
    candidates = [Candidate(1, 9.0, replace(exact, value=None, low=None, high=None)), Candidate(2, 5.0, exact)]
    checked = 0
    for version in (mall_record, shop_record, line_version(mall_csv), dated_version()):
        for section in sections(version, candidates):
            go.Figure(section.figure)
            checked += 1
    assert checked == 20


def test_two_numeric_columns_are_drawn_as_they_are(mall_record: Version, mall_csv: Path) -> None:
    figure = drawn(mall_record, "customers")
    *groups, centroids = figure["data"]
    points = sorted((x, y) for group in groups for x, y in zip(group["x"], group["y"], strict=True))
    source = pd.read_csv(mall_csv)
    assert points == sorted(zip(source["annual_income"], source["spending_score"], strict=True))
    assert [len(group["x"]) for group in groups] == [81, 39, 35, 23, 22]
    assert figure["layout"]["xaxis"]["title"]["text"] == "annual_income"
    expected = {(each.segment_id, each.feature): each.value for each in mall_record.centroids}
    assert centroids["text"] == ["1", "2", "3", "4", "5"]
    assert centroids["x"] == pytest.approx([expected[k, "annual_income"] for k in range(1, 6)])
    assert centroids["y"] == pytest.approx([expected[k, "spending_score"] for k in range(1, 6)])


def test_one_numeric_column_is_a_histogram_that_counts_everybody(mall_csv: Path) -> None:
    version = line_version(mall_csv)
    *bars, centroids = drawn(version, "customers")["data"]
    assert [sum(bar["y"]) for bar in bars] == [segment.n_customers for segment in version.segments]
    assert centroids["x"] == pytest.approx([centroid.value for centroid in version.centroids])


def test_dates_have_a_calendar_and_skewed_amounts_a_logarithmic_axis() -> None:
    figure = drawn(dated_version(), "customers")
    assert figure["layout"]["xaxis"]["type"] == "date"
    assert figure["layout"]["yaxis"]["type"] == "log"
    version = dated_version()
    first = version.sample[0]
    point = next(trace["x"][0] for trace in figure["data"][:-1] if first.segment_id == int(trace["name"][0]))
    days = float(next(row for row in version.sample if row.segment_id == first.segment_id).values["joined"] or 0)
    assert point[:10] == str(np.datetime64(int(days), "D"))


def test_a_missing_value_is_drawn_where_it_was_clustered() -> None:
    version = dated_version()
    gone = replace(version.sample[0], values={"joined": None, "spent": None})
    shown = drawn(replace(version, sample=(gone,)), "customers")
    trace = next(trace for trace in shown["data"] if trace["x"])
    expected = version.sample[0].values
    assert trace["y"][0] == pytest.approx(expected["spent"], rel=1e-6)
    assert trace["x"][0][:10] == str(np.datetime64(int(float(expected["joined"] or 0)), "D"))


def test_dates_before_christ_are_drawn_as_days() -> None:
    version = dated_version()
    ancient = replace(version.sample[0], values={**version.sample[0].values, "joined": -900_000.0})
    figure = drawn(replace(version, sample=(ancient, *version.sample[1:])), "customers")
    assert figure["layout"]["xaxis"]["type"] == "linear"
    assert "days since 1970-01-01" in figure["layout"]["xaxis"]["title"]["text"]


def test_silhouettes_are_sorted_within_a_segment_and_have_a_line_at_the_mean(mall_record: Version) -> None:
    figure = silhouettes(mall_record)
    for segment, band in zip(mall_record.segments, figure["data"], strict=True):
        own = [row.silhouette or 0.0 for row in mall_record.sample if row.segment_id == segment.segment_id]
        assert band["x"][1:-1:2] == pytest.approx(sorted(own, reverse=True), abs=1e-6)
    assert figure["layout"]["shapes"][0]["x0"] == mall_record.silhouette.value
    tops = [band["y"][0] for band in figure["data"]]
    bottoms = [band["y"][-1] for band in figure["data"]]
    assert all(top > bottom for top, bottom in zip(tops[1:], bottoms[:-1], strict=True))


def test_a_segment_that_nobody_in_the_sample_is_in_is_an_empty_band(mall_record: Version) -> None:
    others = tuple(row for row in mall_record.sample if row.segment_id != 3)
    bands = silhouettes(replace(mall_record, sample=others))["data"]
    assert len(bands) == 5
    assert set(bands[2]["x"]) == {0.0}


def test_the_heat_map_shows_values_in_source_units_and_differences_as_colours(shop_page: Page, shop_record) -> None:
    heat = shop_page.figures["centroids"]["data"][0]
    columns = shop_record.model.clustered
    centroids = {(each.feature, each.segment_id): each for each in shop_record.centroids}
    for column, texts, values in zip(columns, heat["text"], heat["z"], strict=True):
        for segment, text, value in zip(shop_record.segments, texts, values, strict=True):
            each = centroids[column.feature, segment.segment_id]
            assert value == pytest.approx((each.segment_mean - column.population_mean) / column.population_std)
            assert text == expected_text(column, each.value)


def expected_text(column: ModelColumn, value: float) -> str:
    if column.family == "date":
        return str(np.datetime64(round(value), "D"))
    if column.category is not None:
        return f"{100 * value:.3g} %"
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}").replace("-", "−")


def test_the_heat_map_puts_the_longer_list_below_one_another(mall_record: Version, shop_record: Version) -> None:
    assert np.shape(drawn(mall_record, "centroids")["data"][0]["z"]) == (5, 2)
    assert np.shape(drawn(shop_record, "centroids")["data"][0]["z"]) == (8, 6)


def test_a_column_without_a_deviation_has_no_colour(mall_record: Version) -> None:
    columns = tuple(replace(column, population_std=None) for column in mall_record.model.columns)
    version = replace(mall_record, model=replace(mall_record.model, columns=columns))
    heat = drawn(version, "centroids")["data"][0]
    assert not np.any(heat["z"])
    assert heat["text"][0] == ["55.3", "49.52"]


@pytest.mark.parametrize(("color", "ink"), [("#ffffff", "#000000"), ("#000000", "#ffffff"), ("#0072b2", "#ffffff")])
def test_text_on_a_colour_can_be_read(color: str, ink: str) -> None:
    assert ink_on(color) == ink


def test_names_that_begin_alike_are_told_apart_in_every_figure(mall_record: Version) -> None:
    names = ("high annual income, high spending score", "high annual income, low spending score")
    alike = [replace(segment, name=name) for segment, name in zip(mall_record.segments, names, strict=False)]
    shown = [segment_title(segment) for segment in alike]
    assert shown == [
        f"{segment.segment_id} · high annual income,<br>{end}"
        for segment, end in zip(alike, ("high spending score", "low spending score"), strict=True)
    ]
