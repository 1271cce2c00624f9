"""`segjob publish` and `segjob rollback`."""

from __future__ import annotations

from typing import Any

from segjob.commands.database import open_database
from segjob.commands.score import print_score
from segjob.config import Settings
from segjob.errors import UsageError
from segjob.job.republishing import Wish, Work, republish
from segjob.progress import Progress


def publish(settings: Settings, name: str, version_id: int, force: bool, reason: str | None) -> dict[str, Any]:
    """Publish a version that is there."""
    if force and not (reason and reason.strip()):
        raise UsageError("--force needs --reason TEXT: who looks at it in a year wants to know why")
    return moved(settings, name, Wish("publish", version_id, force, reason))


def rollback(settings: Settings, name: str) -> dict[str, Any]:
    """Publish the version that was published before, and label with it who came or changed since."""
    return moved(settings, name, Wish("rollback"))


def moved(settings: Settings, name: str, wish: Wish) -> dict[str, Any]:
    settings.segmentation(name)
    return republish(Work(open_database(settings), settings, name, wish, Progress(name)))


def print_publication(found: dict[str, Any]) -> None:
    place = f"{found['segmentation']}: version {found['version_id']}"
    if not found["changed"]:
        print(f"{place} is published already")
        return
    before = found["previous_version_id"]
    instead = f" in place of version {before}" if before else ""
    print(f"{place} is published{instead}, publication {found['publication']}")
    if found.get("scored"):
        print_score(found["scored"])
