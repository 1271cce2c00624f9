"""`segjob export`: the labels of a version as a file, streamed, never whole in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from segjob.commands.database import opened
from segjob.config import Settings
from segjob.errors import ConfigurationError, DataError, UsageError
from segjob.postgres.publishing.versions import load_version
from segjob.postgres.queries import Names
from segjob.postgres.reading.export import read_labels
from segjob.postgres.shapes import stored_keys
from segjob.postgres.writing.write import Part

WRITERS = {".csv": pyarrow.csv.CSVWriter, ".parquet": pyarrow.parquet.ParquetWriter}


def export(settings: Settings, name: str, version_id: int | None, out: Path) -> dict[str, Any]:
    """Write keys, segments, distances and silhouettes of a version to FILE.csv or FILE.parquet."""
    if out.suffix not in WRITERS:
        raise UsageError(f"--out {out}: the file must end in .csv or .parquet")
    with opened(settings, name) as (database, connection):
        version = load_version(connection, name, version_id)
        if version.status == "pruned":
            raise DataError(f"the labels of {name} version {version.version_id} were pruned; its centroids are kept")
        part = Part(Names(database.schemas, name), version.version_id, stored_keys(connection, name))
    with read_labels(database, part) as batches:
        n_rows = write_batches(batches, out)
    return {"segmentation": name, "version_id": version.version_id, "file": str(out), "n_customers": n_rows}


def write_batches(batches: pa.RecordBatchReader, out: Path) -> int:
    """Write all batches, or leave no file."""
    n_rows = 0
    with replacing(out) as unfinished, WRITERS[out.suffix](unfinished, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            n_rows += batch.num_rows
    return n_rows


@contextmanager
def replacing(out: Path) -> Iterator[str]:
    """A name beside the file that takes its place when all went well."""
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        yield str(unfinished)
        unfinished.replace(out)
    except OSError as error:
        raise ConfigurationError(f"can not write {out}: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
