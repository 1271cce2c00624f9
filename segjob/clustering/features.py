"""From a customer's raw features to coordinates on the grid, and back. No torch: it runs while torch still loads.

The order is missing → impute, clip (source units), transform, scale, weight. Every step is one elementwise float64
operation on contiguous values, in the same order as in SQL.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from segjob.arrays import as_arrow, as_numpy
from segjob.clustering.categories import category_codes
from segjob.clustering.grid import LIMIT, to_grid, unit_of
from segjob.records.model import ModelColumn
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec, Transform


class Rows(Protocol):
    """Raw features of some customers: a chunk, or the sample."""

    @property
    def numbers(self) -> np.ndarray: ...

    @property
    def categories(self) -> tuple[pa.Array, ...]: ...


class Transformed(Protocol):
    """What says how a numeric feature is transformed: a `FeatureSpec` or a `ModelColumn`."""

    @property
    def transform(self) -> Transform: ...


def log1p(x: np.ndarray) -> np.ndarray:
    """ln(1 + x) by the formula that SQL uses too: u = 1 + x; x if u = 1, else ln(u) * (x / (u - 1))."""
    x = np.asarray(x, dtype=np.float64, order="C")
    u = 1.0 + x
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = np.log(u) * (x / (u - 1.0))
    return np.where(u == 1.0, x, logarithm)


def expm1(y: np.ndarray) -> np.ndarray:
    """The inverse of `log1p`; infinite beyond float64."""
    with np.errstate(over="ignore"):
        return np.asarray(np.expm1(y))


def missing(spec: Transformed, values: np.ndarray) -> np.ndarray:
    """Which values count as missing: NaN, the infinities, and under log1p what is at most -1. Boolean, (n,)."""
    absent: np.ndarray = ~np.isfinite(values)
    if spec.transform == "log1p":
        absent |= values <= least(spec)
    return absent


def least(spec: Transformed) -> float:
    """A value that is no larger counts as missing."""
    return -1.0 if spec.transform == "log1p" else -math.inf


def numeric_specs(specs: Sequence[FeatureSpec]) -> list[FeatureSpec]:
    """The features that `Chunk.numbers` holds, in the order of its columns."""
    return [spec for spec in specs if not spec.onehot]


def onehot_specs(specs: Sequence[FeatureSpec]) -> list[FeatureSpec]:
    """The features that `Chunk.categories` holds, in its order."""
    return [spec for spec in specs if spec.onehot]


def split_excluded(specs: Sequence[FeatureSpec], rows: Rows) -> tuple[np.ndarray, list[str]]:
    """Tell customers that can be labelled from those that lack a feature whose impute is `exclude`.

    For the features of a stored model, `specs` are `specs_of(model.columns)`.

    Returns
    -------
    included : (n,) bool
    excluded_feature : for each excluded row, in their order, the first feature (as configured) that was missing
    """
    lacking = np.full(len(rows.numbers), -1)
    for position, absent in reversed(list(excluding_features(specs, rows))):
        lacking[absent] = position
    included = lacking < 0
    return included, [specs[position].column for position in lacking[~included]]


def excluding_features(specs: Sequence[FeatureSpec], rows: Rows) -> Iterable[tuple[int, np.ndarray]]:
    """The position of each feature that excludes, and where it is missing."""
    numbers, categories = iter(rows.numbers.T), iter(rows.categories)
    for position, spec in enumerate(specs):
        values = next(categories) if spec.onehot else next(numbers)
        if spec.impute == "exclude":
            yield position, is_null(values) if spec.onehot else missing(spec, values)


def is_null(values: pa.Array) -> np.ndarray:
    return as_numpy(values.is_null())


def select_rows(chunk: Chunk, included: np.ndarray) -> Chunk:
    """The rows of a chunk for which `included` (n,) is true; the chunk itself where that is all."""
    if included.all():
        return chunk
    kept = as_arrow(included)
    categories = tuple(column.filter(kept) for column in chunk.categories)
    return Chunk(chunk.keys.filter(kept), chunk.numbers[included], categories)


def impute(column: ModelColumn, values: np.ndarray) -> np.ndarray:
    absent = missing(column, values)
    if not absent.any():
        return values
    return np.where(absent, np.nan if column.impute_value is None else column.impute_value, values)


def clip(column: ModelColumn, values: np.ndarray) -> np.ndarray:
    if column.clip_low is not None:
        values = np.maximum(values, column.clip_low)
    return values if column.clip_high is None else np.minimum(values, column.clip_high)


def transform(column: ModelColumn, values: np.ndarray) -> np.ndarray:
    """Raw values to transformed ones: impute, clip, then log1p where asked."""
    values = clip(column, impute(column, np.asarray(values, dtype=np.float64, order="C")))
    return log1p(values) if column.transform == "log1p" else values


def scale(column: ModelColumn, transformed: np.ndarray) -> np.ndarray:
    """Transformed values to the clustered space, before the grid."""
    scaled = transformed - column.center
    scaled /= column.scale
    scaled *= column.weight
    return scaled


def grid_matrix(
    columns: Sequence[ModelColumn],
    grid_exponent: int,
    numbers: np.ndarray,
    categories: Sequence[pa.Array],
    clamp: bool,
    dtype: type[np.floating] = np.float64,
) -> np.ndarray:
    """Place customers on the grid with the constants of a model.

    Parameters
    ----------
    columns : all columns of the model, dropped ones too, in its order
    numbers, categories : as in `Chunk`, for the features in the order in which `columns` names them
    clamp : keep coordinates within 2**20, as `score`, `predict` and SQL do; the fit's own customers never exceed it

    Returns
    -------
    (n, d) whole numbers; NaN where a feature that excludes is missing
    """
    unit = unit_of(grid_exponent)
    matrix = np.empty((len(numbers), sum(column.position is not None for column in columns)), dtype)
    with np.errstate(over="ignore" if clamp else "warn"):  # who is given by hand may lie beyond float64
        for column, scaled in scaled_columns(columns, numbers, categories):
            coordinates = to_grid(scaled, column.origin, unit)
            matrix[:, column.position] = np.clip(coordinates, -LIMIT, LIMIT) if clamp else coordinates
    return matrix


def scaled_columns(
    columns: Sequence[ModelColumn], numbers: np.ndarray, categories: Sequence[pa.Array]
) -> Iterable[tuple[ModelColumn, np.ndarray]]:
    """The clustered columns, each with the scaled values (n,) of the customers."""
    remaining = iter(numbers.T)
    onehot = iter(categories)
    for group in by_feature(columns):
        if group[0].category is not None:
            yield from scaled_categories(group, next(onehot))
            continue
        values = next(remaining)
        if group[0].position is not None:
            yield group[0], scale(group[0], transform(group[0], values))


def scaled_categories(group: list[ModelColumn], values: pa.Array) -> Iterable[tuple[ModelColumn, np.ndarray]]:
    """The one-hot columns of one feature, scaled."""
    codes = group_codes(group, values)
    for code, column in enumerate(group):
        if column.position is not None:
            yield column, scale(column, (codes == code).astype(np.float64))


def group_codes(group: Sequence[ModelColumn], values: pa.Array) -> np.ndarray:
    """Which column of its one-hot feature each value (n,) belongs to; the last one, `other`, takes the rest."""
    return category_codes(values, [str(column.category) for column in group[:-1]])


def by_feature(columns: Sequence[ModelColumn]) -> list[list[ModelColumn]]:
    """The columns of each feature: one of a number, several of a one-hot feature."""
    groups: dict[str, list[ModelColumn]] = {}
    for column in columns:
        groups.setdefault(column.column, []).append(column)
    return list(groups.values())


def number_columns(columns: Sequence[ModelColumn]) -> list[ModelColumn]:
    """The columns of the numeric features, in the order of `Chunk.numbers`."""
    return [column for column in columns if column.category is None]


def onehot_groups(columns: Sequence[ModelColumn]) -> list[list[ModelColumn]]:
    """The columns of each one-hot feature, in the order of `Chunk.categories`; `other` is the last of its group."""
    return [group for group in by_feature(columns) if group[0].category is not None]


def specs_of(columns: Sequence[ModelColumn]) -> list[FeatureSpec]:
    """How a stored model wants its features read and which of them exclude; enough for `split_excluded`."""
    firsts = [group[0] for group in by_feature(columns)]
    return [
        FeatureSpec(first.column, first.transform, impute=first.impute, onehot=first.category is not None)
        for first in firsts
    ]


def scaled_value(column: ModelColumn, grid_value: float, unit: float) -> float:
    """A coordinate in the clustered space, where distances are measured."""
    return float(column.origin + grid_value * unit)


def source_value(column: ModelColumn, grid_value: float, unit: float) -> float:
    """A coordinate in source units; for a one-hot column 0 to 1, like a share."""
    transformed = scaled_value(column, grid_value, unit) / column.weight * column.scale + column.center
    return float(expm1(np.array(transformed))) if column.transform == "log1p" else transformed
