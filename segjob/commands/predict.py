"""`segjob predict`: the segment of customers that are not in the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from segjob import console
from segjob.clustering.features import by_feature, grid_matrix, specs_of, split_excluded
from segjob.commands.database import opened
from segjob.config import Settings
from segjob.config.threads import threads
from segjob.errors import ConfigurationError, DataError, UsageError
from segjob.postgres.publishing.versions import load_version
from segjob.records.model import Labels, Model, ModelColumn
from segjob.records.population import Chunk
from segjob.records.version import Version
from segjob.spelling import nearest


def predict(settings: Settings, name: str, values: dict[str, str], csv: Path | None) -> list[dict[str, Any]]:
    """Tell each customer's segment, distance and runner-up, with the published model.

    Raises
    ------
    UsageError
        A feature that the model does not have, or a file that can not be read.
    DataError
        A value that can not be read as its feature's type.
    """
    with opened(settings, name) as (_, connection):
        version = load_version(connection, name)
    table = read_csv(csv) if csv else pd.DataFrame([values], dtype=str)
    chunk = customers(version.model, table, strict=csv is None)
    return assign(version, chunk)


def read_csv(path: Path) -> pd.DataFrame:
    """The file as text; an empty cell is missing."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], skipinitialspace=True)
    except OSError as error:
        raise ConfigurationError(f"can not read {path}: {error.strerror}") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no CSV file with a header") from error


def customers(model: Model, table: pd.DataFrame, *, strict: bool) -> Chunk:
    """Text by column as the source would have given it. A feature that is not there is missing.

    Parameters
    ----------
    strict : refuse a column that is no feature; a file may have others
    """
    features = [group[0] for group in by_feature(model.columns)]
    known = [feature.column for feature in features]
    unknown = [column for column in table.columns if column not in known]
    if unknown and strict:
        raise UsageError(f"{unknown[0]} is not a feature; {nearest(unknown[0], known)}")
    if not set(known) & set(table.columns):
        raise UsageError(f"none of the features is given; they are {', '.join(known)}")
    cells = [table.get(name, pd.Series([None] * len(table), dtype=object)) for name in known]
    pairs = list(zip(features, cells, strict=True))
    numbers = [numbers_of(feature, cell) for feature, cell in pairs if feature.category is None]
    return Chunk(
        keys=pa.RecordBatch.from_arrays([], names=[]),
        numbers=np.column_stack(numbers) if numbers else np.empty((len(table), 0)),
        categories=tuple(
            pa.array(cell.where(cell.notna(), None), pa.string())
            for feature, cell in pairs
            if feature.category is not None
        ),
    )


def numbers_of(feature: ModelColumn, cells: pd.Series) -> np.ndarray:
    """Text to float64 as the source's type is read; missing, NaN and the infinities are NaN."""
    try:
        read = read_dates if feature.family in ("date", "timestamp") else read_numbers
        found = read(cells)
    except (ValueError, TypeError, OverflowError) as error:
        wanted = {"date": "dates", "timestamp": "timestamps"}.get(feature.family, "numbers")
        raise DataError(f"feature {feature.column}: expected {wanted} (a value can not be read as one)") from error
    return np.where(np.isfinite(found), found, np.nan)


def read_numbers(cells: pd.Series) -> np.ndarray:
    words = {"true": "1", "t": "1", "yes": "1", "false": "0", "f": "0", "no": "0"}
    texts = cells.map(lambda cell: words.get(cell.strip().lower(), cell) if isinstance(cell, str) else np.nan)
    return np.array([float(text) for text in texts], dtype=np.float64)


def read_dates(cells: pd.Series) -> np.ndarray:
    """Days since 1970-01-01; a time without a zone is UTC."""
    found = pd.to_datetime(cells, utc=True, format="ISO8601").dt.as_unit("us")
    seconds = found.astype("int64").to_numpy() / 1e6  # as Postgres' date_part: whole microseconds, then float8
    return np.where(found.isna(), np.nan, seconds / 86400.0)


def assign(version: Version, chunk: Chunk) -> list[dict[str, Any]]:
    """Label the customers; one that `impute: exclude` leaves out has no segment."""
    model = version.model
    included, _ = split_excluded(specs_of(model.columns), chunk)
    matrix = grid_matrix(model.columns, model.grid_exponent, chunk.numbers, chunk.categories, clamp=True)
    labels = label_rows(model, matrix[included])
    names = {segment.segment_id: segment.name for segment in version.segments}
    found = iter(rows_of(labels, names))
    nothing = {"segment_id": None, "segment_name": None, "distance": None, "runner_up_segment_id": None}
    return [next(found) if labelled else dict(nothing) for labelled in included]


def label_rows(model: Model, matrix: np.ndarray) -> Labels:
    from segjob.clustering.cores import use_threads
    from segjob.clustering.labels import label

    use_threads(threads())
    return label(model.centers, matrix, model.unit, model.segment_ids, "cpu")


def rows_of(labels: Labels, names: dict[int, str]) -> list[dict[str, Any]]:
    return [
        {
            "segment_id": segment_id,
            "segment_name": names[segment_id],
            "distance": distance,
            "runner_up_segment_id": runner_up or None,
        }
        for segment_id, distance, runner_up in zip(
            labels.segment_id.tolist(), labels.distance.tolist(), labels.runner_up_segment_id.tolist(), strict=True
        )
    ]


def print_predictions(found: list[dict[str, Any]]) -> None:
    columns = ("segment", "name", "distance", "next nearest")
    console.table("", columns, [list(one.values()) for one in found])
