"""The figures of the sampled customers: on two axes, or along one."""

from __future__ import annotations

from typing import Any

import numpy as np

from segjob.records.model import ModelColumn
from segjob.records.version import SampleRow, Segment, Version
from segjob.report.drawing import LEGEND, Figure, axis_layout, ink_on, plain, positions, segment_color, segment_title
from segjob.report.projection import Axis, Projection, clustered_columns
from segjob.report.wording import in_source_units, plot_text, written

BINS = 40
TIP_FEATURES = 8
FEW = 1000  # customers up to which a point is drawn large
MILLISECONDS_A_DAY = 86_400_000


def scatter(version: Version, projection: Projection) -> Figure:
    """The sampled customers on two axes, one colour a segment, and the centroids as numbered discs."""
    texts = np.array(tips(version), dtype=object)
    centers = [positions(axis, projection.centers[:, index]) for index, axis in enumerate(projection.axes)]
    data = [customer_trace(version, projection, segment, texts) for segment in version.segments]
    across, up = (axis_layout(axis) for axis in projection.axes)
    layout = {"height": 540, "xaxis": across, "yaxis": up, "legend": LEGEND, "hovermode": "closest"}
    return {"data": [*data, centroid_trace(version, *centers)], "layout": layout}


def customer_trace(version: Version, projection: Projection, segment: Segment, texts: np.ndarray) -> Figure:
    mask, few = members(version, segment), len(version.sample) <= FEW
    x, y = (positions(axis, projection.points[mask, index]) for index, axis in enumerate(projection.axes))
    return {
        "type": "scatter",
        "mode": "markers",
        "name": segment_title(segment),
        "x": x,
        "y": y,
        "text": texts[mask].tolist(),
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "color": segment_color(segment),
            "size": 7 if few else 4.5,
            "opacity": 0.8 if few else 0.65,
            "line": {"width": 0},
        },
    }


def centroid_trace(version: Version, x: list[Any], y: list[Any]) -> Figure:
    """A disc a centroid with the number of its segment, so that colour alone need not be trusted."""
    colors = [segment_color(segment) for segment in version.segments]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": "Centroids",
        "showlegend": False,
        "x": x,
        "y": y,
        "cliponaxis": False,
        "text": [str(segment.segment_id) for segment in version.segments],
        "textfont": {"color": [ink_on(color) for color in colors], "size": 12},
        "hovertext": [f"Centroid of {segment_title(segment)}" for segment in version.segments],
        "hoverinfo": "text",
        "marker": {"color": colors, "size": 24, "opacity": 1, "line": {"width": 2.5}},
    }


def members(version: Version, segment: Segment) -> np.ndarray:
    """Which sampled customers are in the segment: a mask over the sample."""
    return np.array([row.segment_id == segment.segment_id for row in version.sample], dtype=bool)


def tips(version: Version) -> list[str]:
    """What stands beside a customer when the pointer is on it: its segment and its values."""
    titles = {segment.segment_id: segment_title(segment) for segment in version.segments}
    columns = {column.column: column for column in clustered_columns(version)}
    shown = {column: plot_text(name, lines=1) for name, column in list(columns.items())[:TIP_FEATURES]}

    def tip(row: SampleRow) -> str:
        values = (f"{name}: {tip_value(row, column)}" for column, name in shown.items())
        return "<br>".join([titles[row.segment_id], *values])

    return [tip(row) for row in version.sample]


def tip_value(row: SampleRow, column: ModelColumn) -> str:
    value = row.values.get(column.column)
    return plot_text(value, lines=1) if isinstance(value, str) else written(in_source_units(column, value))


def histogram(version: Version, projection: Projection) -> Figure:
    """The sampled customers along the only axis, stacked by segment, the centroids above them."""
    axis, values = projection.axes[0], projection.points[:, 0]
    edges = bin_edges(axis, values)
    counts = [np.histogram(values[members(version, segment)], edges)[0] for segment in version.segments]
    bars = [bar_trace(axis, edges, count, segment) for segment, count in zip(version.segments, counts, strict=True)]
    above = [float(np.sum(counts, axis=0).max()) * 1.08] * len(version.segments)
    up = {"title": {"text": "Sampled customers"}, "automargin": True, "rangemode": "tozero"}
    layout = {"height": 420, "barmode": "stack", "xaxis": axis_layout(axis), "yaxis": up, "legend": LEGEND}
    centers = positions(axis, projection.centers[:, 0])
    return {"data": [*bars, centroid_trace(version, centers, above)], "layout": layout}


def bin_edges(axis: Axis, values: np.ndarray) -> np.ndarray:
    """Equal bins on the axis as it is drawn; the outer edges hold every value whatever the rounding."""
    if axis.kind != "log":
        return np.histogram_bin_edges(values, BINS)
    edges = np.exp(np.histogram_bin_edges(np.log(values), BINS))
    edges[0], edges[-1] = min(edges[0], values.min()), max(edges[-1], values.max())
    return np.asarray(edges)


def bar_trace(axis: Axis, edges: np.ndarray, count: np.ndarray, segment: Segment) -> Figure:
    widths = np.diff(edges) * (MILLISECONDS_A_DAY if axis.kind == "date" else 1)
    return {
        "type": "bar",
        "name": segment_title(segment),
        "x": positions(axis, (edges[:-1] + edges[1:]) / 2),
        "y": count.tolist(),
        "width": plain(widths),
        "marker": {"color": segment_color(segment), "line": {"width": 0}},
        "hovertemplate": "%{x}: %{y} customers<extra></extra>",
    }
