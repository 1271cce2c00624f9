"""Where the sampled customers and the centroids lie in a scatter plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from segjob.records.model import ModelColumn
from segjob.records.version import SampleRow, Version
from segjob.report.wording import Cell, Share, in_source_units, written

AxisKind = Literal["linear", "log", "date"]
DATE_RANGE = (-719_162.0, 2_932_896.0)  # years 1 to 9999, in days since 1970-01-01


@dataclass(frozen=True)
class Axis:
    """One axis; `column` is the source column that it shows, None for a principal component."""

    name: str
    note: str = ""
    kind: AxisKind = "linear"
    column: ModelColumn | None = None

    @property
    def title(self) -> str:
        return f"{self.name} ({self.note})" if self.note else self.name

    def cell(self, value: float) -> Cell:
        """A position on this axis, for a table."""
        return in_source_units(self.column, value) if self.column else value


@dataclass(frozen=True)
class Projection:
    """The sample and the centroids on one or two axes.

    Attributes
    ----------
    points : (n sampled, axes) in the sample's order
    centers : (k, axes) in the order of the version's segments
    loadings : (axes, d) the direction of each principal component; None where axes are columns of the source
    """

    axes: tuple[Axis, ...]
    points: np.ndarray
    centers: np.ndarray
    loadings: np.ndarray | None = None


def clustered_columns(version: Version) -> tuple[ModelColumn, ...]:
    """The columns that were clustered, in the order of `SampleRow.scaled`."""
    return tuple(sorted(version.model.clustered, key=lambda column: column.position or 0))


def project(version: Version) -> Projection:
    """One or two numeric columns as they are, in source units; anything else through principal components."""
    columns = clustered_columns(version)
    numeric = all(column.category is None for column in columns)
    if len(columns) == 1 or (len(columns) == 2 and numeric):
        return source_projection(version, columns)
    return principal_projection(version, columns)


def source_projection(version: Version, columns: tuple[ModelColumn, ...]) -> Projection:
    values = [[source_value(row, column) for column in columns] for row in version.sample]
    points = np.array(values, dtype=np.float64).reshape(-1, len(columns))
    centers = center_matrix(version, columns, scaled=False)
    both = np.vstack([points, centers])
    axes = tuple(source_axis(column, both[:, index]) for index, column in enumerate(columns))
    return Projection(axes, points, centers)


def source_value(row: SampleRow, column: ModelColumn) -> float:
    """The customer's own value, or, where it is missing or a category, the one that was clustered in its place."""
    value, scaled = row.values.get(column.column), row.scaled[column.position or 0]
    if column.category is not None:
        return float(scaled > 0)
    if isinstance(value, int | float) and np.isfinite(value):
        return float(value)
    transformed = scaled / column.weight * column.scale + column.center if column.weight else column.center
    return float(np.expm1(transformed)) if column.transform == "log1p" else float(transformed)


def source_axis(column: ModelColumn, values: np.ndarray) -> Axis:
    dated = column.family in ("date", "timestamp")
    if dated and values.min() >= DATE_RANGE[0] and values.max() <= DATE_RANGE[1]:
        return Axis(column.feature, "", "date", column)
    if column.transform == "log1p" and values.min() > 0:
        return Axis(column.feature, "logarithmic", "log", column)
    return Axis(column.feature, "days since 1970-01-01" if dated else "", "linear", column)


def principal_projection(version: Version, columns: tuple[ModelColumn, ...]) -> Projection:
    """The two directions of the clustered space along which the sample differs most."""
    scaled = np.array([row.scaled for row in version.sample], dtype=np.float64).reshape(-1, len(columns))
    mean = scaled.mean(axis=0)
    loadings, explained = principal_components(scaled - mean)
    axes = tuple(
        Axis(f"Component {index}", f"{written(Share(share))} of the variance")
        for index, share in enumerate(explained, start=1)
    )
    centers = center_matrix(version, columns, scaled=True)
    return Projection(axes, (scaled - mean) @ loadings.T, (centers - mean) @ loadings.T, loadings)


def principal_components(centered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal directions and the share of the variance along each.

    The sign of a direction is free; it is chosen so that its largest weight is positive.

    Parameters
    ----------
    centered : (n, d) with n >= 1 and d >= 2, each column with mean 0

    Returns
    -------
    loadings : (2, d)
    explained : (2,); zeros where all rows are equal
    """
    _, singular, directions = np.linalg.svd(centered, full_matrices=False)
    loadings = np.zeros((2, centered.shape[1]))
    variance = np.zeros(2)
    found = min(2, len(singular))
    loadings[:found], variance[:found] = directions[:found], singular[:found] ** 2
    strongest = np.abs(loadings).argmax(axis=1)
    loadings *= np.where(loadings[[0, 1], strongest] < 0, -1.0, 1.0)[:, None]
    total = float((singular**2).sum())
    return loadings, variance / total if total > 0 else variance


def center_matrix(version: Version, columns: tuple[ModelColumn, ...], *, scaled: bool) -> np.ndarray:
    """(k, columns) the centroids in source units or scaled, rows in the order of the version's segments."""
    found = {
        (centroid.segment_id, centroid.feature): centroid.scaled_value if scaled else centroid.value
        for centroid in version.centroids
    }
    rows = [[found[segment.segment_id, column.feature] for column in columns] for segment in version.segments]
    return np.array(rows, dtype=np.float64).reshape(len(version.segments), len(columns))
