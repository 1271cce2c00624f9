"""The bytes of COPY … FROM STDIN on their way to the server.

psycopg gives libpq 128 kB at a time and wants the interpreter's lock for each. While another thread holds that, the
server takes the little that lies in the socket, and waits. So what nothing encrypts is written to libpq's socket past
it, megabytes at a time and without the lock. libpq begins the COPY and ends it, and is idle meanwhile.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.copy import LibpqWriter

from segjob.postgres.connecting.messages import head, may_be_encrypted

MESSAGE_BYTES = 2**24  # of rows, at most: the server takes in a whole message before it looks at it


def writer_for(cursor: psycopg.Cursor[Any]) -> LibpqWriter:
    """The fastest way to the server for the COPY of a cursor."""
    return Writer(cursor) if may_be_encrypted(cursor.connection) else SocketWriter(cursor)


class Writer(LibpqWriter):
    """Leaves a COPY that failed to the end of its session: the server is asked nothing, and need not answer."""

    def finish(self, exc: BaseException | None = None) -> None:
        if exc is None:
            super().finish()


class SocketWriter(Writer):
    """Writes to the socket itself."""

    def write(self, data: Buffer) -> None:
        with socket.socket(fileno=os.dup(self.connection.fileno())) as line:
            try:
                send(line, memoryview(data))
            except OSError as error:
                raise psycopg.OperationalError(str(error)) from error


def send(line: socket.socket, rows: memoryview) -> None:
    """Send rows, which may end anywhere, as messages of COPY, on a socket that is libpq's, too."""
    line.setblocking(True)
    try:
        for first in range(0, len(rows), MESSAGE_BYTES):
            some = rows[first : first + MESSAGE_BYTES]
            line.sendall(head(b"d", len(some)))
            line.sendall(some)
    finally:
        line.setblocking(False)  # as libpq has it
