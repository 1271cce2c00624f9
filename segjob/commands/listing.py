"""`segjob status` and `segjob versions`."""

from __future__ import annotations

from typing import Any

from segjob import console
from segjob.commands.database import open_database, require_migrated
from segjob.config import Settings
from segjob.postgres import listing


def statuses(settings: Settings, name: str | None) -> list[dict[str, Any]]:
    """How one segmentation stands, or every one."""
    if name:
        settings.segmentation(name)
    database = open_database(settings)
    with database.reading() as session:
        require_migrated(session, database)
        names = [name] if name else settings.segmentations
        return [listing.status(session, database.schemas, one) for one in names]


def versions(settings: Settings, name: str) -> list[dict[str, Any]]:
    """Every version of a segmentation, newest first."""
    settings.segmentation(name)
    database = open_database(settings)
    with database.reading() as session:
        require_migrated(session, database)
        return listing.list_versions(session, database.schemas, name)


def print_status(found: list[dict[str, Any]]) -> None:
    shown = ("published", "since", "data as of", "customers", "segments", "silhouette", "last run", "due")
    console.table("", ("segmentation", *shown), [status_row(one) for one in found])
    for one in found:
        last = one["last_run"] or {}
        if last.get("error"):
            print(f"{one['segmentation']}: last run {last['status']}: {last['error']}")


def status_row(one: dict[str, Any]) -> list[Any]:
    published, last = one["published"] or {}, one["last_run"] or {}
    keys = ("version_id", "published_at", "data_as_of", "n_customers", "n_segments", "silhouette")
    due = ", ".join(one["due"]) or "nothing"
    return [one["segmentation"], *(published.get(key) for key in keys), last.get("status"), due]


def print_versions(found: list[dict[str, Any]]) -> None:
    keys = ("version_id", "status", "published_at", "data_as_of", "n_customers", "n_segments", "inertia", "silhouette")
    columns = ("version", "status", "published", "data as of", "customers", "segments", "inertia", "silhouette")
    console.table("", columns, [[one[key] for key in keys] for one in found])
