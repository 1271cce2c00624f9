"""`segjob report`: one self-contained page, made only from what the version stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segjob.commands.database import opened
from segjob.config import Settings
from segjob.postgres.candidates import load_candidates
from segjob.postgres.queries import query
from segjob.postgres.versions import load_version
from segjob.report.page import render, write


def report(settings: Settings, name: str, version_id: int | None, out: Path) -> dict[str, Any]:
    """Write the page of a version; the published one if none is named."""
    with opened(settings, name) as (_, connection):
        version = load_version(connection, name, version_id)
        candidates = load_candidates(connection, name, version.run_id)
        now = connection.execute(query("server_time")).scalar_one()
    write(render(version, generated_at=now, candidates=candidates), out)
    return {"segmentation": name, "version_id": version.version_id, "file": str(out)}
