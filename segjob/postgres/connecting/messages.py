"""The bytes of the protocol, for those who read or write libpq's socket past it."""

from __future__ import annotations

import struct

import psycopg

HEAD = struct.Struct("!cI")  # of every message: its tag, and its length without the tag


def head(tag: bytes, n_bytes: int) -> bytes:
    """What stands before so many bytes."""
    return HEAD.pack(tag, n_bytes + HEAD.size - len(tag))


def message(tag: bytes, body: bytes | memoryview = b"") -> bytes:
    return b"".join((head(tag, len(body)), body))


def may_be_encrypted(connection: psycopg.Connection) -> bool:
    """Whether the socket may carry something else than messages; with GSSAPI libpq does not tell."""
    return bool(connection.pgconn.ssl_in_use or connection.pgconn.used_gssapi)
