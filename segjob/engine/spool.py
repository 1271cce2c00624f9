"""The spool: Arrow record batches in chunks of one size, in memory up to a budget, then in a temporary file.

A chunk is kept as one Arrow IPC message. That makes its size exact, keeps no larger buffer alive, and is the same in
memory and on disk. The file is read with pread, not mapped: mapped pages would count as memory of the process.
"""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Self

import pyarrow as pa

from segjob.errors import ConfigurationError, InternalError, NoRoom

CHUNK_ROWS = 65_536
CHUNK_VALUES = 2**20  # of a wide source a chunk has fewer rows, so that what is computed of it takes no more memory
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Budget:
    """Bytes of memory that several spools share."""

    def __init__(self, n_bytes: int) -> None:
        self.left = n_bytes
        self._lock = threading.Lock()

    def take(self, n_bytes: int) -> bool:
        """Take so many bytes if there are as many left."""
        with self._lock:
            if n_bytes > self.left:
                return False
            self.left -= n_bytes
            return True

    def give_back(self, n_bytes: int) -> None:
        with self._lock:
            self.left += n_bytes


def chunk_rows_of(n_columns: int) -> int:
    """How many rows a chunk has where every row has so many values."""
    return min(CHUNK_ROWS, CHUNK_VALUES // max(n_columns, 1))


@dataclass(frozen=True)
class Extent:
    """Where in the file a chunk lies."""

    offset: int
    n_bytes: int


class Spool:
    """Batches go in with `append` until `finish`; then the chunks can be read as often as wanted, by many threads.

    Parameters
    ----------
    schema : of every batch
    budget : how much may be kept in memory, in bytes; may be shared with other spools
    directory : where the file lies once the budget is used up
    chunk_rows : rows of every chunk but the last, which may have fewer

    Raises
    ------
    ConfigurationError
        The directory is missing or can not be written.
    """

    def __init__(self, schema: pa.Schema, budget: Budget, directory: Path, chunk_rows: int = CHUNK_ROWS) -> None:
        self.schema = schema
        self.n_rows = 0
        self.n_bytes = 0
        self.finished = False
        self._budget = budget
        self.chunk_rows = chunk_rows
        self._directory = directory
        self._waiting: list[pa.RecordBatch] = []
        self._n_waiting = 0
        self._chunks: list[pa.Buffer | Extent] = []
        self._in_memory = 0
        self._in_file = 0
        self._file = open_unnamed(directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back memory and disk."""
        self.finished = False
        self._file.close()
        self._chunks.clear()
        self._waiting.clear()
        self._budget.give_back(self._in_memory)
        self._in_memory = 0

    # Writing

    def append(self, batch: pa.RecordBatch) -> None:
        """Take some rows; they are kept as soon as they fill a chunk.

        Raises
        ------
        NoRoom
            The disk is full.
        """
        if self.finished:
            raise InternalError("the spool is finished and takes no more rows")
        if batch.schema.types != self.schema.types:
            raise InternalError("the spool takes batches of one schema")
        batch = pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)
        self.n_rows += batch.num_rows
        while self._n_waiting + batch.num_rows >= self.chunk_rows:
            n_missing = self.chunk_rows - self._n_waiting
            self._keep([*self._waiting, batch.slice(0, n_missing)])
            self._waiting, self._n_waiting = [], 0
            batch = batch.slice(n_missing)
        if batch.num_rows:
            self._waiting.append(compact(batch))
            self._n_waiting += batch.num_rows

    def finish(self) -> None:
        """Keep the rows that do not fill a chunk; from now on the spool can be read."""
        if self._waiting:
            self._keep(self._waiting)
            self._waiting, self._n_waiting = [], 0
        self.finished = True

    def _keep(self, batches: list[pa.RecordBatch]) -> None:
        whole = batches[0] if len(batches) == 1 else pa.concat_batches(batches)  # which copies even one
        message = whole.serialize()
        self.n_bytes += message.size
        # Once in the file, always in the file: the order of the chunks needs no second look at the budget.
        if not self._in_file and self._budget.take(message.size):
            self._chunks.append(message)
            self._in_memory += message.size
        else:
            self._chunks.append(self._write(message))

    def _write(self, message: pa.Buffer) -> Extent:
        extent = Extent(self._in_file, message.size)
        with disk_errors(self._directory):
            rest, offset = memoryview(message), extent.offset
            while rest:
                n_written = os.pwrite(self._file.fileno(), rest, offset)
                rest, offset = rest[n_written:], offset + n_written
        self._in_file += message.size
        return extent

    # Reading

    @property
    def n_chunks(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The chunks in the order of their rows."""
        self._expect_finished()
        return (self.read(place) for place in range(self.n_chunks))

    def read(self, place: int) -> pa.RecordBatch:
        """One chunk; its arrays are views that can not be written to."""
        self._expect_finished()
        chunk = self._chunks[place]
        return pa.ipc.read_record_batch(self._load(chunk) if isinstance(chunk, Extent) else chunk, self.schema)

    def _expect_finished(self) -> None:
        if not self.finished:
            raise InternalError("a spool is read after it is finished and before it is closed")

    def _load(self, extent: Extent) -> pa.Buffer:
        buffer = pa.allocate_buffer(extent.n_bytes)
        rest, offset = memoryview(buffer), extent.offset
        while rest:
            n_read = os.preadv(self._file.fileno(), [rest], offset)
            if n_read == 0:
                raise InternalError("the spool's file is shorter than what was written to it")
            rest, offset = rest[n_read:], offset + n_read
        return buffer


def compact(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows alone, when they are a small part of buffers that would be kept alive with them."""
    if batch.get_total_buffer_size() <= 2 * batch.nbytes:
        return batch
    return pa.ipc.read_record_batch(batch.serialize(), batch.schema)


def open_unnamed(directory: Path) -> FileIO:
    """A private file without a name, so that nothing is left of it whatever happens to the process."""
    try:
        return tempfile.TemporaryFile(dir=directory, prefix="segjob-", buffering=0)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise disk_full(directory) from error
        raise ConfigurationError(
            f"resources.spool_dir: no file can be made in {directory} ({error.strerror}); name a directory to write to"
        ) from error


@contextmanager
def disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise disk_full(directory) from error
        raise NoRoom(f"the spool can not be written in {directory}: {error.strerror}") from error


def disk_full(directory: Path) -> NoRoom:
    return NoRoom(
        f"{directory} is full: the customers do not fit into it; make room there, name a larger directory as"
        " resources.spool_dir, or raise resources.memory"
    )
