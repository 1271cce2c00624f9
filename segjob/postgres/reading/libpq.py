"""The bytes of a connection that nobody but libpq can read: its rows and results, put together to the same messages."""

from __future__ import annotations

import select
from collections import deque

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from segjob.postgres.connecting.messages import head, message
from segjob.postgres.reading.wire import LOST, PATIENCE, ServerError


class LibpqWire:
    """libpq's rows and results, as the messages that they came in."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self._pgconn: PGconn = connection.pgconn
        self._pgconn.nonblocking = 1
        self._readable = select.poll()
        self._readable.register(connection.fileno(), select.POLLIN)
        self._unsent: deque[bytes] = deque()
        self._busy = False
        self._copying = False
        self._ready = memoryview(b"")

    def send(self, statement: str) -> None:
        self._unsent.append(statement.encode())

    def read_into(self, space: memoryview, fully: bool) -> int:
        if not self._ready:
            self._ready = memoryview(self._next(len(space), fully))
        n_bytes = min(len(space), len(self._ready))
        space[:n_bytes] = self._ready[:n_bytes]
        self._ready = self._ready[n_bytes:]
        return n_bytes

    def close(self) -> None:
        self.connection.close()

    def _next(self, enough: int, fully: bool) -> bytes:
        """Some whole messages, or nothing if none came for a moment."""
        try:
            if not self._busy and self._unsent:
                self._pgconn.send_query(self._unsent.popleft())
                self._busy = True
            self._pgconn.flush()
            return self._rows(enough, fully) if self._copying else self._result()
        except psycopg.Error as error:
            raise ServerError(error.sqlstate or LOST, "") from None

    def _rows(self, enough: int, fully: bool) -> bytes:
        parts: list[bytes | memoryview] = []
        n_bytes = 0
        while n_bytes < enough:
            length, row = self._pgconn.get_copy_data(1)
            if length > 0:
                parts += (head(b"d", length), row)
                n_bytes += length
            elif length == 0:
                if (n_bytes and not fully) or not self._readable.poll(PATIENCE * 1e3):
                    break
                self._pgconn.consume_input()
            else:
                self._copying = False
                break
        return b"".join(parts)

    def _result(self) -> bytes:
        if self._busy and self._pgconn.is_busy():
            if self._readable.poll(PATIENCE * 1e3):
                self._pgconn.consume_input()
            return b""
        result = self._pgconn.get_result() if self._busy else None
        if result is None:
            was_busy, self._busy = self._busy, False
            return message(b"Z", b"I") if was_busy else b""
        self._copying = result.status == ExecStatus.COPY_OUT
        return as_message(result)


def as_message(result: PGresult) -> bytes:
    """A result as the message that says the same."""
    if result.status == ExecStatus.COPY_OUT:
        return message(b"H")
    if result.status != ExecStatus.FATAL_ERROR:
        return message(b"C", (result.command_status or b"") + b"\0")
    state = result.error_field(DiagnosticField.SQLSTATE) or LOST.encode()
    said = result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b""
    file = result.error_field(DiagnosticField.SOURCE_FILE) or b""
    return message(b"E", b"C%b\0M%b\0F%b\0\0" % (state, said, file))
