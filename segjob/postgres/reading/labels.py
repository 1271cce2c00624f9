"""The labels of a version, back into the job: which segment each key has."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from functools import partial
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from segjob.arrays import as_numpy
from segjob.postgres.connecting.connect import SESSION, Database
from segjob.postgres.queries import query, quote, sql
from segjob.postgres.reading.read import bulk_errors, session_settings, unheard
from segjob.postgres.reading.rows import RowDecoder, singly
from segjob.postgres.reading.streams import read_streams
from segjob.postgres.writing.write import Part

Labelled: TypeAlias = Generator[tuple[pa.RecordBatch, np.ndarray], None, None]


def read_segment_ids(database: Database, part: Part, source: pa.Schema) -> Labelled:
    """The labelled customers of a version in no particular order: keys, and segment ids (n,); none without its table.

    Parameters
    ----------
    source : of the batches in which customers are read, whose keys have the types that these will have
    """
    with database.begin() as connection:
        if not connection.execute(query("has_relation"), {"relation": part.table}).scalar_one():
            return
    keys = [source.field(place) for place in range(len(part.keys))]
    schema = pa.schema([pa.field("segment_id", pa.int32(), nullable=False), *keys])
    columns = ", ".join(map(quote, part.key_names))
    (statement,) = sql("segment_ids", **part.identifiers | {"keys": columns})
    batch = partial(pa.RecordBatch.from_arrays, schema=schema)
    preparation = (SESSION, session_settings())
    streams = read_streams(database, preparation, [statement], RowDecoder(singly(schema)), batch, 1, unheard)
    with bulk_errors(), closing(streams) as batches:
        for labels in batches:
            yield labels.select(schema.names[1:]), as_numpy(labels.column(0))
