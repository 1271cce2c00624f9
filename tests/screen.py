"""A terminal for a command, and what a person sees on it."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CONTROL = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|([\r\n])")


@dataclass
class Screen:
    """Lines of text under the few controls that the display uses: up, erase, show and hide the cursor, and styles."""

    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    column: int = 0
    cursor_hidden: bool = False
    styles: list[str] = field(default_factory=list)

    def feed(self, text: str) -> None:
        place = 0
        for found in CONTROL.finditer(text):
            self._write(text[place : found.start()])
            self._control(found[1], found[2] or found[3])
            place = found.end()
        self._write(text[place:])

    def _write(self, text: str) -> None:
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + text + line[self.column + len(text) :]
        self.column += len(text)

    def _control(self, argument: str, control: str) -> None:
        match control:
            case "\r":
                self.column = 0
            case "\n":
                self.row += 1
                self.lines += [""] * (self.row == len(self.lines))
            case "A":
                self.row = max(0, self.row - int(argument or 1))
            case "K":
                self.lines[self.row] = ""
            case "m":
                self.styles.append(argument)
            case "h" | "l":
                self.cursor_hidden = control == "l"
            case _:
                raise AssertionError(f"the screen does not know {argument}{control}")

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).rstrip()


@dataclass
class Watched:
    """What a command left behind, and everything that was to be seen on the way."""

    returncode: int
    screen: Screen
    seen: list[str]
    stdout: str


def watch(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], columns: int = 100, seconds: float = 120
) -> Watched:
    """Run a command whose stderr is a terminal and whose stdout is a pipe."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(
        command, cwd=folder, env=dict(variables), stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as process:
        os.close(theirs)
        try:
            screen, seen = look_on(ours, time.monotonic() + seconds)
            assert process.stdout is not None
            return Watched(process.wait(10), screen, seen, process.stdout.read())
        finally:
            process.kill()
            os.close(ours)


def look_on(terminal: int, until: float) -> tuple[Screen, list[str]]:
    """Read until the other side is closed; the screen as it is at the end, and after each thing written."""
    screen, seen, rest = Screen(), [], b""
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            rest += os.read(terminal, 65_536)
        except OSError:  # what Linux says when the last writer is gone
            break
        text, rest = complete(rest)
        screen.feed(text)
        seen.append(screen.text)
    return screen, seen


def complete(data: bytes) -> tuple[str, bytes]:
    """What can be shown, and the beginning of a character or control whose end is still to come."""
    end = len(data)
    if (begun := data.rfind(b"\x1b", end - 16)) >= 0 and not re.match(rb"\x1b\[\??[\d;]*[A-Za-z]", data[begun:]):
        end = begun
    for cut in range(4):
        try:
            return data[: end - cut].decode(), data[end - cut :]
        except UnicodeDecodeError:
            continue
    raise AssertionError("the command wrote what is not UTF-8")
