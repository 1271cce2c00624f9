"""What `versions` and `status` print: plain rows, so that these commands start fast."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from segjob.postgres.connect import Schemas
from segjob.postgres.queries import query, quote
from segjob.postgres.runs import last_run, last_success
from segjob.postgres.tables import published, version


def list_versions(connection: Connection, segmentation: str) -> list[dict[str, Any]]:
    """Every version of a segmentation, newest first."""
    c = version.c
    columns = (
        c.version_id, c.status, c.created_at, c.published_at, c.data_as_of, c.n_customers, c.n_unlabelled,
        c.n_segments, c.inertia, c.silhouette, c.silhouette_low, c.silhouette_high, c.silhouette_method,
        c.silhouette_n_sampled, c.seed, c.run_id, c.parent_version_id,
    )  # fmt: skip
    chosen = select(*columns).where(c.segmentation == segmentation).order_by(c.version_id.desc())
    return [dict(row) for row in connection.execute(chosen).mappings()]


def status(connection: Connection, segmentation: str) -> dict[str, Any]:
    """What is published, since when, how good, how the last run went, and what is due."""
    pointer = select(published).where(published.c.segmentation == segmentation)
    row = connection.execute(pointer).one_or_none()
    current = None
    if row:
        c = version.c
        chosen = select(
            c.version_id, c.data_as_of, c.n_customers, c.n_unlabelled, c.n_segments, c.inertia,
            c.silhouette, c.silhouette_low, c.silhouette_high, c.silhouette_method, c.silhouette_n_sampled,
        ).where(c.segmentation == segmentation, c.version_id == row.version_id)  # fmt: skip
        current = {**connection.execute(chosen).mappings().one(), "published_at": row.published_at}
    return {
        "segmentation": segmentation,
        "published": current,
        "last_run": last_run(connection, segmentation),
        "last_success_at": last_success(connection, segmentation),
        "due": [] if row else ["run"],
    }


def is_migrated(connection: Connection, schemas: Schemas) -> bool:
    """Whether `segjob migrate` has made the tables."""
    relation = f"{quote(schemas.private)}.alembic_version"
    return bool(connection.execute(query("has_relation"), {"relation": relation}).scalar_one())
