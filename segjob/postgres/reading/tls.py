"""The bytes of a connection that OpenSSL encrypts for libpq.

libpq gives out OpenSSL's own handle of a connection (PQsslStruct) for such uses. The functions are taken from the very
libraries that psycopg has loaded; where they are not found, `open_tls` has no wire.
"""

from __future__ import annotations

import ctypes
import select
import sys
import time
from functools import cache
from typing import TYPE_CHECKING, cast

import psycopg
from psycopg import pq

from segjob.postgres.connecting.messages import message
from segjob.postgres.reading.wire import LOST, PATIENCE, ServerError

if TYPE_CHECKING:
    from psycopg.pq.pq_ctypes import PGconn

WANT_READ, WANT_WRITE = 2, 3
PAUSE = 0.001  # seconds in which enough arrives to be worth the next look


@cache
def openssl() -> ctypes.PyDLL | None:
    """libpq and OpenSSL, as psycopg's own module finds them.

    The interpreter's lock is kept: a call takes microseconds, to get the lock back may take milliseconds.
    """
    try:
        library = ctypes.PyDLL(sys.modules[pq.PGconn.__module__].__file__)
        library.PQsslStruct.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
        library.PQsslStruct.restype = ctypes.c_void_p
        for function in (library.SSL_read, library.SSL_write):
            function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
        library.SSL_get_error.argtypes = (ctypes.c_void_p, ctypes.c_int)
        library.ERR_clear_error.restype = None
    except (OSError, AttributeError):
        return None
    return library


def open_tls(connection: psycopg.Connection) -> TlsWire | None:
    """The wire of a session that is encrypted by TLS; None where only libpq itself can read it."""
    library = openssl()
    if library is None:
        return None
    pgconn = cast("PGconn", connection.pgconn)  # the interface that psycopg declares leaves the pointer out
    handle = library.PQsslStruct(pgconn.pgconn_ptr, b"OpenSSL")
    return TlsWire(connection, library, handle) if handle else None


class TlsWire:
    """OpenSSL's end of the connection, which never blocks."""

    def __init__(self, connection: psycopg.Connection, library: ctypes.PyDLL, handle: int) -> None:
        self.connection = connection
        self._library = library
        self._handle = handle
        self._readable = select.poll()
        self._readable.register(connection.fileno(), select.POLLIN)
        self._writable = select.poll()
        self._writable.register(connection.fileno(), select.POLLOUT)

    def send(self, statement: str) -> None:
        sent = message(b"Q", statement.encode() + b"\0")
        self._library.ERR_clear_error()
        while (done := self._library.SSL_write(self._handle, sent, len(sent))) <= 0:
            poll = self._writable if self._wants(done) == WANT_WRITE else self._readable
            poll.poll(PATIENCE * 1e3)

    def read_into(self, space: memoryview, fully: bool) -> int:
        address = ctypes.addressof(ctypes.c_char.from_buffer(space))
        n_bytes, until = 0, time.monotonic() + PATIENCE
        self._library.ERR_clear_error()
        while n_bytes < len(space):
            done = self._library.SSL_read(self._handle, address + n_bytes, len(space) - n_bytes)
            if done > 0:
                n_bytes += done
                continue
            if n_bytes == 0:
                self._wants(done)
            if (n_bytes and not fully) or time.monotonic() >= until:
                break
            if n_bytes:
                time.sleep(PAUSE)  # to poll would be to come back for every record
            else:
                self._readable.poll(PATIENCE * 1e3)
        return n_bytes

    def close(self) -> None:
        self.connection.close()

    def _wants(self, done: int) -> int:
        """What it waits for."""
        wanted: int = self._library.SSL_get_error(self._handle, done)
        if wanted not in (WANT_READ, WANT_WRITE):
            raise ServerError(LOST, "")
        return wanted
