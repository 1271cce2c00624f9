"""`segjob prune`: the labels of old versions go."""

from __future__ import annotations

from typing import Any

from segjob.commands.database import open_database
from segjob.config import Settings
from segjob.job.pruning import prune_versions
from segjob.progress import Progress


def prune(settings: Settings, name: str) -> dict[str, Any]:
    """Keep the newest versions with their labels, as many as the configuration says."""
    settings.segmentation(name)
    return prune_versions(open_database(settings), settings, name, Progress(name))


def print_pruned(found: dict[str, Any]) -> None:
    versions = ", ".join(map(str, found["pruned"])) or "none"
    print(f"{found['segmentation']}: labels dropped of versions: {versions}; kept: the newest {found['keep_versions']}")
