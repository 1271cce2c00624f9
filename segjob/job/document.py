"""What `run --json` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from segjob.progress import Progress
from segjob.records.version import Version

if TYPE_CHECKING:
    from segjob.clustering.kmeans import Fit


def result_document(version: Version, fit: Fit, status: str, progress: Progress, warnings: list[str]) -> dict[str, Any]:
    """The result of a run, by the contract."""
    return {
        "segmentation": version.segmentation,
        "run_id": version.run_id,
        "version_id": version.version_id,
        "status": status,
        "n_customers": version.n_customers,
        "n_unlabelled": version.n_unlabelled,
        "n_segments": len(version.segments),
        "inertia": version.inertia,
        "silhouette": asdict(version.silhouette),
        "squared_silhouette": asdict(version.squared_silhouette),
        "davies_bouldin": version.davies_bouldin,
        "calinski_harabasz": version.calinski_harabasz,
        "fit": {
            "minibatches": fit.n_minibatches,
            "full_passes": fit.n_full_passes,
            "warm_start": fit.warm_start,
            "stages": [asdict(stage) for stage in version.stages],
        },
        "segments": segments_document(version),
        "gates": [asdict(gate) for gate in version.gates],
        "warnings": warnings,
        "seconds": progress.seconds(),
    }


def segments_document(version: Version) -> list[dict[str, Any]]:
    """The segments with their centroids in source units."""
    centroids: dict[int, dict[str, float]] = {}
    for centroid in version.centroids:
        centroids.setdefault(centroid.segment_id, {})[centroid.feature] = centroid.value
    return [
        {
            "segment_id": segment.segment_id,
            "name": segment.name,
            "color": segment.color,
            "n_customers": segment.n_customers,
            "share": segment.share,
            "inertia": segment.inertia,
            "silhouette": segment.silhouette.value,
            "squared_silhouette": segment.squared_silhouette.value,
            "origin": segment.origin,
            "from_segment_ids": list(segment.from_segment_ids),
            "centroid": centroids.get(segment.segment_id, {}),
        }
        for segment in version.segments
    ]


def changes(published: Version | None, version: Version) -> list[str]:
    """What publishing this version would change, in sentences."""
    if published is None:
        return [f"a first version with {version.n_customers:,} customers would be published"]
    lines = [
        f"version {published.version_id} ({published.n_customers:,} customers in {len(published.segments)} segments) "
        f"would give way to a new one ({version.n_customers:,} in {len(version.segments)})"
    ]
    before = {segment.segment_id: segment.n_customers for segment in published.segments}
    after = {segment.segment_id: segment.n_customers for segment in version.segments}
    lines += [
        f"segment {segment_id}: {before.get(segment_id, 0):,} -> {after.get(segment_id, 0):,} customers"
        for segment_id in sorted(before | after)
        if before.get(segment_id) != after.get(segment_id)
    ]
    return lines
