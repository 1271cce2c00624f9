"""What all figures share: colours, labels and axes.

A figure is plain data as plotly reads it, so that a page needs plotly's script and nothing else of it. Colours of text,
lines and grounds are left to the page, which knows whether it is light or dark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from segjob.palette import color_of
from segjob.records.version import Segment
from segjob.report.projection import Axis
from segjob.report.wording import date_text, plot_text

Figure: TypeAlias = dict[str, Any]

COLOR = re.compile(r"#[0-9a-fA-F]{6}")
LEGEND = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1.02,
    "yanchor": "bottom",
    "itemsizing": "constant",
    "traceorder": "normal",
}


def segment_color(segment: Segment) -> str:
    """The segment's own colour; the default one where that is not a plain #rrggbb, which no page should trust."""
    return segment.color if COLOR.fullmatch(segment.color) else color_of(segment.segment_id)


def segment_title(segment: Segment) -> str:
    """Number and name on two lines: of two names that begin alike, one line would show the same."""
    return plot_text(f"{segment.segment_id} · {segment.name}", width=24, lines=2)


def ink_on(color: str) -> str:
    """Black or white, whichever reads better on this colour."""
    red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    return "#000000" if luminance > 0.18 else "#ffffff"


def plain(values: Iterable[float]) -> list[float]:
    """Numbers for the page; seven digits are more than a screen can show."""
    return [float(f"{value:.7g}") for value in values]


def positions(axis: Axis, values: np.ndarray) -> list[Any]:
    return [date_text(value, minutes=True) for value in values] if axis.kind == "date" else plain(values)


def axis_layout(axis: Axis) -> Figure:
    layout = {"title": {"text": plot_text(axis.title, 60)}, "type": axis.kind, "automargin": True}
    return layout | ({"dtick": 1, "tickformat": ",~r"} if axis.kind == "log" else {})


def segment_axis(segments: Sequence[Segment], middles: Iterable[float]) -> Figure:
    """An axis from top to bottom with one name a segment."""
    return {
        "tickvals": list(middles),
        "ticktext": [segment_title(segment) for segment in segments],
        "autorange": "reversed",
        "showgrid": False,
        "zeroline": False,
        "automargin": True,
    }
