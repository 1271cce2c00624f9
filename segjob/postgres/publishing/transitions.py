"""Who moved between two versions, as rows that outlive the labels."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from segjob.postgres.tables import transition
from segjob.records.comparison import Comparison, Transition


def store_transitions(connection: Connection, segmentation: str, before: int, after: int, found: Comparison) -> None:
    """Write down how the customers of one version are spread over another, in the place of what was there."""
    connection.execute(delete(transition).where(*between(segmentation, before, after)))
    pair = {"segmentation": segmentation, "from_version_id": before, "to_version_id": after}
    if found.transitions:
        connection.execute(insert(transition), [pair | asdict(one) for one in found.transitions])


def load_transitions(connection: Connection, segmentation: str, before: int, after: int) -> Comparison | None:
    """What was stored of two versions; None if nothing was."""
    columns = [transition.c[name] for name in Transition.__dataclass_fields__]
    chosen = select(*columns).where(*between(segmentation, before, after))
    rows = connection.execute(chosen.order_by(transition.c.from_segment_id, transition.c.to_segment_id)).all()
    return Comparison(tuple(Transition(*row) for row in rows)) if rows else None


def between(segmentation: str, before: int, after: int) -> tuple[ColumnElement[Any], ...]:
    c = transition.c
    return c.segmentation == segmentation, c.from_version_id == before, c.to_version_id == after
