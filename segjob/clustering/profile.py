"""What the segments are like, in source units: centroids beside their members' means and medians, and a sample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from segjob.clustering.features import (
    by_feature,
    missing,
    number_columns,
    onehot_groups,
    scaled_value,
    source_value,
)
from segjob.clustering.quantiles import median
from segjob.clustering.sample import SampleRows
from segjob.clustering.summary import SegmentSummary, number_exponent
from segjob.records.model import ModelColumn
from segjob.records.version import Centroid, SampleRow

if TYPE_CHECKING:
    from segjob.clustering.silhouette import Silhouette

MOST_SAMPLE_ROWS = 5_000


def centroids(
    columns: Sequence[ModelColumn],
    unit: float,
    centers: np.ndarray,
    segment_ids: Sequence[int],
    summary: SegmentSummary,
    medians: np.ndarray,
) -> tuple[Centroid, ...]:
    """Every segment in every clustered column.

    Parameters
    ----------
    columns : all columns of the model
    centers : (k, d) int64 grid units, in the order of `segment_ids`
    summary : of the label pass
    medians : (m, k) of the m numeric features, from `segment_medians`
    """
    means = column_means(columns, summary)
    middles = {column.feature: row for column, row in zip(number_columns(columns), medians.tolist(), strict=True)}
    return tuple(
        Centroid(
            segment_id,
            column.feature,
            source_value(column, grid_value, unit),
            scaled_value(column, grid_value, unit),
            grid_value,
            means[column.feature][position],
            known(middles[column.feature][position]) if column.feature in middles else None,
        )
        for position, segment_id in enumerate(segment_ids)
        for column, grid_value in zip(placed(columns), centers[position].tolist(), strict=True)
    )


def placed(columns: Sequence[ModelColumn]) -> list[ModelColumn]:
    """The columns that are clustered, in the order of the coordinates."""
    return [column for column in columns if column.position is not None]


def known(value: float) -> float | None:
    return None if math.isnan(value) else value


def known_values(values: np.ndarray) -> list[float | None]:
    found = values.astype(object)
    found[np.isnan(values)] = None
    return list(found)


def column_means(columns: Sequence[ModelColumn], summary: SegmentSummary) -> dict[str, list[float | None]]:
    """The members' means by feature, one a segment: of the values that are not missing, or the share of a category."""
    means = {
        column.feature: [
            math.ldexp(total / n_values, number_exponent(column)) if n_values else None
            for total, n_values in zip(totals, counts, strict=True)
        ]
        for column, totals, counts in zip(
            number_columns(columns), summary.totals.tolist(), summary.n_values.tolist(), strict=True
        )
    }
    for group, totals in zip(onehot_groups(columns), summary.categories, strict=True):
        for column, shares in zip(group, (totals / np.maximum(summary.counts, 1)).tolist(), strict=True):
            means[column.feature] = shares
    return means


def segment_medians(
    columns: Sequence[ModelColumn], sample: SampleRows, index: np.ndarray, n_clusters: int
) -> np.ndarray:
    """The medians of the sampled members' raw values, (m, k); NaN where all are missing. Exact if all are sampled.

    Parameters
    ----------
    index : (s,) the position of the segment of every sampled customer
    """
    medians = np.full((sample.numbers.shape[1], n_clusters), np.nan)
    members = [np.flatnonzero(index == segment) for segment in range(n_clusters)]
    for row, column, strided in zip(medians, number_columns(columns), sample.numbers.T, strict=True):
        values = np.where(missing(column, strided), np.nan, strided)
        for segment, chosen in enumerate(members):
            present = values[chosen]
            present = present[~np.isnan(present)]
            if len(present):
                row[segment] = median(present)
    return medians


def sample_rows(
    columns: Sequence[ModelColumn],
    unit: float,
    sample: SampleRows,
    matrix: np.ndarray,
    segment_ids: Sequence[int],
    scored: Silhouette,
) -> tuple[SampleRow, ...]:
    """The first 5,000 customers of the sample, for the report.

    Parameters
    ----------
    sample, matrix : the sample raw and as (s, d) grid coordinates
    scored : the silhouette of the same sample
    """
    n_rows = min(sample.n_rows, MOST_SAMPLE_ROWS)
    silhouettes = dict(zip(scored.rows.tolist(), scored.values.tolist(), strict=True))
    origins = np.array([column.origin for column in placed(columns)])
    scaled = (origins + matrix[:n_rows].astype(np.float64) * unit).tolist()
    hashes = sample.hashes[:n_rows].view(np.int64).tolist()
    return tuple(
        SampleRow(segment_ids[scored.index[row]], values, tuple(scaled[row]), silhouettes.get(row), hashes[row])
        for row, values in enumerate(source_values(columns, sample, n_rows))
    )


def source_values(
    columns: Sequence[ModelColumn], sample: SampleRows, n_rows: int
) -> Iterator[dict[str, float | str | None]]:
    """The raw features of the first customers by name, None where missing."""
    numbers, categories = iter(sample.numbers[:n_rows].T), iter(sample.categories)
    by_name: dict[str, list[Any]] = {}
    for group in by_feature(columns):
        if group[0].category is None:
            by_name[group[0].column] = known_values(next(numbers))
        else:
            by_name[group[0].column] = next(categories)[:n_rows].to_pylist()
    for values in zip(*by_name.values(), strict=True):
        yield dict(zip(by_name, values, strict=True))
