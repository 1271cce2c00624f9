"""A proxy between the job and its server, which knows what is said and cuts, delays or swallows it.

It understands as much of the protocol as it needs: where a message of the client begins, and the text of a statement.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qsl, urlencode, urlsplit

from psycopg.conninfo import conninfo_to_dict

HEAD = struct.Struct("!cI")
LENGTH = struct.Struct("!I")
STATEMENTS = (b"Q", b"P")
MUCH = 1 << 16


class Fate(Enum):
    """What becomes of a message of the client, and of its connection."""

    PASSED = "passed"
    CUT_BEFORE = "the server never hears of it"
    CUT_AFTER = "the server answers, and the client never hears of it"
    CUT_MEANWHILE = "the client is cut off first; the server hears of it a second later"
    SILENT = "everybody stays connected, and nobody hears anything any more; nor does who connects from now on"


Judge = Callable[["Line", str], Fate]
"""Asked about every statement: the connection, with what was said on it in the transaction, and the text."""


@dataclass
class Line:
    """One connection of a client."""

    number: int
    client: socket.socket
    server: socket.socket
    said: list[str] = field(default_factory=list)
    muted: threading.Event = field(default_factory=threading.Event)

    def cut(self) -> None:
        for end in (self.client, self.server):
            shut(end)


def shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@dataclass
class Proxy:
    """Where the job connects instead; `judge` may be set at any time, `delay` is in seconds for each message."""

    server_url: str
    listener: socket.socket
    judge: Judge = lambda *_: Fate.PASSED
    delay: float = 0.0
    refusing: bool = False
    silent: threading.Event = field(default_factory=threading.Event)
    answer_limit: Callable[[Line], int | None] = lambda _: None
    lines: list[Line] = field(default_factory=list)
    judged: list[Fate] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The server's URL by way of the proxy, over TCP and not encrypted."""
        parts = urlsplit(self.server_url)
        query = {name: value for name, value in parse_qsl(parts.query) if name not in ("host", "port")}
        query |= {"sslmode": "disable", "gssencmode": "disable"}
        port = self.listener.getsockname()[1]
        user = parts.netloc.rpartition("@")[0]
        return f"postgresql://{user}@127.0.0.1:{port}{parts.path}?{urlencode(query)}"

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self.refusing:
                    client.close()
                    continue
                line = Line(len(self.lines), client, connect(self.server_url))
                self.lines.append(line)
                if self.silent.is_set():
                    continue
                for carry in (self.to_server, self.to_client):
                    threading.Thread(target=carry, args=(line,), daemon=True).start()

    def to_server(self, line: Line) -> None:
        """Message by message, each judged if it is a statement; a judge that fails ends the connection."""
        try:
            with suppress(OSError, EOFError):
                line.server.sendall(startup(line.client))
                while self.carry(line):
                    pass
        finally:
            line.cut()

    def carry(self, line: Line) -> bool:
        """One message; returns whether the connection goes on."""
        kind, message = next_message(line.client)
        time.sleep(self.delay)  # a slow line
        fate = self.fate(line, message) if kind in STATEMENTS else Fate.PASSED
        return self.carry_out(line, fate, message)

    def fate(self, line: Line, message: bytes) -> Fate:
        statement = message[5:].decode(errors="replace").strip("\0")
        found = self.judge(line, statement)
        line.said.append(statement)
        if statement.upper().startswith(("COMMIT", "ROLLBACK")):
            line.said.clear()
        self.judged += [found] if found is not Fate.PASSED else []
        return found

    def carry_out(self, line: Line, fate: Fate, message: bytes) -> bool:
        """Returns whether the connection goes on."""
        if fate is Fate.PASSED:
            if not self.silent.is_set():
                line.server.sendall(message)
            return True
        if fate is Fate.SILENT:
            self.silent.set()
            return True
        line.muted.set()
        if fate is Fate.CUT_AFTER:
            line.server.sendall(message)
            time.sleep(0.3)  # the answer is swallowed; that it was committed by then, the test sees
        shut(line.client)
        if fate is Fate.CUT_MEANWHILE:
            time.sleep(1.0)  # the client asks what became of it before the server has heard of it
            line.server.sendall(message)
            time.sleep(0.3)  # as above
        shut(line.server)
        return False

    def to_client(self, line: Line) -> None:
        n_passed = 0
        with suppress(OSError):
            while data := line.server.recv(MUCH):
                n_passed += len(data)
                limit = self.answer_limit(line)
                if limit is not None and n_passed > limit:
                    break
                if not line.muted.is_set() and not self.silent.is_set():
                    line.client.sendall(data)
        if not line.muted.is_set() and not self.silent.is_set():
            line.cut()


def connect(url: str) -> socket.socket:
    """To the server, through its socket or over TCP."""
    place = conninfo_to_dict(url)
    host, port = str(place["host"]), int(place.get("port") or 5432)
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{host}/.s.PGSQL.{port}")
    return server


def startup(client: socket.socket) -> bytes:
    """The first message, which has a length and no kind."""
    head = exactly(client, 4)
    return head + exactly(client, LENGTH.unpack(head)[0] - 4)


def next_message(client: socket.socket) -> tuple[bytes, bytes]:
    head = exactly(client, HEAD.size)
    kind, length = HEAD.unpack(head)
    return kind, head + exactly(client, length - 4)


def exactly(source: socket.socket, n_bytes: int) -> bytes:
    parts = bytearray()
    while len(parts) < n_bytes:
        data = source.recv(n_bytes - len(parts))
        if not data:
            raise EOFError
        parts += data
    return bytes(parts)


@contextmanager
def proxy(server_url: str) -> Iterator[Proxy]:
    """A proxy for as long as the block lasts; the connections that are left are cut at its end."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        made = Proxy(server_url, listener)
        server = threading.Thread(target=made.serve, daemon=True)
        server.start()
        try:
            yield made
        finally:
            shut(listener)
            server.join(5)
            for line in made.lines:
                line.cut()
                line.client.close()
                line.server.close()
