"""The figure and the table of the numbers of segments that were tried."""

from __future__ import annotations

from collections.abc import Sequence

from segjob.palette import color_of
from segjob.records.version import Candidate
from segjob.report.drawing import Figure, plain
from segjob.report.tables import Table
from segjob.report.wording import Share, basis_text

BAND_OPACITY = 0.2


def elbow(candidates: Sequence[Candidate], n_segments: int) -> Figure:
    """Inertia above, silhouette with the band of its intervals below; the number of this version is marked large.

    Parameters
    ----------
    candidates : ascending
    """
    scored = [candidate for candidate in candidates if candidate.silhouette.value is not None]
    values = [candidate.silhouette.value or 0.0 for candidate in scored]
    above = line(candidates, [candidate.inertia for candidate in candidates], n_segments)
    below = line(scored, values, n_segments) | {"yaxis": "y2"}
    layout = {
        "height": 520,
        "showlegend": False,
        "xaxis": {**titled("Number of segments"), "dtick": spacing(candidates), "anchor": "y2"},
        "yaxis": {**titled("Within-segment sum of squares"), "domain": [0.56, 1], "rangemode": "tozero"},
        "yaxis2": {**titled("Silhouette"), "domain": [0, 0.44]},
    }
    return {"data": [above, band(scored), below], "layout": layout}


def titled(text: str) -> Figure:
    return {"title": {"text": text}, "automargin": True}


def spacing(candidates: Sequence[Candidate]) -> int:
    """Every number has a tick while there is room for it."""
    return 1 + (candidates[-1].n_clusters - candidates[0].n_clusters) // 20


def line(candidates: Sequence[Candidate], values: list[float], n_segments: int) -> Figure:
    counts = [candidate.n_clusters for candidate in candidates]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": counts,
        "y": plain(values),
        "line": {"color": color_of(1), "width": 2},
        "marker": {
            "color": color_of(1),
            "size": [14 if count == n_segments else 7 for count in counts],
            "opacity": 1,
            "line": {"width": 0},
        },
        "hovertemplate": "%{x} segments: %{y}<extra></extra>",
    }


def band(candidates: Sequence[Candidate]) -> Figure:
    """The 95 % intervals of the silhouettes as one shape; it has no width where they are exact."""
    found = [candidate for candidate in candidates if candidate.silhouette.low is not None]
    counts = [candidate.n_clusters for candidate in found]
    low = plain(candidate.silhouette.low or 0.0 for candidate in found)
    high = plain(candidate.silhouette.high or 0.0 for candidate in found)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*counts, *reversed(counts)],
        "y": [*high, *reversed(low)],
        "yaxis": "y2",
        "fill": "toself",
        "fillcolor": color_of(1),
        "opacity": BAND_OPACITY,
        "line": {"width": 0, "color": color_of(1)},
        "hoverinfo": "skip",
    }


def candidates_table(candidates: Sequence[Candidate]) -> Table:
    rows = tuple(
        (
            candidate.n_clusters,
            candidate.inertia,
            candidate.silhouette.value,
            basis_text(candidate.silhouette),
            candidate.davies_bouldin,
            candidate.calinski_harabasz,
            None if candidate.smallest_share is None else Share(candidate.smallest_share),
            candidate.stability,
            "suggested" if candidate.suggested else "",
        )
        for candidate in candidates
    )
    scores = ("Davies–Bouldin", "Calinski–Harabasz", "Smallest segment", "Stability", "")
    columns = ("Segments", "Within-segment sum of squares", "Silhouette", "How", *scores)
    return Table("Numbers of segments that were tried", columns, rows)
