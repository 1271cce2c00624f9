"""The table of a version: made bare, filled by several sessions at once, then given its key and statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import psycopg
import pyarrow as pa
from psycopg.errors import UniqueViolation
from sqlalchemy import Connection, select

from segjob.arrays import as_numpy
from segjob.errors import DataError, if_possible
from segjob.postgres.connecting.connect import Database
from segjob.postgres.connecting.meaning import translated
from segjob.postgres.patience import patiently
from segjob.postgres.queries import Names, driver_query, execute, query, quote
from segjob.postgres.tables import version
from segjob.postgres.writing.encoding import Column
from segjob.postgres.writing.sending import Rows, end_sessions, open_writer, send
from segjob.records.model import Labels
from segjob.records.source import KeyColumn
from segjob.threads import Pool

UNLABELLED_COLUMNS = ("excluded_by",)
STREAM_ROWS = 100_000  # customers that make another stream worth its connection
DISCARD_SECONDS = 1.0  # until a server that is gone is left to the next run


@dataclass(frozen=True)
class Part:
    """The table of one version's labels, before it is a partition."""

    names: Names
    version_id: int
    keys: tuple[KeyColumn, ...]

    @property
    def table(self) -> str:
        """Its quoted name."""
        return self.names.part(self.version_id)

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(key.name for key in self.keys)

    @property
    def identifiers(self) -> dict[str, str]:
        return self.names.identifiers() | {
            "part": self.table,
            "version_id": str(self.version_id),
            "keys": ", ".join(map(quote, self.key_names)),
        }

    def execute(self, connection: Connection, step: str) -> None:
        execute(connection, step, **self.identifiers)


@contextmanager
def new_part(database: Database, part: Part) -> Iterator[None]:
    """Create the table of a version, empty and without a key; if the block raises, it is dropped again.

    Other sessions can see it, so that several can fill it. Where it can not be dropped, because the process or the
    server died, `drop_orphans` finds it at the next start. The table of a version that the block stored stays.
    """

    def create(connection: Connection) -> int | None:
        part.execute(connection, "create_part")
        return oid_of(connection, part)

    created = patiently(database, part.names, create)
    try:
        yield
    except BaseException:
        discard(database, part, created)
        raise


def oid_of(connection: Connection, part: Part) -> int | None:
    return connection.execute(query("relation_oid"), {"relation": part.table}).scalar()


def discard(database: Database, part: Part, created: int | None) -> None:
    """Drop the very table that was created, unless its version was stored; if that can be done soon."""
    with if_possible(), replace(database, deadline=DISCARD_SECONDS).begin() as connection:
        if oid_of(connection, part) == created:
            drop_orphans(connection, part.names)


def fill_part(
    database: Database,
    part: Part,
    labelled: Iterable[tuple[pa.RecordBatch, Labels]],
    unlabelled: Iterable[pa.RecordBatch],
    n_expected: int,
    n_streams: int = 1,
    on_rows: Callable[[int], object] | None = None,
) -> None:
    """Send all customers of a version to its table, through several sessions at once.

    The iterators are advanced in the caller's thread, while what they gave before travels.

    Parameters
    ----------
    labelled : keys and labels, chunk by chunk
    unlabelled : keys, then "excluded_by"
    n_expected : customers of both kinds
    n_streams : sessions, at most; few customers need fewer
    on_rows : told how many customers each chunk has that is on its way

    Raises
    ------
    DataError
        The server took fewer rows than were read.
    """
    rows = chain(
        (labelled_rows(part, keys, labels) for keys, labels in labelled),
        (unlabelled_rows(part, batch) for batch in unlabelled),
    )
    n_worthwhile = 1 + n_expected // STREAM_ROWS
    send(database, part.table, rows, n_expected, min(n_streams, n_worthwhile), on_rows)


def fill_keys(database: Database, part: Part, keys: Iterable[pa.RecordBatch], n_expected: int) -> None:
    """Send the keys of customers, and nothing else of them, to a table of labels."""
    rows = (Rows(part.key_names, [*map(key_column, batch.columns)], batch.num_rows) for batch in keys)
    send(database, part.table, rows, n_expected, n_streams=1)


@contextmanager
def completing(database: Database, part: Part) -> Iterator[Callable[[], None]]:
    """Build the key of a filled table and analyse it, in a session and a thread of its own while the block works.

    What the block is given waits until the key is there; the end of the block waits for all. If the block raises, or a
    signal arrives, the server is told to stop.

    Raises
    ------
    DataError
        The key is not unique in the source.
    """
    with Pool(1, "segjob-key") as worker, closing(open_writer(database)) as session:
        last = keyed = worker.submit(build_key, session, part)
        try:
            last = worker.submit(analyse, session, part, keyed)
            yield keyed.result
            last.result()
        except BaseException:
            end_sessions([session], [last])
            raise


def analyse(session: psycopg.Connection, part: Part, keyed: Future[None]) -> None:
    """Statistics of a table that has its key."""
    keyed.result()
    with translated():
        session.execute(driver_query("brief_statistics"))
        session.execute(driver_query("analyze", relation=part.table))
        session.commit()


def build_key(session: psycopg.Connection, part: Part) -> None:
    """Index everything in one go. The server's DETAIL would name a customer: it stays out of the message."""
    with translated():
        try:
            session.execute(driver_query("key_part", **part.identifiers))
            session.commit()
        except UniqueViolation:
            columns = ", ".join(key.name for key in part.keys)
            raise DataError(
                f"key ({columns}) is not unique in the source: some customers appear more than once; "
                "make the source return one row a customer"
            ) from None


# Rows


def labelled_rows(part: Part, keys: pa.RecordBatch, labels: Labels) -> Rows:
    """One chunk with its labels, without the columns that would be NULL: the runner-up of a single segment, and what a
    parent's model says where there is none.
    """
    columns: list[Column] = [*map(key_column, keys.columns), labels.distance, labels.segment_id]
    names = [*part.key_names, "distance", "segment_id"]
    if not np.isnan(labels.simplified_silhouette).all():
        columns += [labels.runner_up_segment_id, labels.simplified_silhouette]
        names += ["runner_up_segment_id", "simplified_silhouette"]
    if labels.carried_segment_id is not None:
        columns.append(labels.carried_segment_id)
        names.append("carried_segment_id")
    return Rows(tuple(names), columns, keys.num_rows)


def unlabelled_rows(part: Part, batch: pa.RecordBatch) -> Rows:
    """Some customers without a label: keys, and the feature that left them out."""
    *keys, excluded_by = batch.columns
    return Rows((*part.key_names, *UNLABELLED_COLUMNS), [*map(key_column, keys), excluded_by], batch.num_rows)


def key_column(values: pa.Array) -> Column:
    """A key as it is encoded: text stays with Arrow, the 16 bytes of a uuid are one value."""
    if pa.types.is_string(values.type):
        return values
    if pa.types.is_fixed_size_binary(values.type):
        whole = np.frombuffer(values.buffers()[1], np.dtype((np.void, values.type.byte_width)))
        return whole[values.offset : values.offset + len(values)]
    return as_numpy(values)


# What is there


@dataclass(frozen=True)
class PartState:
    """What there is of the table of a version; who finds it half detached can neither read nor attach it."""

    present: bool
    half_detached: bool


def part_state(connection: Connection, part: Part) -> PartState:
    return PartState(*connection.execute(query("part_state"), {"part": part.table}).one())


# What is left behind


def loose_parts(connection: Connection, names: Names) -> list[str]:
    """Tables of versions that are not attached to the label table."""
    arguments = {"schema": names.schemas.private, "prefix": names.part_prefix}
    return list(connection.execute(query("loose_parts"), arguments).scalars())


def drop_orphans(connection: Connection, names: Names) -> list[str]:
    """Drop tables of versions that were never stored, left by a run that died; returns their names.

    Its sessions may live on for a moment, until the server has noticed.
    """
    connection.execute(query("orphan_lock_timeout"))
    stored = select(version.c.version_id).where(version.c.segmentation == names.segmentation)
    known = {f"{names.part_prefix}{version_id}" for version_id in connection.execute(stored).scalars()}
    orphans = [part for part in loose_parts(connection, names) if part not in known]
    for orphan in orphans:
        table = f"{quote(names.schemas.private)}.{quote(orphan)}"
        execute(connection, "drop_part", part=table)
    return orphans
