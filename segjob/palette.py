"""The colours that segments have when nobody chose others.

They differ from one another for people with normal sight and for those with any of the three colour blindnesses, the
first ones most, and stand out on white as on a dark page.
"""

from __future__ import annotations

PALETTE = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#d55e00",
    "#56b4e9",
    "#993311",
    "#9977dd",
    "#774466",
    "#88aa66",
    "#995555",
    "#aabb99",
)


def color_of(segment_id: int) -> str:
    """The default colour of a segment; ids beyond the palette begin again at its first colour."""
    return PALETTE[(segment_id - 1) % len(PALETTE)]
