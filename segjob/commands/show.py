"""`segjob show`: a version as a person or a script reads it."""

from __future__ import annotations

from typing import Any

from segjob import console
from segjob.commands.database import open_database, require_migrated
from segjob.config import Settings
from segjob.descent import descent
from segjob.postgres import listing

APART = 0.5  # standard deviations


def version_document(settings: Settings, name: str, version_id: int | None) -> dict[str, Any]:
    """The segments, centroids and scores of a version; the published one if none is named."""
    settings.segmentation(name)
    database = open_database(settings)
    with database.reading() as session:
        require_migrated(session, database)
        return listing.show(session, database.schemas, name, version_id)


def print_version(found: dict[str, Any]) -> None:
    silhouette = found["silhouette"]
    print(
        f"{found['segmentation']}, version {found['version_id']} ({found['status']}): "
        f"{found['n_customers']:,} customers in {found['n_segments']} segments, "
        f"{found['n_unlabelled']:,} without a segment, data as of {console.plain(found['data_as_of'])}"
    )
    print(f"inertia {console.number(found['inertia'])}, {silhouette_sentence(silhouette)}")
    print_segments(found["segments"])
    print_gates(found["gates"])
    for segment in found["segments"]:
        print_explanation(segment)


def silhouette_sentence(silhouette: dict[str, Any]) -> str:
    """A silhouette never stands without its method and its sample."""
    if silhouette["value"] is None:
        return "no silhouette: there is one segment"
    how = "exact" if silhouette["exact"] else f"on {silhouette['n_sampled']:,} sampled customers"
    return f"silhouette {silhouette['value']:.4f} ({silhouette['method']}, {how})"


def print_segments(segments: list[dict[str, Any]]) -> None:
    """A row a segment, its centroid in source units; how it continues the version before, if any of them does."""
    features = list(segments[0]["centroid"]) if segments else []
    continues = any(segment["origin"] != "new" for segment in segments)
    columns = ["segment", "name", "customers", "share", "silhouette", *(["origin"] if continues else []), *features]
    rows = [
        [
            segment["segment_id"],
            segment["name"],
            segment["n_customers"],
            f"{segment['share']:.1%}",
            segment["silhouette"],
            *([descent(segment["segment_id"], segment["origin"], segment["from_segment_ids"])] if continues else []),
            *(segment["centroid"][feature] for feature in features),
        ]
        for segment in segments
    ]
    console.table("", columns, rows)


def print_gates(gates: list[dict[str, Any]]) -> None:
    """A row a gate that is switched on."""
    columns = ("gate", "value", "warn", "refuse", "result")
    if gates:
        console.table("", columns, [[gate[column] for column in columns] for gate in gates])


def print_explanation(segment: dict[str, Any]) -> None:
    """What sets a segment apart, and its rule, as text that can be pasted."""
    print(f"{segment['segment_id']} · {segment['name']}")
    print(f"  apart: {apart_sentence(segment['differences'])}")
    if segment["rule"] is not None:
        print(f"  rule:  {segment['rule']}")
        print(f"         {share(segment['rule_precision'])} precision, {share(segment['rule_recall'])} recall")


def apart_sentence(differences: dict[str, float | None]) -> str:
    """The features at least half a standard deviation away from all customers, the farthest first; at most three."""
    far = [(feature, apart) for feature, apart in differences.items() if apart is not None and abs(apart) >= APART]
    listed = ", ".join(f"{feature} {apart:+.1f}" for feature, apart in far[:3])
    return f"{listed} standard deviations from all customers" if listed else "near the average in everything"


def share(value: float | None) -> str:
    return "no" if value is None else f"{value:.1%}"
