"""The numbers of segments that were tried, as rows, and read back as records."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select

from segjob.postgres.publishing.versions import score_of, score_row
from segjob.postgres.tables import k_candidate
from segjob.records.version import Candidate


def store_candidates(connection: Connection, segmentation: str, run_id: int, candidates: Sequence[Candidate]) -> None:
    """Write what a run tried."""
    rows = [
        {
            "segmentation": segmentation,
            "run_id": run_id,
            "n_clusters": one.n_clusters,
            "inertia": one.inertia,
            **score_row(one.silhouette),
            "davies_bouldin": one.davies_bouldin,
            "calinski_harabasz": one.calinski_harabasz,
            "smallest_share": one.smallest_share,
            "stability": one.stability,
            "suggested": one.suggested,
        }
        for one in candidates
    ]
    if rows:
        connection.execute(insert(k_candidate), rows)


def load_candidates(connection: Connection, segmentation: str, run_id: int | None = None) -> tuple[Candidate, ...]:
    """What a run tried, ascending; where that is nothing, what the latest run tried that did."""
    columns = k_candidate.c
    ours = columns.segmentation == segmentation
    latest = select(func.max(columns.run_id)).where(ours)
    wanted = connection.execute(latest.where(columns.run_id == run_id)).scalar() or connection.execute(latest).scalar()
    chosen = select(k_candidate).where(ours, columns.run_id == wanted).order_by(columns.n_clusters)
    return tuple(
        Candidate(
            n_clusters=row.n_clusters,
            inertia=row.inertia,
            silhouette=score_of(row),
            davies_bouldin=row.davies_bouldin,
            calinski_harabasz=row.calinski_harabasz,
            smallest_share=row.smallest_share,
            stability=row.stability,
            suggested=row.suggested,
        )
        for row in connection.execute(chosen)
    )
