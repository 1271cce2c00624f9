"""Readers in sessions of their own, who join the views for as long as something goes on, and tell what they saw."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

WAIT = "900ms"
"""What a reader waits for a lock at most: longer than the half second that we may be in the way, and not twice it."""

LOOK = """
SELECT count(*), min(m.version_id), max(m.version_id), count(DISTINCT m.version_id), count(p.segment_id)
FROM segments.mall AS m
LEFT JOIN segments.mall_profile AS p ON p.segment_id = m.segment_id
"""


@dataclass
class Seen:
    """What was seen: customers and version, each time another; and how many never saw a name for their segment."""

    n_looks: int = 0
    pictures: list[tuple[int, int]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def note(self, row: tuple[int, int, int, int, int]) -> None:
        n_customers, lowest, highest, n_versions, n_named = row
        self.n_looks += 1
        if n_versions != 1 or lowest != highest or n_named != n_customers:
            self.faults.append(f"a mixed or empty result: {row}")
        if not self.pictures or self.pictures[-1] != (n_customers, highest):
            self.pictures.append((n_customers, highest))


@contextmanager
def onlookers(url: str) -> Iterator[Seen]:
    """Look until the block ends, each time in a new transaction; nobody may have waited for a lock for long."""
    seen, over = Seen(), threading.Event()

    def look() -> None:
        with psycopg.connect(url, autocommit=True, application_name="reader") as reader:
            reader.execute(f"SET lock_timeout = '{WAIT}'".encode())
            while not over.is_set():
                try:
                    row = reader.execute(LOOK).fetchone()
                except psycopg.Error as error:
                    seen.faults.append(str(error))
                    continue
                assert row is not None
                seen.note(row)

    with ThreadPoolExecutor(1) as beside:
        looking = beside.submit(look)
        try:
            yield seen
        finally:
            over.set()
            looking.result()
    assert seen.faults == []
    assert seen.n_looks > 0
