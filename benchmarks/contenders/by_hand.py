"""What a good engineer writes by hand for one table: ADBC to Arrow, scikit-learn, binary COPY.

With the extension of scikit-learn for Intel processors where it is installed. No scores, no checks, no history; the
columns of the labels are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import adbc_driver_postgresql.dbapi
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pgpq import ArrowToPostgresBinaryEncoder

from benchmarks.contenders.program import Phases, Wanted, nearest_two, wanted

with suppress(ImportError):  # where it is not installed, plain scikit-learn does the same, slower
    from sklearnex import patch_sklearn

    patch_sklearn(verbose=False)

from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

SAMPLE = 262_144  # rows that the starts are tried on
BLOCK = 262_144  # rows that are labelled and sent at a time
CREATE = """
CREATE TABLE {labels} AS
SELECT customer_id, 0::float8 AS distance, 1 AS version_id, 1 AS segment_id, 1 AS runner_up_segment_id,
    0::real AS simplified_silhouette
FROM {customers}
WITH NO DATA
"""
COPY = "COPY {labels} (customer_id, version_id, segment_id, runner_up_segment_id, distance, simplified_silhouette)"


def main() -> None:
    asked, phases = wanted(), Phases()
    with phases("read"):
        customers = read(asked)
    with phases("fit"):
        features = StandardScaler(copy=False).fit_transform(matrix(customers))
        model = fitted(features, asked.n_clusters)
    with phases("label and write"), psycopg.connect(asked.url) as connection:
        connection.execute(CREATE.format(**vars(asked)).encode())
        copy_in(connection, asked, labelled(customers.column("customer_id"), features, model))
    with psycopg.connect(asked.url, autocommit=True) as connection:
        with phases("key"):
            connection.execute(f"ALTER TABLE {asked.labels} ADD PRIMARY KEY (version_id, customer_id)".encode())
        with phases("analyze"):
            connection.execute(f"ANALYZE {asked.labels}".encode())
    phases.print()


def read(asked: Wanted) -> pa.Table:
    with adbc_driver_postgresql.dbapi.connect(asked.url) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT customer_id, {', '.join(asked.feature_names)} FROM {asked.customers}")
        return cursor.fetch_arrow_table()


def matrix(customers: pa.Table) -> NDArray[np.float64]:
    """The features side by side; what is missing becomes the mean."""
    names = customers.column_names[1:]
    together = np.empty((customers.num_rows, len(names)))  # (rows, features) float64
    for j, name in enumerate(names):
        column = customers.column(name)
        together[:, j] = column.fill_null(pc.mean(column)).to_numpy() if column.null_count else column.to_numpy()
    return together


def fitted(features: NDArray[np.float64], n_clusters: int) -> Any:
    """Ten starts on a sample, the best refined on all rows: sooner done than one start on all rows, and better."""
    sample = features[:: max(1, len(features) // SAMPLE)]
    best = KMeans(n_clusters, n_init=10, random_state=0).fit(sample)
    return KMeans(n_clusters, init=best.cluster_centers_, n_init=1).fit(features)


def labelled(keys: pa.ChunkedArray, features: NDArray[np.float64], model: Any) -> Iterator[pa.RecordBatch]:
    """The rows of the label table, block by block."""
    for begin in range(0, len(features), BLOCK):
        labels = nearest_two(model.transform(features[begin : begin + BLOCK]))
        key = keys.slice(begin, BLOCK).combine_chunks()
        columns = {
            "customer_id": key.storage.cast(pa.binary()) if isinstance(key, pa.ExtensionArray) else key,
            "version_id": np.ones(len(key), dtype=np.int32),
            "segment_id": labels.segment_id,
            "runner_up_segment_id": labels.runner_up_segment_id,
            "distance": labels.distance,
            "simplified_silhouette": labels.simplified_silhouette,
        }
        yield pa.RecordBatch.from_pydict(columns)


def copy_in(connection: psycopg.Connection, asked: Wanted, batches: Iterator[pa.RecordBatch]) -> None:
    first = next(batches)
    encoder = ArrowToPostgresBinaryEncoder(first.schema)
    statement = f"{COPY.format(labels=asked.labels)} FROM STDIN (FORMAT binary)"
    with connection.cursor().copy(statement.encode()) as copy:
        copy.write(encoder.write_header())
        copy.write(encoder.write_batch(first))
        for batch in batches:
            copy.write(encoder.write_batch(batch))
        copy.write(encoder.finish())


if __name__ == "__main__":
    main()
