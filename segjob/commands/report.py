"""`segjob report`: one self-contained page, made only from what the version stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segjob.commands.database import opened
from segjob.config import Settings
from segjob.postgres.publishing.candidates import load_candidates
from segjob.postgres.publishing.transitions import load_transitions
from segjob.postgres.publishing.versions import load_segments, load_version
from segjob.postgres.queries import query
from segjob.records.version import Version
from segjob.report.moved import Flow
from segjob.report.page import render, write

if TYPE_CHECKING:
    from sqlalchemy import Connection


def report(settings: Settings, name: str, version_id: int | None, out: Path) -> dict[str, Any]:
    """Write the page of a version; the published one if none is named."""
    with opened(settings, name) as (_, connection):
        version = load_version(connection, name, version_id)
        candidates = load_candidates(connection, name, version.run_id)
        now = connection.execute(query("server_time")).scalar_one()
        flow = load_flow(connection, version)
    write(render(version, generated_at=now, candidates=candidates, flow=flow), out)
    return {"segmentation": name, "version_id": version.version_id, "file": str(out)}


def load_flow(connection: Connection, version: Version) -> Flow | None:
    """Who moved since the parent; None for a first version, and where nothing was stored."""
    name, parent = version.segmentation, version.parent_version_id
    found = load_transitions(connection, name, parent, version.version_id) if parent else None
    return Flow(parent, load_segments(connection, name, parent), found) if parent and found else None
