"""Versions as rows, and read back as records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from sqlalchemy import Connection, Row, Select, func, insert, select

from segjob.postgres.connecting.connect import driver_of
from segjob.postgres.connecting.meaning import translated
from segjob.postgres.listing import no_version
from segjob.postgres.publishing.gates import load_gates
from segjob.postgres.queries import Names, driver_query
from segjob.postgres.reading.columns import as_identifier
from segjob.postgres.tables import centroid, feature_profile, model, published, run, sample_row, segment, version
from segjob.records.model import Model, ModelColumn
from segjob.records.version import Centroid, SampleRow, Score, Segment, Stage, Version


@dataclass(frozen=True)
class Parent:
    """The published version as the next one needs to know it.

    Attributes
    ----------
    names : of its segments, by id
    """

    version_id: int
    model: Model
    names: Mapping[int, str]


def next_version(connection: Connection, segmentation: str) -> int:
    """The id that the next version gets. Only under the lock of a fit."""
    latest = select(func.max(version.c.version_id)).where(version.c.segmentation == segmentation)
    return (connection.execute(latest).scalar() or 0) + 1


def next_segment_id(connection: Connection, segmentation: str) -> int:
    """The first segment id that no version has, whatever became of it. Only under the lock of a fit.

    What an unfinished run left does not count: nobody has seen it, and the same run again shall find the same ids.
    """
    both = (version.c.segmentation == segment.c.segmentation) & (version.c.version_id == segment.c.version_id)
    latest = select(func.max(segment.c.segment_id)).join(version, both)
    counted = version.c.version_id.not_in(unfinished_versions(segmentation))
    return (connection.execute(latest.where(segment.c.segmentation == segmentation, counted)).scalar() or 0) + 1


def unfinished_versions(segmentation: str) -> Select[int]:
    """Versions that were stored by a run which then failed, was stopped or died, and that nobody ever published."""
    broken_off = run.c.status.in_(("failed", "stopped", "lost"))
    stored = select(version.c.version_id).join(run, run.c.run_id == version.c.run_id)
    return stored.where(version.c.segmentation == segmentation, version.c.published_at.is_(None), broken_off)


def store_version(connection: Connection, fitted: Version) -> None:
    """Write a version with its segments, centroids and constants, as staged."""
    identity = {"segmentation": fitted.segmentation, "version_id": fitted.version_id}
    connection.execute(insert(version).values(**identity, **version_row(fitted)))
    rows: list[tuple[Any, Sequence[Mapping[str, Any]]]] = [
        (segment, [segment_row(one) for one in fitted.segments]),
        (feature_profile, [feature_row(i, column) for i, column in enumerate(fitted.model.columns)]),
        (centroid, [asdict(one) for one in fitted.centroids]),
    ]
    for table, contents in rows:
        if contents:
            connection.execute(insert(table), [identity | dict(row) for row in contents])


SampleLine: TypeAlias = tuple[int, int, str, str, float | None]
"""A row of a sample: the hash of its key, its segment, what it has in the source, on the grid, and its silhouette."""


def sample_lines(sample: Sequence[SampleRow]) -> list[SampleLine]:
    """A sample as `store_sample` sends it. It takes a while to put all of it into text."""
    return [
        (one.key_hash, one.segment_id, json.dumps(dict(one.values)), array_text(one.scaled), one.silhouette)
        for one in sample
    ]


def array_text(values: Sequence[float]) -> str:
    return f"{{{','.join(map(repr, values))}}}"


def store_sample(connection: Connection, names: Names, version_id: int, lines: Sequence[SampleLine]) -> None:
    """Write the sample of a stored version."""
    statement = driver_query("copy_sample", sample=names.sample)
    with translated(), driver_of(connection).cursor().copy(statement) as copy:
        for ordinal, line in enumerate(lines):
            copy.write_row((names.segmentation, version_id, ordinal, *line))


def store_model(connection: Connection, fitted: Version, arrays: Mapping[str, Any]) -> None:
    """Write the model of a stored version once more, as the functions in SQL read it."""
    features = sorted(f"{as_identifier(group.column)} {group.family}" for group in first_columns(fitted.model))
    identity = {"segmentation": fitted.segmentation, "version_id": fitted.version_id, "features": features}
    connection.execute(insert(model).values(**identity, **arrays))


def first_columns(of: Model) -> list[ModelColumn]:
    """The first column of each feature, which names it."""
    return list({column.column: column for column in reversed(of.columns)}.values())


def version_row(fitted: Version) -> dict[str, Any]:
    return {
        "parent_version_id": fitted.parent_version_id,
        "run_id": fitted.run_id,
        "status": fitted.status,
        "data_as_of": fitted.data_as_of,
        "n_customers": fitted.n_customers,
        "n_unlabelled": fitted.n_unlabelled,
        "n_segments": len(fitted.segments),
        "inertia": fitted.inertia,
        **score_row(fitted.silhouette),
        **score_row(fitted.squared_silhouette, "squared_silhouette"),
        "davies_bouldin": fitted.davies_bouldin,
        "calinski_harabasz": fitted.calinski_harabasz,
        "seed": fitted.seed,
        "config_hash": fitted.config_hash,
        "scope_hash": fitted.scope_hash,
        "watermark": fitted.watermark,
        "grid_exponent": fitted.model.grid_exponent,
        "stages": [asdict(stage) for stage in fitted.stages],
    }


def score_row(score: Score, name: str = "silhouette") -> dict[str, Any]:
    """The columns of a score, by the name of the first."""
    return {
        name: score.value,
        f"{name}_low": score.low,
        f"{name}_high": score.high,
        f"{name}_method": score.method,
        f"{name}_n_sampled": score.n_sampled,
        f"{name}_exact": score.exact,
    }


def score_of(row: Row[Any], name: str = "silhouette") -> Score:
    """The score in the columns that begin with this name."""
    columns = row._asdict()
    parts = ("low", "high", "method", "n_sampled", "exact")
    return Score(columns[name], *(columns[f"{name}_{part}"] for part in parts))


def segment_row(one: Segment) -> dict[str, Any]:
    return {
        "segment_id": one.segment_id,
        "segment_name": one.name,
        "color": one.color,
        "n_customers": one.n_customers,
        "n_customers_now": one.n_customers,
        "share": one.share,
        "inertia": one.inertia,
        **score_row(one.silhouette),
        **score_row(one.squared_silhouette, "squared_silhouette"),
        "rule": one.rule,
        "rule_precision": one.rule_precision,
        "rule_recall": one.rule_recall,
        "distance_p99": one.distance_p99,
        "origin": one.origin,
        "from_segment_ids": list(one.from_segment_ids),
    }


def feature_row(ordinal: int, column: ModelColumn) -> dict[str, Any]:
    row = asdict(column)
    return {"ordinal": ordinal, "column_name": row.pop("column"), **row}


def load_version(connection: Connection, segmentation: str, version_id: int | None = None) -> Version:
    """Read a version back, the published one if none is named.

    Raises
    ------
    DataError
        There is no such version, or nothing is published.
    """
    pointer = select(published.c.version_id).where(published.c.segmentation == segmentation).scalar_subquery()
    wanted = pointer if version_id is None else version_id
    chosen = [version.c.segmentation == segmentation, version.c.version_id == wanted]
    row = connection.execute(select(version).where(*chosen)).one_or_none()
    if row is None:
        raise no_version(segmentation, version_id)
    return Version(
        segmentation=segmentation,
        version_id=row.version_id,
        parent_version_id=row.parent_version_id,
        run_id=row.run_id,
        created_at=row.created_at,
        data_as_of=row.data_as_of,
        n_customers=row.n_customers,
        n_unlabelled=row.n_unlabelled,
        inertia=row.inertia,
        silhouette=score_of(row),
        squared_silhouette=score_of(row, "squared_silhouette"),
        davies_bouldin=row.davies_bouldin,
        calinski_harabasz=row.calinski_harabasz,
        seed=row.seed,
        config_hash=row.config_hash,
        stages=tuple(Stage(**stage) for stage in row.stages),
        model=load_model(connection, segmentation, row.version_id, row.grid_exponent),
        segments=load_segments(connection, segmentation, row.version_id),
        centroids=load_centroids(connection, segmentation, row.version_id),
        sample=load_sample(connection, segmentation, row.version_id),
        status=row.status,
        published_at=row.published_at,
        scope_hash=row.scope_hash,
        watermark=row.watermark,
        gates=load_gates(connection, segmentation, row.version_id),
    )


def load_published(connection: Connection, segmentation: str) -> Version | None:
    """The published version, or None before the first publication."""
    pointer = select(published.c.version_id).where(published.c.segmentation == segmentation)
    version_id = connection.execute(pointer).scalar()
    return load_version(connection, segmentation, version_id) if version_id else None


def published_model(connection: Connection, segmentation: str) -> Model | None:
    """What gives customers their segments now, or None before the first publication."""
    both = (version.c.segmentation == published.c.segmentation) & (version.c.version_id == published.c.version_id)
    grid = select(version.c.version_id, version.c.grid_exponent).join(published, both)
    row = connection.execute(grid.where(published.c.segmentation == segmentation)).one_or_none()
    return load_model(connection, segmentation, *row) if row else None


def load_parent(connection: Connection, segmentation: str) -> Parent | None:
    """The published version as the next one needs to know it, or None before the first publication."""
    pointer = select(published.c.version_id).where(published.c.segmentation == segmentation)
    version_id = connection.execute(pointer).scalar()
    model = published_model(connection, segmentation)
    if version_id is None or model is None:
        return None
    chosen = [segment.c.segmentation == segmentation, segment.c.version_id == version_id]
    named = connection.execute(select(segment.c.segment_id, segment.c.segment_name).where(*chosen))
    return Parent(version_id, model, {row.segment_id: row.segment_name for row in named})


def load_segments(connection: Connection, segmentation: str, version_id: int) -> tuple[Segment, ...]:
    chosen = select(segment).where(segment.c.segmentation == segmentation, segment.c.version_id == version_id)
    return tuple(
        Segment(
            segment_id=row.segment_id,
            name=row.segment_name,
            color=row.color,
            n_customers=row.n_customers,
            share=row.share,
            inertia=row.inertia,
            silhouette=score_of(row),
            squared_silhouette=score_of(row, "squared_silhouette"),
            rule=row.rule,
            rule_precision=row.rule_precision,
            rule_recall=row.rule_recall,
            distance_p99=row.distance_p99,
            origin=row.origin,
            from_segment_ids=tuple(row.from_segment_ids),
        )
        for row in connection.execute(chosen.order_by(segment.c.segment_id))
    )


def load_centroids(connection: Connection, segmentation: str, version_id: int) -> tuple[Centroid, ...]:
    """In the order of segments, and of the clustered features within each."""
    feature = feature_profile.c
    columns = [centroid.c[name] for name in Centroid.__dataclass_fields__]
    same = (
        (feature.segmentation == centroid.c.segmentation)
        & (feature.version_id == centroid.c.version_id)
        & (feature.feature == centroid.c.feature)
    )
    chosen = (
        select(*columns)
        .join(feature_profile, same)
        .where(centroid.c.segmentation == segmentation, centroid.c.version_id == version_id)
        .order_by(centroid.c.segment_id, feature.position)
    )
    return tuple(Centroid(*row) for row in connection.execute(chosen))


def load_model(connection: Connection, segmentation: str, version_id: int, grid_exponent: int) -> Model:
    """Everything that gives a customer a segment, as it was stored."""
    profile = feature_profile.c
    chosen = select(feature_profile).where(profile.segmentation == segmentation, profile.version_id == version_id)
    columns = []
    for row in connection.execute(chosen.order_by(profile.ordinal)).mappings():
        values = {name: row[name] for name in ModelColumn.__dataclass_fields__ if name != "column"}
        columns.append(ModelColumn(column=row["column_name"], **values))
    rows = load_centroids(connection, segmentation, version_id)
    ids = tuple(dict.fromkeys(row.segment_id for row in rows))
    centers = np.array([row.grid_value for row in rows], dtype=np.int64).reshape(len(ids), -1)
    return Model(tuple(columns), grid_exponent, ids, centers)


def load_sample(connection: Connection, segmentation: str, version_id: int) -> tuple[SampleRow, ...]:
    c = sample_row.c
    chosen = select(sample_row).where(c.segmentation == segmentation, c.version_id == version_id).order_by(c.ordinal)
    return tuple(
        SampleRow(row.segment_id, row.source_values, tuple(row.scaled_values), row.silhouette, row.key_hash)
        for row in connection.execute(chosen)
    )
