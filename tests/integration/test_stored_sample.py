"""The sample of a version comes back as it was sent."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from segjob.postgres.connecting.connect import Database
from segjob.postgres.publishing.versions import load_sample, sample_lines, store_sample
from segjob.postgres.queries import Names
from segjob.records.source import FeatureColumn
from segjob.records.version import SampleRow
from tests.integration.models_by_hand import make_functions

ODD = {
    "tab": "a\tb",
    "quote": 'say "no"',
    "back": "\\N \\t \\",
    "line": "1\n2\r",
    "none": None,
    "far": "☃ 😀",
    "{}": "",
}
ROW = SampleRow(1, {"x": 1.5, "y": -0.0}, (0.1, -1e-300, 1e300), 0.25, 7)
ROWS = (
    ROW,
    replace(ROW, segment_id=2, values=ODD, silhouette=None, key_hash=-(2**63)),
    replace(ROW, values={"x": None, "y": 5e-324}, scaled=(), silhouette=-1.0, key_hash=2**63 - 1),
)


@pytest.mark.parametrize("rows", [ROWS, ()], ids=["odd", "none"])
def test_what_is_sent_is_what_is_loaded(
    database: Database, connection: psycopg.Connection, rows: tuple[SampleRow, ...]
) -> None:
    make_functions(database, [FeatureColumn("x", "double precision", "number")])
    with database.begin() as session:
        store_sample(session, Names(database.schemas, "mall"), 3, sample_lines(rows))
    with database.begin() as session:
        assert load_sample(session, "mall", 3) == rows
        assert load_sample(session, "mall", 4) == ()
