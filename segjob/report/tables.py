"""The tables: one or more for every figure, and those that tell how the model was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from segjob.descent import descent
from segjob.records.model import ModelColumn
from segjob.records.version import Centroid, Segment, Version
from segjob.report.customers import members
from segjob.report.figures import silhouettes_by_segment
from segjob.report.projection import Axis, Projection, clustered_columns
from segjob.report.wording import Cell, Share, basis_text, in_source_units, moment, number

if TYPE_CHECKING:
    import pandas as pd

STAGES = {
    "starts": "Starts on the sample",
    "swaps": "Swaps of centres on the sample",
    "minibatches": "Mini-batches of the sample",
    "sample_passes": "Exact passes over the sample",
    "full_passes": "Exact passes over all customers",
    "warm_start": "Exact passes from the centres of the parent version",
}


@dataclass(frozen=True)
class Table:
    """A table for people. The first cell of a row heads it; the cells are the numbers themselves, not their text."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold no text, and are set flush right."""
        return tuple(all(not isinstance(row[index], str) for row in self.rows) for index in range(len(self.columns)))

    def frame(self) -> pd.DataFrame:
        """The same as a pandas frame, unrounded."""
        import pandas as pd

        return pd.DataFrame([list(row) for row in self.rows], columns=list(self.columns))


def heading(segment: Segment) -> str:
    return f"{segment.segment_id} · {segment.name}"


# For the figures


def customers_table(version: Version, projection: Projection) -> Table:
    """Where each segment lies on the axes: its centroid, and between which values eight in ten of its sample are."""
    columns = ["Segment", "Sampled customers"]
    for axis in projection.axes:
        columns += [f"{axis.name}: centroid", "10 % are below", "90 % are below"]
    rows = []
    for index, segment in enumerate(version.segments):
        points = projection.points[members(version, segment)]
        row: list[Cell] = [heading(segment), len(points)]
        for along, axis in enumerate(projection.axes):
            row += [axis.cell(float(projection.centers[index, along])), *deciles(axis, points[:, along])]
        rows.append(tuple(row))
    return Table("The sampled customers and the centroids", tuple(columns), tuple(rows))


def deciles(axis: Axis, values: np.ndarray) -> list[Cell]:
    if not len(values):
        return [None, None]
    return [axis.cell(float(value)) for value in np.quantile(values, [0.1, 0.9])]


def loadings_table(version: Version, loadings: np.ndarray) -> Table:
    """What the axes of the scatter plot are made of."""
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (column.feature, *loadings[:, index].tolist()) for index, column in enumerate(clustered_columns(version))
    )
    columns = ("Feature", *(f"Weight in component {index + 1}" for index in range(len(loadings))))
    return Table("What the two components are made of (scaled features)", columns, rows)


def sizes_table(version: Version) -> Table:
    rows = tuple(
        (
            heading(segment),
            segment.n_customers,
            Share(segment.share),
            segment.inertia,
            descent(segment.segment_id, segment.origin, segment.from_segment_ids),
        )
        for segment in version.segments
    )
    return Table("Sizes of the segments", ("Segment", "Customers", "Share", "Inertia", "Id"), rows)


def silhouettes_table(version: Version) -> Table:
    """The stored silhouette of each segment, and how those of its sampled customers spread."""
    found = silhouettes_by_segment(version)
    rows: list[tuple[Cell, ...]] = [
        (*silhouette_cells(heading(segment), segment), *spread(found[segment.segment_id]))
        for segment in version.segments
    ]
    everyone = np.concatenate(list(found.values()))
    rows.append((*silhouette_cells("All customers", version), *spread(everyone)))
    scores = ("Silhouette", "How", "Squared silhouette", "How the squared one")
    sampled = ("Sampled customers", "Lower quartile", "Median", "Upper quartile", "Share below 0")
    return Table("Silhouettes of the segments", ("Segment", *scores, *sampled), tuple(rows))


def silhouette_cells(title: str, scored: Version | Segment) -> tuple[Cell, ...]:
    """Both silhouettes of a version or a segment; neither stands without its method and its sample."""
    both = (scored.silhouette, scored.squared_silhouette)
    return (title, *(cell for score in both for cell in (score.value, basis_text(score))))


def spread(values: np.ndarray) -> list[Cell]:
    if not len(values):
        return [0, None, None, None, None]
    quartiles = [float(value) for value in np.quantile(values, [0.25, 0.5, 0.75])]
    return [len(values), *quartiles, Share(float(np.mean(values < 0)))]


def centroids_table(version: Version) -> Table:
    table = by_feature_and_segment(version, lambda column, centroid: in_source_units(column, centroid.value))
    rows = []
    for column, row in zip(clustered_columns(version), table, strict=True):
        mean = in_source_units(column, column.population_mean)
        rows.append((row[0], mean, column.population_std, *row[1:]))
    columns = ("Feature", "All customers: mean", "Standard deviation", *map(heading, version.segments))
    return Table("Centroids, in source units (deviations of dates in days)", columns, tuple(rows))


def means_table(version: Version) -> Table:
    rows = by_feature_and_segment(version, lambda column, centroid: in_source_units(column, centroid.segment_mean))
    columns = ("Feature", *map(heading, version.segments))
    return Table("Means of the members, in source units", columns, rows)


def differences_table(version: Version) -> Table:
    rows = by_feature_and_segment(version, difference)
    columns = ("Feature", *map(heading, version.segments))
    return Table("Differences from all customers, in standard deviations", columns, rows)


def by_feature_and_segment(
    version: Version, cell: Callable[[ModelColumn, Centroid], Cell]
) -> tuple[tuple[Cell, ...], ...]:
    found = {(centroid.feature, centroid.segment_id): centroid for centroid in version.centroids}
    return tuple(
        (column.feature, *(cell(column, found[column.feature, segment.segment_id]) for segment in version.segments))
        for column in clustered_columns(version)
    )


def difference(column: ModelColumn, centroid: Centroid) -> float | None:
    """How far the members' mean lies from that of all, in standard deviations of all.

    As the version stored it; one that stored none is compared in source units, by the centroid where there is no mean.
    """
    if centroid.difference is not None:
        return centroid.difference
    if column.population_mean is None or not column.population_std:
        return None
    value = centroid.value if centroid.segment_mean is None else centroid.segment_mean
    return (value - column.population_mean) / column.population_std


def difference_matrix(version: Version) -> np.ndarray:
    """(d, k) the differences that the heat map shows, NaN where there is no comparison."""
    rows = by_feature_and_segment(version, difference)
    return np.array([row[1:] for row in rows], dtype=np.float64)


# How the model was made


def features_table(version: Version) -> Table:
    """What was asked of each feature, and how many values it touched."""
    rows = tuple(
        (
            column.feature if column.position is not None else f"{column.feature} (constant, not clustered)",
            column.family,
            column.transform,
            column.scaling if column.category is None else "0 or 1",
            column.weight,
            column.impute if column.category is None else "other",
            column.n_missing,
            column.n_clipped,
        )
        for column in version.model.columns
    )
    columns = ("Feature", "Type", "Transform", "Scale", "Weight", "Missing values become", "Missing", "Clipped")
    return Table("Features and how each was prepared", columns, rows)


def constants_table(version: Version) -> Table:
    """The numbers that lead from a customer's value to the space that is clustered."""
    rows = tuple(
        (
            column.feature,
            in_source_units(column, column.impute_value),
            in_source_units(column, column.clip_low),
            in_source_units(column, column.clip_high),
            column.center,
            column.scale,
            column.weight,
            column.origin,
        )
        for column in version.model.columns
    )
    columns = ("Feature", "Put for missing", "Clip from", "Clip to", "Centre", "Scale", "Weight", "Origin of the grid")
    return Table("Constants of the model", columns, rows)


def population_table(version: Version) -> Table:
    rows = tuple(
        (
            column.feature,
            *(
                in_source_units(column, value)
                for value in (column.minimum, column.population_median, column.population_mean)
            ),
            column.population_std,
            in_source_units(column, column.maximum),
        )
        for column in version.model.columns
    )
    columns = ("Feature", "Minimum", "Median", "Mean", "Standard deviation", "Maximum")
    return Table("All labelled customers, in source units (deviations of dates in days)", columns, rows)


def stages_table(version: Version) -> Table:
    rows = tuple(
        (STAGES[stage.stage], stage.n_rows, stage.steps, stage.inertia_before, stage.inertia_after)
        for stage in version.stages
    )
    columns = ("Stage", "Customers seen", "Steps", "Inertia before", "Inertia after")
    return Table("Stages of the fit (the inertia is that of the customers a stage saw)", columns, rows)


def gates_table(version: Version) -> Table:
    rows = tuple((gate.gate, gate.value, gate.warn, gate.refuse, gate.result) for gate in version.gates)
    return Table("What the gates measured", ("Gate", "Measured", "Warns at", "Refuses at", "Result"), rows)


def provenance_table(version: Version) -> Table:
    parent = "none" if version.parent_version_id is None else str(version.parent_version_id)
    published = moment(version.published_at) if version.published_at else "not published"
    rows = (
        ("Version", str(version.version_id)),
        ("Status", version.status),
        ("Parent version", parent),
        ("Run", str(version.run_id)),
        ("Data as of", moment(version.data_as_of)),
        ("Fitted", moment(version.created_at)),
        ("Published", published),
        ("Seed", str(version.seed)),
        ("Configuration", version.config_hash),
        ("Unit of the grid", f"2 to the power of {number(version.model.grid_exponent - 16)}"),
    )
    return Table("Where this version comes from", ("What", "Value"), rows)
