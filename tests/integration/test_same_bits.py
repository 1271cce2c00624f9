"""However a run goes about it, it stores the same to the last bit: labels, centroids, scores, rules, sample and all.

A small population is made as hard as a large one: it has several chunks, ranges and mini-batches, and the sample holds
only a part of it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from segjob.clustering import (
    candidates,
    kernels,
    kmeans,
    null_reference,
    paired_silhouettes,
    plan,
    profile,
    sample,
    silhouette,
    stability,
    tournament,
)
from segjob.clustering.cores import use_threads
from segjob.commands.migrate import migrate
from segjob.config import Settings
from segjob.config import threads as threads_module
from segjob.engine import spool
from segjob.job import customers, labelling, task
from segjob.job.run import run
from segjob.job.task import Order
from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading import ranges, replies, streams
from segjob.postgres.reading.columns import ReadPlan
from segjob.postgres.reading.libpq import LibpqWire
from segjob.postgres.reading.read import read_plain
from segjob.postgres.reading.snapshot import Snapshot
from segjob.postgres.writing import write
from segjob.progress import Progress

Batches = Generator[pa.RecordBatch, None, None]

N_ROWS = 6_000
CUSTOMERS = f"""
CREATE TABLE public.customer AS
SELECT
    i AS id,
    exp(3 + (i % 4) + random())::float8 AS amount,
    CASE WHEN random() > 0.1 THEN (i % 3) * 10 + floor(random() * 9)::integer END AS visits,
    ((i % 5) * 1000 + random() * 100)::numeric(12, 2) AS balance,
    CASE WHEN random() < 0.7 THEN (ARRAY['red', 'green', 'blue'])[1 + i % 3]
        WHEN random() < 0.9 THEN 'rare ' || i END AS colour,
    DATE '2020-01-01' + (i % 3) * 300 + floor(random() * 60)::integer AS last_order,
    TIMESTAMPTZ '2024-01-01 00:00:00Z' + random() * INTERVAL '90 days' AS seen,
    random() < 0.3 AS member,
    CASE WHEN random() > 0.02 THEN 18 + floor(random() * 60)::smallint END AS age
FROM generate_series(1, {N_ROWS}) AS i
"""
SHUFFLE = """
CREATE TABLE public.other AS SELECT * FROM public.customer ORDER BY md5(id::text);
DROP TABLE public.customer;
ALTER TABLE public.other RENAME TO customer
"""
CHANGE = "UPDATE public.customer SET amount = amount * 1.1, visits = visits + 1 WHERE id % 3 = 0"
FEATURES: list[Any] = [
    {"column": "amount", "transform": "log1p", "clip": [0.01, 0.99], "weight": 2.0},
    {"column": "visits", "scale": "robust"},
    {"column": "balance", "impute": "mean"},
    {"column": "colour", "encode": "onehot"},
    {"column": "last_order", "scale": "minmax"},
    "seen",
    "member",
    {"column": "age", "impute": "exclude"},
]
SEGMENTATION: dict[str, Any] = {"source": "public.customer", "key": "id", "features": FEATURES, "seed": 7}

NAMES = ("c", "chosen")
STORED = ("version", "model", "segment", "feature_profile", "centroid", "sample_row", "gate")
OF_THE_RUN = "{version_id,parent_version_id,from_version_id,to_version_id,run_id,created_at,published_at,data_as_of}"


@dataclass(frozen=True)
class Way:
    """How a run goes about it; nothing of this may show in what is stored.

    Attributes
    ----------
    cores : that the run believes to have: threads, and reading sessions
    range_bytes : of a range of pages that one session reads; None for the whole table in one
    reader : the fast one, the same through libpq, or SQLAlchemy's
    in_memory : whether chunks stay there, or lie in a file
    block : rows that are computed at a time, wherever something large is computed in parts
    writing_rows : that are worth another session which writes
    """

    chunk_rows: int = 1_024
    cores: int = 2
    connections: int = 4
    range_bytes: int | None = 2**16
    reader: str = "fast"
    in_memory: bool = True
    block: int | None = None
    writing_rows: int = 100_000

    def take(self, patch: pytest.MonkeyPatch) -> None:
        """Make the next run go this way."""
        patch.setattr(spool, "CHUNK_ROWS", self.chunk_rows)
        patch.setattr(threads_module, "available_cores", lambda: self.cores)
        patch.setattr(ranges, "UNDIVIDED_BYTES", 2**60 if self.range_bytes is None else 0)
        patch.setattr(ranges, "LEAST_BYTES", self.range_bytes)
        patch.setattr(write, "STREAM_ROWS", self.writing_rows)
        if self.reader == "libpq":
            patch.setattr(streams, "open_wire", LibpqWire)
        if self.reader == "sqlalchemy":
            patch.setattr(customers, "read_bulk", read_as_the_reference)
        if not self.in_memory:
            patch.setattr(task, "SPOOL_PART", 2**40)
        if self.block:
            patch.setattr(kernels, "BLOCK_ELEMENTS", 16 * self.block)
            patch.setattr(labelling, "PIECE_ROWS", self.block)
            patch.setattr(replies, "BUFFER_BYTES", self.block)
            patch.setattr(plan, "BLOCK", self.block)


def read_as_the_reference(database: Database, snapshot: Snapshot, wanted: ReadPlan, *_: object) -> Batches:
    yield from read_plain(database, snapshot, wanted, chunk_rows=1_000)


USUAL = Way()
ONE_AT_A_TIME = {
    "one chunk": Way(chunk_rows=N_ROWS),
    "many chunks": Way(chunk_rows=173),
    "one core": Way(cores=1),
    "four cores": Way(cores=4),
    "one range": Way(range_bytes=None),
    "many ranges": Way(range_bytes=2**13),
    "one connection": Way(connections=1),
    "libpq": Way(reader="libpq"),
    "sqlalchemy": Way(reader="sqlalchemy"),
    "on disk": Way(in_memory=False),
    "small blocks": Way(block=1_000),
    "several writers": Way(cores=4, writing_rows=1),
}
MIXED = {
    "large": Way(chunk_rows=N_ROWS, cores=1, range_bytes=None, reader="sqlalchemy"),
    "small": Way(chunk_rows=151, cores=4, range_bytes=2**13, in_memory=False, block=1_700, writing_rows=1),
}


@dataclass(frozen=True)
class Project:
    """A migrated database with customers, and a job that runs in this process."""

    url: str
    connection: psycopg.Connection

    def settings(self, way: Way, name: str) -> Settings:
        n_clusters: Any = {"min": 3, "max": 5} if name == "chosen" else 5
        return Settings.model_validate(
            {
                "database": {"url": self.url},
                "resources": {"connections": way.connections, "memory": "1GiB", "device": "cpu"},
                "segmentations": {name: SEGMENTATION | {"n_clusters": n_clusters}},
            }
        )

    def run(self, way: Way, name: str = "c", publish: bool = False) -> str:
        """A hash of all that the version of a run is, without what tells which run it was, and when."""
        with pytest.MonkeyPatch.context() as patch:
            way.take(patch)
            found = run(Database(self.url), self.settings(way, name), name, Order(publish=publish), Progress(name))
        told = self.fingerprint(name, found["version_id"], found["run_id"])
        if not publish:
            self.forget(name, found["version_id"])
        return told

    def forget(self, name: str, version_id: int) -> None:
        """As if the version had never been: a segment's id is never given to another one."""
        moved = "DELETE FROM segjob.transition WHERE segmentation = %s AND to_version_id = %s"
        self.connection.execute(moved, [name, version_id])
        for table in reversed(STORED):
            self.connection.execute(
                f"DELETE FROM segjob.{table} WHERE segmentation = %s AND version_id = %s".encode(), [name, version_id]
            )
        self.connection.execute(f'DROP TABLE segjob."label_{name}${version_id}"'.encode())

    def fingerprint(self, name: str, version_id: int, run_id: int) -> str:
        own = f"WHERE segmentation = '{name}' AND"
        parts = [
            f"SELECT to_jsonb(t) AS line FROM segjob.{table} AS t {own} version_id = {version_id}" for table in STORED
        ]
        parts.append(f"SELECT to_jsonb(t) FROM segjob.transition AS t {own} to_version_id = {version_id}")
        parts.append(f"SELECT to_jsonb(t) FROM segjob.k_candidate AS t {own} run_id = {run_id}")
        parts.append(f'SELECT to_jsonb(t) FROM segjob."label_{name}${version_id}" AS t')
        hashed = f"SELECT md5((line - '{OF_THE_RUN}'::text[])::text) AS one FROM ({' UNION ALL '.join(parts)}) AS l"
        statement = f"SELECT count(*), md5(string_agg(one, '' ORDER BY one)) FROM ({hashed}) AS h"
        n_rows, found = self.connection.execute(statement.encode()).fetchone() or (0, "")
        assert n_rows > N_ROWS + 300
        return str(found)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """A run sets what belongs to the process."""
    pool = pa.default_memory_pool()
    yield
    use_threads(1)
    pa.set_memory_pool(pool)


@pytest.fixture
def project(database_url: str, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> Project:
    """As hard as a large population: not all are in the sample, and the starts see a part of that."""
    levels = zip(tournament.LEVELS, (500, 1_000, 2_000), strict=True)
    smaller = {
        (sample, "LARGEST_SAMPLE"): 4_000,
        (tournament, "LEVELS"): tuple(replace(level, n_rows=n_rows) for level, n_rows in levels),
        (kmeans, "START_ROWS"): 2_000,
        (kmeans, "BATCH_ROWS"): 500,
        (silhouette, "EXACT_ROWS"): 1_000,
        (silhouette, "STEPS"): ((128, 256), (256, 512), (512, 1_024)),
        (profile, "MOST_SAMPLE_ROWS"): 300,
        (candidates, "FIT_ROWS"): 3_000,
        (paired_silhouettes, "EVALUATED"): 500,
        (paired_silhouettes, "REFERENCES"): 1_000,
        (null_reference, "DRAWS"): 2,
        (stability, "BOOTSTRAPS"): 2,
    }
    for (module, name), value in smaller.items():
        monkeypatch.setattr(module, name, value)
    connection.execute("SELECT setseed(0.5)")
    connection.execute(CUSTOMERS)
    found = Project(database_url, connection)
    for name in NAMES:
        migrate(found.settings(USUAL, name), "head")
    return found


@pytest.mark.long
def test_no_way_of_going_about_a_fit_changes_one_bit(project: Project) -> None:
    found = {"usual": project.run(USUAL)} | {name: project.run(way) for name, way in ONE_AT_A_TIME.items()}
    project.connection.execute(SHUFFLE.encode())
    found |= {f"shuffled, {name}": project.run(way) for name, way in {"usual": USUAL, **MIXED}.items()}
    assert differing(found) == []


def test_no_way_of_going_about_a_fit_from_published_centres_changes_one_bit(project: Project) -> None:
    project.run(USUAL, publish=True)
    project.connection.execute(CHANGE.encode())
    found = {"usual": project.run(USUAL)} | {name: project.run(way) for name, way in MIXED.items()}
    assert differing(found) == []


@pytest.mark.long
def test_no_way_of_going_about_it_changes_one_bit_of_what_is_tried_and_chosen(project: Project) -> None:
    found = {"usual": project.run(USUAL, "chosen")} | {name: project.run(way, "chosen") for name, way in MIXED.items()}
    assert differing(found) == []


def test_the_hash_would_tell_and_the_population_is_as_hard_as_a_large_one(project: Project) -> None:
    before = project.run(USUAL)
    project.connection.execute("UPDATE public.customer SET visits = visits + 1 WHERE id = 3")
    assert project.run(USUAL, publish=True) != before
    stored = project.connection.execute(
        "SELECT silhouette_exact, squared_silhouette_exact, n_unlabelled > 50, stages FROM segjob.version"
    ).fetchone()
    assert stored is not None
    assert stored[:3] == (False, True, True)
    assert {stage["stage"] for stage in stored[3]} >= {"starts", "minibatches", "full_passes"}


def differing(found: dict[str, str]) -> list[str]:
    """The ways that did not store what the first did."""
    return [name for name, one in found.items() if one != found["usual"]]
