"""The flow of customers: its bands against the counts, and what stands where."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import plotly.graph_objects as go
import pytest

from segjob.records.comparison import Comparison, Transition
from segjob.records.version import Version
from segjob.report import render
from segjob.report.drawing import segment_color, segment_title
from segjob.report.moved import Flow, flow_figure, flow_table
from tests.unit.report.pages import read_page

MOVES = (
    Transition(1, 1, 70),
    Transition(1, 2, 8, 3, 6),
    Transition(2, 2, 31),
    Transition(2, None, 4),
    Transition(3, 3, 35),
    Transition(4, 4, 23),
    Transition(5, 5, 22),
    Transition(None, 1, 11),
)


@pytest.fixture
def flow(mall_record: Version) -> Flow:
    return Flow(2, mall_record.segments, Comparison(MOVES))


def test_every_pair_of_segments_has_a_band_as_wide_as_its_customers(mall_record: Version, flow: Flow) -> None:
    figure = flow_figure(mall_record, flow)
    go.Figure(figure)
    (sankey,) = figure["data"]
    titles = [segment_title(segment) for segment in mall_record.segments]
    assert sankey["node"]["label"] == [*titles, "came", *titles, "left"]
    assert sankey["link"]["value"] == [one.n_customers for one in MOVES]
    ends = list(zip(sankey["link"]["source"], sankey["link"]["target"], strict=True))
    assert ends == [(0, 6), (0, 7), (1, 7), (1, 11), (2, 8), (3, 9), (4, 10), (5, 6)]


def test_segments_stand_in_their_order_and_do_not_overlap(mall_record: Version, flow: Flow) -> None:
    figure = flow_figure(mall_record, flow)
    node, height = figure["data"][0]["node"], figure["layout"]["height"] - 32
    for column, sizes in ((node["y"][:6], [78, 35, 35, 23, 22, 11]), (node["y"][6:], [81, 39, 35, 23, 22, 4])):
        scale = (height - 5 * 18) / 204
        ends = [(y * height - n * scale / 2, y * height + n * scale / 2) for y, n in zip(column, sizes, strict=True)]
        assert ends[0][0] == pytest.approx(0, abs=0.5)
        assert ends[-1][1] == pytest.approx(height, abs=0.5)
        for (_, low), (high, _) in pairwise(ends):
            assert high - low == pytest.approx(18, abs=0.5)


def test_bands_have_the_colour_of_where_they_come_from_and_who_stayed_is_pale(mall_record: Version, flow: Flow) -> None:
    colors = flow_figure(mall_record, flow)["data"][0]["link"]["color"]
    red, green, blue = (int(segment_color(mall_record.segments[0])[at : at + 2], 16) for at in (1, 3, 5))
    assert colors[:2] == [f"rgba({red},{green},{blue},0.25)", f"rgba({red},{green},{blue},0.65)"]


def test_the_page_shows_the_flow_with_its_table_only_where_there_is_one(mall_record: Version, flow: Flow) -> None:
    assert "flow" not in read_page(render(mall_record)).figures
    page = read_page(render(mall_record, flow=flow))
    text = " ".join(page.section("flow").text.split())
    assert "181 customers stay in their segment, 8 change it (4.23 % of those in both), 11 came and 4 left" in text
    assert page.tables["Customers from version 2 to this one"][2][2:] == ["8", "3", "6"]
    assert page.section("flow").one("div", id="figure-flow").attributes["role"] == "img"


def test_a_segment_that_nobody_is_in_any_more_and_hostile_names_do_no_harm(shop_record: Version) -> None:
    first, second = (replace(one, name="<img src=x>") for one in shop_record.segments[:2])
    flow = Flow(
        1, (first, second, *shop_record.segments[2:]), Comparison((Transition(1, 2, 5), Transition(None, 1, 7)))
    )
    (sankey,) = flow_figure(shop_record, flow)["data"]
    assert len(sankey["node"]["label"]) == 4
    assert not any("<img" in label for label in sankey["node"]["label"])
    assert [row[0] for row in flow_table(shop_record, flow).rows][1] == "came"
