"""The figure and the table of who moved from one version to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segjob.records.comparison import Comparison, Transition
from segjob.records.version import Segment, Version
from segjob.report.drawing import Figure, plain, segment_color, segment_title
from segjob.report.tables import Table, heading

NOBODY = "#9e9e9e"  # those who came and those who left have no segment there, and no colour
STAYED, MOVED = 0.25, 0.65  # opacity: who moved is what the figure is about
PAD = 18  # pixels between two segments
MARGIN = 16
EDGE = 0.001  # as far out as plotly lets a node lie


@dataclass(frozen=True)
class Flow:
    """Who moved from a version's parent to it, with the segments that the parent has."""

    from_version_id: int
    from_segments: tuple[Segment, ...]
    comparison: Comparison


@dataclass(frozen=True)
class Side:
    """One column of the figure: what its nodes stand for (None: no segment), and how many customers each has."""

    ids: tuple[int | None, ...]
    titles: tuple[str, ...]
    colors: tuple[str, ...]
    sizes: tuple[int, ...]


def flow_figure(version: Version, flow: Flow) -> Figure:
    """A band for each pair of segments that customers went between, as wide as they are many."""
    links = flow.comparison.transitions
    before = side(flow.from_segments, [(one.from_segment_id, one.n_customers) for one in links], "came")
    after = side(version.segments, [(one.to_segment_id, one.n_customers) for one in links], "left")
    rows = max(len(before.ids), len(after.ids))
    height = 2 * MARGIN + rows * (36 + PAD)
    sankey = {
        "type": "sankey",
        "arrangement": "fixed",
        "node": nodes(before, after, height - 2 * MARGIN),
        "link": bands(links, before, after),
        "valueformat": ",d",
    }
    return {"data": [sankey], "layout": {"height": height, "margin": {"t": MARGIN, "b": MARGIN}}}


def side(segments: Sequence[Segment], counted: Sequence[tuple[int | None, int]], nobody: str) -> Side:
    """The segments in their order that have a customer; who is in none stands last."""
    sizes: dict[int | None, int] = {}
    for segment_id, n_customers in counted:
        sizes[segment_id] = sizes.get(segment_id, 0) + n_customers
    known = [segment for segment in segments if segment.segment_id in sizes]
    ids = [*(segment.segment_id for segment in known), *([None] if None in sizes else [])]
    titles = [*map(segment_title, known), nobody]
    colors = [*map(segment_color, known), NOBODY]
    return Side(tuple(ids), tuple(titles[: len(ids)]), tuple(colors[: len(ids)]), tuple(sizes[one] for one in ids))


def nodes(before: Side, after: Side, height: int) -> Figure:
    """Both columns, each from top to bottom in the order of its segments, to one scale."""
    scale = min((height - PAD * (len(one.ids) - 1)) / sum(one.sizes) for one in (before, after))
    return {
        "label": [*before.titles, *after.titles],
        "color": [*before.colors, *after.colors],
        "x": [EDGE] * len(before.ids) + [1 - EDGE] * len(after.ids),
        "y": plain([*middles(before.sizes, scale, height), *middles(after.sizes, scale, height)]),
        "pad": PAD,
        "thickness": 14,
        "line": {"width": 0},
        "hovertemplate": "%{label}: %{value} customers<extra></extra>",
    }


def middles(sizes: Sequence[int], scale: float, height: int) -> list[float]:
    """Where the middle of each node lies, as a share of the height."""
    found, top = [], 0.0
    for size in sizes:
        found.append(max((top + size * scale / 2) / height, EDGE))
        top += size * scale + PAD
    return found


def bands(links: Sequence[Transition], before: Side, after: Side) -> Figure:
    """The bands, in the colour of the segment that they come from."""
    first = len(before.ids)
    sources = [before.ids.index(one.from_segment_id) for one in links]
    return {
        "source": sources,
        "target": [first + after.ids.index(one.to_segment_id) for one in links],
        "value": [int(one.n_customers) for one in links],
        "color": [
            translucent(before.colors[source], STAYED if one.from_segment_id == one.to_segment_id else MOVED)
            for source, one in zip(sources, links, strict=True)
        ],
        "hovertemplate": "%{source.label} to %{target.label}: %{value} customers<extra></extra>",
    }


def translucent(color: str, opacity: float) -> str:
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def flow_table(version: Version, flow: Flow) -> Table:
    before = {segment.segment_id: heading(segment) for segment in flow.from_segments}
    after = {segment.segment_id: heading(segment) for segment in version.segments}
    rows = tuple(
        (
            before.get(one.from_segment_id or 0, "came"),
            after.get(one.to_segment_id or 0, "left"),
            one.n_customers,
            one.n_features_moved,
            one.n_model_moved,
        )
        for one in flow.comparison.transitions
    )
    columns = ("From", "To", "Customers", "Their features moved", "The model moved")
    return Table(f"Customers from version {flow.from_version_id} to this one", columns, rows)
