"""What `status`, `versions` and `show` print; without SQLAlchemy and numpy, so that they start fast."""

from __future__ import annotations

from typing import Any

import psycopg

from segjob.errors import DataError
from segjob.postgres.connecting.connect import Schemas
from segjob.postgres.queries import driver_query, quote

Session = psycopg.Cursor[dict[str, Any]]


def rows(session: Session, schemas: Schemas, name: str, **arguments: Any) -> list[dict[str, Any]]:
    """The answer to one of the named statements."""
    statement = driver_query(name, public=quote(schemas.public), private=quote(schemas.private))
    return session.execute(statement, arguments).fetchall()


def first(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    return found[0] if found else None


def list_versions(session: Session, schemas: Schemas, segmentation: str) -> list[dict[str, Any]]:
    """Every version of a segmentation, newest first."""
    return rows(session, schemas, "list_versions", segmentation=segmentation)


def status(session: Session, schemas: Schemas, segmentation: str) -> dict[str, Any]:
    """What is published, since when, how good, how the last run went, and what is due."""
    freshness = first(rows(session, schemas, "freshness", segmentation=segmentation))
    return {
        "segmentation": segmentation,
        "published": first(rows(session, schemas, "published_version", segmentation=segmentation)),
        "last_run": first(rows(session, schemas, "last_run", segmentation=segmentation)),
        "last_success_at": freshness and freshness["last_success_at"],
        "due": due(freshness),
    }


def due(freshness: dict[str, Any] | None) -> list[str]:
    """The commands that somebody should call."""
    if freshness is None:
        return ["migrate", "run"]
    return ["run"] if freshness["fit_due"] else []


def show(session: Session, schemas: Schemas, segmentation: str, version_id: int | None) -> dict[str, Any]:
    """A version with its segments and their centroids; the published one if none is named.

    Raises
    ------
    DataError
        There is no such version, or nothing is published.
    """
    found = first(rows(session, schemas, "show_version", segmentation=segmentation, version_id=version_id))
    if found is None:
        raise no_version(segmentation, version_id)
    silhouettes = {name: score_in(found, name) for name in ("silhouette", "squared_silhouette")}
    identity = {"segmentation": segmentation, "version_id": found["version_id"]}
    segments, gates = (rows(session, schemas, name, **identity) for name in ("show_segments", "show_gates"))
    return {**found, **silhouettes, "segments": segments, "gates": gates}


def score_in(found: dict[str, Any], name: str) -> dict[str, Any]:
    """Take the columns of a score out of a row."""
    parts = ("low", "high", "method", "n_sampled", "exact")
    return {"value": found.pop(name), **{part: found.pop(f"{name}_{part}") for part in parts}}


def no_version(segmentation: str, version_id: int | None) -> DataError:
    if version_id is None:
        return DataError(f"segmentation {segmentation} has no published version; `segjob run {segmentation}` makes one")
    return DataError(f"{segmentation} has no version {version_id}; see `segjob versions {segmentation}`")


def is_migrated(session: Session, schemas: Schemas) -> bool:
    """Whether `segjob migrate` has made the views, as far as this role may see."""
    relation = f"{quote(schemas.public)}.segmentation"
    return bool(rows(session, schemas, "is_migrated", relation=relation)[0]["present"])
