"""The figures of the segments and of the model."""

from __future__ import annotations

import numpy as np

from segjob.records.version import Segment, Version
from segjob.report.drawing import Figure, ink_on, plain, segment_axis, segment_color, segment_title
from segjob.report.projection import clustered_columns
from segjob.report.wording import Share, in_source_units, number, plot_text, written

STRONG = 2.0  # standard deviations at which the heat map's colour is full, unless a segment lies further out
STRONGEST = 4.0
LEVEL_LABELS = 6  # columns of the heat map up to which their labels have room to lie level


def sizes(version: Version) -> Figure:
    """How many customers each segment has."""
    segments = version.segments
    colors = [segment_color(segment) for segment in segments]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [int(segment.n_customers) for segment in segments],
        "y": list(range(len(segments))),
        "text": [f"{segment.n_customers:,} · {written(Share(segment.share))}" for segment in segments],
        "textposition": "auto",
        "insidetextanchor": "end",
        "textangle": 0,
        "insidetextfont": {"color": [ink_on(color) for color in colors]},
        "cliponaxis": False,
        "hoverinfo": "skip",
        "marker": {"color": colors, "line": {"width": 0}},
    }
    room = max(segment.n_customers for segment in segments) * 1.1
    across = {"title": {"text": "Customers"}, "range": [0, room], "automargin": True}
    up = segment_axis(segments, range(len(segments)))
    return {"data": [bars], "layout": {"height": 90 + 42 * len(segments), "bargap": 0.4, "xaxis": across, "yaxis": up}}


# Silhouettes


def silhouettes(version: Version) -> Figure:
    """One sorted band of sampled customers a segment, and a line at the silhouette of the whole version."""
    found = silhouettes_by_segment(version)
    gap = max(2, sum(map(len, found.values())) // 60)
    top, middles, bands = 0, [], []
    for segment in version.segments:
        values = found[segment.segment_id]
        middles.append(top + len(values) / 2)
        bands.append(silhouette_band(segment, values, top))
        top += len(values) + gap
    lowest = min(float(values.min(initial=0.0)) for values in found.values())
    across = {"title": {"text": "Silhouette of a customer"}, "range": [lowest - 0.03, 1.0], "automargin": True}
    layout = {"height": max(360, 120 + 60 * len(version.segments)), "xaxis": across, "showlegend": False}
    up = segment_axis(version.segments, middles)
    return {"data": bands, "layout": {**layout, "yaxis": up, **mean_line(version.silhouette.value)}}


def silhouettes_by_segment(version: Version) -> dict[int, np.ndarray]:
    """The silhouettes of the sampled customers of each segment, highest first."""
    found: dict[int, list[float]] = {segment.segment_id: [] for segment in version.segments}
    for row in version.sample:
        if row.silhouette is not None:
            found[row.segment_id].append(row.silhouette)
    return {segment_id: np.sort(np.array(values, dtype=float))[::-1] for segment_id, values in found.items()}


def silhouette_band(segment: Segment, values: np.ndarray, top: int) -> Figure:
    """The outline of all bars of one segment as one shape: a bar a customer would be thousands of them."""
    edges = np.repeat(np.arange(top, top + len(values) + 1), 2)
    lengths = np.concatenate([[0.0], np.repeat(values, 2), [0.0]])
    return {
        "type": "scatter",
        "mode": "lines",
        "name": segment_title(segment),
        "x": plain(lengths),
        "y": edges.tolist(),
        "fill": "toself",
        "fillcolor": segment_color(segment),
        "line": {"width": 0, "color": segment_color(segment)},
        "hoveron": "fills",
        "hoverinfo": "name",
    }


def mean_line(value: float | None) -> Figure:
    if value is None:
        return {}
    line = {"type": "line", "xref": "x", "yref": "paper", "x0": value, "x1": value, "y0": 0, "y1": 1}
    note = {"x": value, "xref": "x", "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False}
    return {
        "shapes": [{**line, "line": {"width": 1.5, "dash": "dash"}}],
        "annotations": [{**note, "text": f"all customers: {number(value)}"}],
    }


# Centroids


def heat_map(version: Version, differences: np.ndarray) -> Figure:
    """The centroids: the colour is the difference from all customers, the text the value in source units.

    Whichever there are more of, features or segments, stand below one another, so that it fits a narrow page.

    Parameters
    ----------
    differences : (d, k) in standard deviations, NaN where there is no comparison
    """
    shown, texts = np.nan_to_num(differences), np.array(centroid_texts(version))
    upright = shown.shape[0] >= shown.shape[1]
    across, down = heat_labels(version, upright=upright)
    full = min(max(STRONG, float(np.abs(shown).max())), STRONGEST)
    heat = {
        "type": "heatmap",
        "z": [plain(row) for row in (shown if upright else shown.T)],
        "text": (texts if upright else texts.T).tolist(),
        "texttemplate": "%{text}",
        "hovertemplate": "%{text}; %{z:+.2f} standard deviations from all customers<extra></extra>",
        "zmin": -full,
        "zmax": full,
        "autocolorscale": True,
        "xgap": 2,
        "ygap": 2,
        "colorbar": {**HEAT_BAR, "tickvals": [-full, 0, full], "ticktext": bar_texts(full)},
    }
    level = len(across) <= LEVEL_LABELS
    x = {"side": "top", "tickangle": 0 if level else -35, "ticklabeloverflow": "allow", **ticks(across)}
    y = {"autorange": "reversed", **ticks(down)}
    layout = {"height": 150 + 38 * len(down), "margin": {"r": 16 if level else 80}, "xaxis": x, "yaxis": y}
    return {"data": [heat], "layout": layout}


def ticks(labels: list[str]) -> Figure:
    return {"tickvals": list(range(len(labels))), "ticktext": labels, **BARE_AXIS}


def heat_labels(version: Version, *, upright: bool) -> tuple[list[str], list[str]]:
    """The labels above the columns, which are narrow, and those left of the rows; upright has features as rows."""
    features = [column.feature for column in clustered_columns(version)]
    segments = [f"{segment.segment_id} · {segment.name}" for segment in version.segments]
    across, down = (segments, features) if upright else (features, segments)
    width, lines = (14, 3) if len(across) <= LEVEL_LABELS else (18, 1)
    return [plot_text(text, width, lines) for text in across], [plot_text(text, 22, 2) for text in down]


def bar_texts(full: float) -> list[str]:
    return [f"\N{MINUS SIGN}{number(full, digits=2)}", "0", f"+{number(full, digits=2)}"]


def centroid_texts(version: Version) -> list[list[str]]:
    values = {(centroid.feature, centroid.segment_id): centroid.value for centroid in version.centroids}
    return [
        [written(in_source_units(column, values[column.feature, segment.segment_id])) for segment in version.segments]
        for column in clustered_columns(version)
    ]


BARE_AXIS = {"showgrid": False, "zeroline": False, "showline": False, "ticks": "", "automargin": True}
HEAT_BAR = {
    "orientation": "h",
    "y": 0,
    "yanchor": "top",
    "len": 1,
    "thickness": 8,
    "outlinewidth": 0,
    "title": {"text": "Standard deviations", "side": "bottom"},
}
