"""How numbers, dates and names are written."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segjob.records.model import ModelColumn
from segjob.report.wording import Day, Instant, Share, in_source_units, number, plot_text, written


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0, "0"),
        (-0.0, "0"),
        (81, "81"),
        (2_000_000, "2,000,000"),
        (44448.4554, "44,448"),
        (55.2963, "55.3"),
        (0.553931, "0.5539"),
        (0.0123456, "0.01235"),
        (999.96, "1,000"),
        (-17.114, "−17.11"),
        (0.00001, "1.000e−05"),
        (1e18, "1.000e+18"),
        (float("inf"), "inf"),
    ],
)
def test_a_number_is_written_for_people(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(-1e300, 1e300))
def test_a_written_number_is_the_number_to_four_digits(value: float) -> None:
    back = float(number(value).replace(",", "").replace("−", "-"))
    assert math.isclose(back, value, rel_tol=5.1e-4, abs_tol=0)


@given(st.dates())
def test_a_day_is_written_as_its_date(day: date) -> None:
    days = (day - date(1970, 1, 1)).days
    assert written(Day(days)) == day.isoformat()
    assert written(Day(days + 0.3)) == day.isoformat()
    assert written(Day(days + 0.7)) == (day + timedelta(days=1)).isoformat() or day == date.max


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("text", "text"),
        (None, "–"),
        (float("nan"), "–"),
        (Share(0.405), "40.5 %"),
        (Share(1.0), "100 %"),
        (Share(0.0), "0 %"),
        (Share(-8e-17), "0 %"),
        (Share(0.00001), "under 0.01 %"),
        (Instant(0.5), "1970-01-01 12:00"),
        (Day(-719_528), "0000-01-01"),
        (Day(1e12), "1,000,000,000,000 days since 1970-01-01"),
        (Day(float("nan")), "–"),
    ],
)
def test_a_cell_is_written_by_its_kind(cell: str | float | None, text: str) -> None:
    assert written(cell) == text


def test_a_value_is_shown_as_its_source_would_show_it() -> None:
    def column(**more: Any) -> ModelColumn:
        return replace(ModelColumn("f", "f", 0, "number"), **more)

    assert written(in_source_units(column(family="date"), 20_000.0)) == "2024-10-04"
    assert written(in_source_units(column(family="timestamp"), 20_000.25)) == "2024-10-04 06:00"
    assert written(in_source_units(column(family="boolean"), 0.25)) == "25 %"
    assert written(in_source_units(column(family="text", category="x"), 0.25)) == "25 %"
    assert written(in_source_units(column(), None)) == "–"


@given(st.text(), st.integers(3, 30), st.integers(1, 3))
def test_text_in_a_figure_is_short_and_holds_no_markup(text: str, width: int, lines: int) -> None:
    found = plot_text(text, width, lines).split("<br>")
    assert len(found) <= lines
    assert all("<" not in line and ">" not in line for line in found)
    assert all(len(unescape(line)) <= width for line in found) or "&" in text


def test_text_in_a_figure_is_cut_where_it_does_not_fit() -> None:
    assert plot_text("Big spenders", 24, 1) == "Big spenders"
    assert plot_text("Bargain hunters with a name", 16, 2) == "Bargain hunters<br>with a name"
    assert plot_text("Bargain hunters with a name", 16, 1) == "Bargain hunters…"
    assert plot_text("a & <b>", 24, 1) == "a &amp; &lt;b&gt;"
    assert plot_text("  ", 24, 1) == "–"
