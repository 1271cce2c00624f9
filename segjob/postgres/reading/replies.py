"""The server's messages in the order of the statements; rows are decoded, and counted, on the way."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import numpy as np
import pyarrow as pa

from segjob.errors import InternalError
from segjob.postgres.connecting.discretion import discreet
from segjob.postgres.connecting.messages import HEAD
from segjob.postgres.reading.rows import RowDecoder
from segjob.postgres.reading.wire import ServerError, Wire

BUFFER_BYTES = 4 * 2**20  # of rows that are decoded together; a larger row gets a larger buffer
FULLY_FROM = 2**20  # bytes after which it is worth waiting for full buffers
SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # of binary COPY, with no flags and no extension
END_OF_ROWS = b"\xff\xff"
PASSED_OVER = b"HcTDSNAI"  # the frame of a COPY, what SELECT says, settings, notices, notifications, nothing


class GaveUp(Exception):
    """Nobody wants the rest."""


class Replies:
    """Reads one wire.

    Parameters
    ----------
    wire : the session
    decoder : of the rows of every COPY
    given_up : once it is set, the next read raises `GaveUp`
    """

    def __init__(self, wire: Wire, decoder: RowDecoder, given_up: Event) -> None:
        self._wire = wire
        self._decoder = decoder
        self._given_up = given_up
        self._data = memoryview(bytearray(BUFFER_BYTES))
        self._begin = self._end = 0
        self._n_read = 0

    def finish(self) -> None:
        """Wait until the statement whose turn it is has ended; its rows, if it has any, are nobody's.

        Raises
        ------
        ServerError, GaveUp
        """
        for _ in self.batches():
            pass

    def batches(self) -> Iterator[list[pa.Array]]:
        """The columns of the rows of the COPY whose turn it is, some rows at a time, until it has ended.

        Raises
        ------
        ServerError, GaveUp
        InternalError
            The rows are not those that the server has counted.
        """
        n_rows = 0
        while True:
            columns, n_bytes = self._decoder.decode(np.frombuffer(self._data[self._begin : self._end], np.uint8))
            if columns:
                self._begin += n_bytes
                n_rows += len(columns[0])
                yield columns
                continue
            tag, body = self._message()
            if tag == b"Z":
                return
            check(tag, body, n_rows)

    def _message(self) -> tuple[bytes, bytes]:
        """Take the next message, which is no row; an empty tag says that more had to be read to know."""
        data = self._data[self._begin : self._end]
        if len(data) < HEAD.size:
            self._fill(HEAD.size)
            return b"", b""
        tag, length = HEAD.unpack_from(data)
        if len(data) <= length:
            self._fill(length + 1)
            return b"", b""
        if tag == b"d" and data[HEAD.size :][: len(SIGNATURE)] == SIGNATURE:
            return self._cut_signature(length)
        self._begin += length + 1
        return tag, bytes(data[HEAD.size : length + 1])

    def _cut_signature(self, length: int) -> tuple[bytes, bytes]:
        """Let the message begin behind the signature, with which the first row shares it."""
        if length > len(SIGNATURE) + 4:
            self._begin += len(SIGNATURE)
            HEAD.pack_into(self._data, self._begin, b"d", length - len(SIGNATURE))
        else:
            self._begin += length + 1
        return b"", b""

    def _fill(self, needed: int) -> None:
        """Read on, so that there is room for a message of so many bytes."""
        rest = self._data[self._begin : self._end]
        if needed > len(self._data):
            self._data = memoryview(bytearray(needed + BUFFER_BYTES))
        self._data[: len(rest)] = rest
        self._begin, self._end = 0, len(rest)
        if self._given_up.is_set():
            raise GaveUp
        n_bytes = self._wire.read_into(self._data[self._end :], self._n_read >= FULLY_FROM)
        self._end += n_bytes
        self._n_read += n_bytes


def check(tag: bytes, body: bytes, n_rows: int) -> None:
    """Make sure that a message fits to the rows so far."""
    if tag == b"E":
        fields = {field[:1]: field[1:] for field in body.split(b"\0") if field}
        state, said, file = (fields.get(field, b"").decode(errors="replace") for field in (b"C", b"M", b"F"))
        raise ServerError(state, discreet(state, said, file) if said else "")
    if tag == b"C" and body.startswith(b"COPY ") and int(body[5:-1]) != n_rows:
        raise InternalError(f"the server sent {int(body[5:-1])} rows and {n_rows} arrived")
    if not (tag in (b"", b"C") or tag in PASSED_OVER or (tag == b"d" and body == END_OF_ROWS)):
        raise InternalError(f"the server's message {tag!r} has no place among rows")
