"""Those who use the database while a run is at work: readers who join the views, and writers who change the source.

Each is a process of its own, until it is told that it is over. A reader writes down when each look began, how many
seconds it took and which version it saw; a writer, how many rows it changed. Whatever surprises one of them ends it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import psycopg

from tests.command import fork_server

FEW = 200  # customers of one look
CHANGED = 20  # customers of one change
PATIENCE = 60.0  # seconds for the last look
PAUSE = 0.02  # seconds between two changes of a writer
ALL_SECONDS = 5.0  # between two looks at everybody, by the first reader

# One transaction of a dashboard: a part of the customers with their segments, then the segments themselves.
LABELS = """
SELECT count(*), count(DISTINCT s.version_id), min(s.version_id), count(s.segment_name), sum(c.spent)
FROM public.customer AS c
JOIN segments.shop AS s USING (customer_id)
WHERE c.customer_id BETWEEN %(first)s AND %(last)s
"""
EVERYBODY = "SELECT count(*), count(DISTINCT version_id), min(version_id), count(segment_name), 0 FROM segments.shop"
SEGMENTS = """
SELECT v.version_id, v.n_customers, sum(p.n_customers)
FROM segments.shop_profile AS p
JOIN segments.segmentation AS n ON n.segmentation = 'shop'
JOIN segments.version AS v ON v.segmentation = n.segmentation AND v.version_id = n.version_id
GROUP BY v.version_id, v.n_customers
"""
# One customer in fifty goes to the other side, so that every version has some who move.
CHANGE = """
UPDATE public.customer
SET visits = visits + random() - 0.5, spent = CASE WHEN random() < 0.02 THEN 100 - spent ELSE spent END
WHERE customer_id BETWEEN %(first)s AND %(last)s
"""


@dataclass(frozen=True)
class Place:
    """Where they work: a database with `n_customers`, and the folder for what they write down.

    Attributes
    ----------
    pause : seconds that a reader thinks between two looks; 0 looks as fast as it can
    """

    url: str
    n_customers: int
    folder: Path
    pause: float = 0.0

    @property
    def over(self) -> Path:
        """When this is there, everybody goes home."""
        return self.folder / "over"


@contextmanager
def crowd(place: Place, n_readers: int, n_writers: int) -> Iterator[None]:
    """All of them, at work; after the block's end everybody has ended in peace."""
    with_their_work = [(read, n) for n in range(n_readers)] + [(write, n) for n in range(n_writers)]
    people = [begin(work, place, number) for work, number in with_their_work]
    try:
        yield
        place.over.touch()
        for person in people:
            person.join(PATIENCE)
    finally:
        for person in people:
            if person.exitcode is None:
                person.kill()
    assert [person.exitcode for person in people] == [0] * len(people), "a reader or writer met something unexpected"


def begin(work: Callable[[Place, int], None], place: Place, number: int) -> ForkServerProcess:
    process = fork_server().Process(target=work, args=(place, number))
    process.start()
    return process


def read(place: Place, number: int) -> None:
    """Look, one time after the other; the first reader looks at everybody now and then."""
    draw, looks, next_at_all = random.Random(number), [], time.monotonic()
    with psycopg.connect(place.url, application_name="reader") as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.read_only = True
        while not place.over.exists():
            if number == 0 and time.monotonic() > next_at_all:
                look(session, EVERYBODY, {}, place.n_customers)
                next_at_all = time.monotonic() + ALL_SECONDS
            began = time.monotonic()
            first = draw.randrange(place.n_customers - FEW)
            version_id = look(session, LABELS, {"first": first + 1, "last": first + FEW}, FEW)
            looks.append((began, time.monotonic() - began, version_id))
            time.sleep(place.pause * 2 * draw.random())  # nobody thinks in step with others
    seen = np.array(looks)
    assert (np.diff(seen[:, 2]) >= 0).all(), "an older version came back"
    np.save(place.folder / f"reader{number}.npy", seen)


def look(session: psycopg.Connection, labels: str, arguments: dict[str, int], n_expected: int) -> int:
    """One transaction; returns the version that all of it saw."""
    with session.transaction():
        row = session.execute(labels.encode(), arguments).fetchone()
        segments = session.execute(SEGMENTS).fetchall()
    assert row is not None
    n_customers, n_versions, version_id, n_named, _ = row
    assert (n_customers, n_versions, n_named) == (n_expected, 1, n_expected), f"missing or mixed: {row}"
    assert len(segments) == 1, f"no version, or several: {segments}"
    assert segments[0][:2] == (version_id, segments[0][2]), f"mixed: {row}, {segments}"
    return int(version_id)


def write(place: Place, number: int) -> None:
    """Change some customers, again and again."""
    draw, n_changed = random.Random(-1 - number), 0
    with psycopg.connect(place.url, autocommit=True, application_name="writer") as session:
        while not place.over.exists():
            first = draw.randrange(place.n_customers - CHANGED)
            n_changed += session.execute(CHANGE, {"first": first + 1, "last": first + CHANGED}).rowcount
            time.sleep(PAUSE)  # a shop has customers now and then, and not as fast as the server goes
    (place.folder / f"writer{number}.txt").write_text(str(n_changed))
