"""`segjob drop`: a segmentation goes, with all that belongs to it."""

from __future__ import annotations

from typing import Any

from segjob.commands.database import open_database
from segjob.config import Settings
from segjob.job.dropping import drop_segmentation


def drop(settings: Settings, name: str, yes: bool) -> dict[str, Any]:
    """Remove a segmentation, also one that the configuration no longer has."""
    dropped = drop_segmentation(open_database(settings), name, yes)
    return {**dropped, "configured": name in settings.segmentations}


def print_dropped(found: dict[str, Any]) -> None:
    print(f"{found['segmentation']}: removed, with {found['versions']} versions and {found['runs']} runs")
    if found["configured"]:
        print("it is still in the configuration: `segjob migrate` would make it again, empty")
