"""The points of a run: each has a name, and a test may hold the process at any of them for as long as it likes.

All of this lives in the process under test, which is a fork that was changed before it began; `segjob` knows nothing
of it.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection as Line

from segjob.postgres.queries import statements

TRAIL = "*"  # instead of the name of a point: tell of every point and stop at none
WRITING = re.compile(
    r"\s*(INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|TRUNCATE|COPY|COMMENT|ANALYZE|VACUUM|REINDEX"
    r"|WITH .*(INSERT|UPDATE|DELETE))",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, order=True)
class Point:
    """One of the places that a run comes to; `nth` counts those of the same name, from 1."""

    name: str
    nth: int = 1

    @property
    def place(self) -> str:
        """The part of the run that it belongs to."""
        return self.name.partition(":")[0]

    def __str__(self) -> str:
        return self.name if self.nth == 1 else f"{self.name} #{self.nth}"


class Points:
    """Counts the points as they are come to, from any thread.

    Parameters
    ----------
    line : to whoever holds the process: a point goes out, and at the one that is wanted an answer has to come in
    wanted : where to stop; its name is `TRAIL` to tell of all of them
    """

    def __init__(self, line: Line, wanted: Point) -> None:
        self._line = line
        self._wanted = wanted
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._phases: list[str] = []

    def come_to(self, what: str) -> None:
        """Tell of a point, and stop there if it is the one."""
        name = f"{self.place()}: {what}"
        with self._lock:
            self._counts[name] += 1
            point = Point(name, self._counts[name])
            if self._wanted.name == TRAIL:
                self._line.send(point)
        if point == self._wanted:
            self._line.send(point)
            self._line.recv()

    def place(self) -> str:
        """Which part of the run: the phase, or what a thread of its own does beside it."""
        thread = threading.current_thread()
        if thread is threading.main_thread():
            return self._phases[-1] if self._phases else "outside"
        return re.sub(r"^segjob-|[-_\d]+$", "", thread.name) + " thread"

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What is come to within the block belongs to the phase."""
        self._phases.append(name)
        try:
            yield
        finally:
            self._phases.pop()


# What a statement is called

COMPOSED = re.compile(
    r"(?is)(INSERT INTO|UPDATE|DELETE FROM|DROP TABLE IF EXISTS|TRUNCATE|ANALYZE(?: ONLY)?)\s+([^\s(,]+)"
)
SELECTED = re.compile(r"(?is)SELECT\b.*?\bFROM\s+([^\s(,]+)")


@cache
def name_of(statement: str) -> str:
    """What it does to which table, if that says enough; else the name that `sql/*.sql` has for it."""
    text = statement.strip()
    if found := COMPOSED.match(text):
        return f"{found[1].split()[0].lower()} {table_of(found[2])}"
    if name := next((name for name, pattern in patterns() if pattern.fullmatch(text)), None):
        return name
    if found := SELECTED.match(text):
        return f"select {table_of(found[1])}"
    return " ".join(re.findall(r"\w+", text)[:4]).lower()


def table_of(name: str) -> str:
    """Without its schema and the number of a version."""
    return re.sub(r"\$\d+$", "$n", name.rpartition(".")[2].strip('"'))


@cache
def patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Every named statement with whatever may stand in the places of its names and parameters."""
    found = []
    for statement in statements().values():
        for template in re.split(r";\s*\n", statement.sql):
            filled = re.sub(r"(?<![:\w]):([a-z]\w*)", "{parameter}", template.strip())
            pattern = re.sub(r"\\\{[a-z_]+\\\}", ".*?", re.escape(filled))
            found.append((statement.name, re.compile(pattern, re.DOTALL)))
    return sorted(found, key=lambda one: -len(one[1].pattern))


def writes(statement: str) -> bool:
    return WRITING.match(statement) is not None
