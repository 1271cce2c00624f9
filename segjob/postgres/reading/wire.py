"""What the server answers to COPY … TO STDOUT, as the bytes of the protocol, from a session that libpq opened.

libpq hands COPY out a row at a time, each in memory of its own, which costs as much as the server's own work. So its
socket is read past it, megabytes at a time and without the interpreter's lock. libpq still connects, authenticates,
keeps alive and cancels, and is idle while the socket is read. `tls.py` does the same to what is encrypted.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from typing import Protocol

import psycopg

from segjob.postgres.connecting.messages import message

PATIENCE = 0.02  # seconds that one read waits; between two of them a reader can be stopped
CANCEL_SECONDS = 2.0
LOST = "08006"  # the SQLSTATE that stands for a connection that broke


class ServerError(Exception):
    """What the server, or the end of the connection, says instead of an answer."""

    def __init__(self, state: str, said: str) -> None:
        super().__init__(state)
        self.state = state
        self.said = said


class Wire(Protocol):
    """One session: statements go in, the server's messages come out in the order of the statements."""

    connection: psycopg.Connection

    def send(self, statement: str) -> None:
        """Send a statement, or several in one text, whether or not earlier ones have been answered."""

    def read_into(self, space: memoryview, fully: bool) -> int:
        """Put the next bytes into the space, and say how many; 0 if none came for a moment.

        `fully` waits that moment for the whole space to be filled, which costs fewer calls.

        Raises
        ------
        ServerError
            The connection broke.
        """

    def close(self) -> None:
        """End the session."""


def give_up(wire: Wire) -> None:
    """Cancel whatever the server does for the session, and end it."""
    with suppress(psycopg.Error):
        wire.connection.cancel_safe(timeout=CANCEL_SECONDS)
    wire.close()


class SocketWire:
    """The socket itself, blocking, with the patience as its timeout."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._socket.setblocking(True)
        timeout = struct.pack("ll", 0, round(PATIENCE * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)

    def send(self, statement: str) -> None:
        try:
            self._socket.sendall(message(b"Q", statement.encode() + b"\0"))
        except OSError:
            raise ServerError(LOST, "") from None

    def read_into(self, space: memoryview, fully: bool) -> int:
        try:
            n_bytes = self._socket.recv_into(space, 0, socket.MSG_WAITALL if fully else 0)
        except BlockingIOError:
            return 0
        except OSError:
            raise ServerError(LOST, "") from None
        if n_bytes == 0:
            raise ServerError(LOST, "")
        return n_bytes

    def close(self) -> None:
        self._socket.close()
        self.connection.close()
