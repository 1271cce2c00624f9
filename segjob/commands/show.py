"""`segjob show`: a version as a person or a script reads it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from segjob import console
from segjob.commands.database import open_database, require_migrated
from segjob.config import Settings
from segjob.job.document import segments_document
from segjob.postgres.versions import load_version
from segjob.records import Version


def version_document(settings: Settings, name: str, version_id: int | None) -> dict[str, Any]:
    """The segments, centroids and scores of a version; the published one if none is named."""
    settings.segmentation(name)
    database = open_database(settings)
    with database.begin() as connection:
        require_migrated(connection, database)
        return document(load_version(connection, name, version_id))


def document(version: Version) -> dict[str, Any]:
    """A version as JSON."""
    return {
        "segmentation": version.segmentation,
        "version_id": version.version_id,
        "parent_version_id": version.parent_version_id,
        "status": version.status,
        "created_at": version.created_at,
        "published_at": version.published_at,
        "data_as_of": version.data_as_of,
        "n_customers": version.n_customers,
        "n_unlabelled": version.n_unlabelled,
        "n_segments": len(version.segments),
        "inertia": version.inertia,
        "silhouette": asdict(version.silhouette),
        "davies_bouldin": version.davies_bouldin,
        "calinski_harabasz": version.calinski_harabasz,
        "seed": version.seed,
        "stages": [asdict(stage) for stage in version.stages],
        "segments": segments_document(version),
    }


def print_version(found: dict[str, Any]) -> None:
    silhouette = found["silhouette"]
    print(
        f"{found['segmentation']}, version {found['version_id']} ({found['status']}): "
        f"{found['n_customers']:,} customers in {found['n_segments']} segments, "
        f"{found['n_unlabelled']:,} unlabelled, data as of {console.plain(found['data_as_of'])}"
    )
    print(f"inertia {console.number(found['inertia'])}, {silhouette_sentence(silhouette)}")
    print_segments(found["segments"])


def silhouette_sentence(silhouette: dict[str, Any]) -> str:
    """A silhouette never stands without its method and its sample."""
    if silhouette["value"] is None:
        return "no silhouette: there is one segment"
    how = "exact" if silhouette["exact"] else f"on {silhouette['n_sampled']:,} sampled customers"
    return f"silhouette {silhouette['value']:.4f} ({silhouette['method']}, {how})"


def print_segments(segments: list[dict[str, Any]]) -> None:
    """A row a segment, its centroid in source units."""
    features = list(segments[0]["centroid"]) if segments else []
    columns = ["segment", "name", "customers", "share", "silhouette", *features]
    rows = [
        [
            segment["segment_id"],
            segment["name"],
            segment["n_customers"],
            f"{segment['share']:.1%}",
            segment["silhouette"],
            *(segment["centroid"][feature] for feature in features),
        ]
        for segment in segments
    ]
    console.table("", columns, rows)
