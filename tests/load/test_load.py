"""Runs one after the other, beside readers who join the views and writers who change the source.

What readers wait is compared with what they wait between two runs, in the same minutes: whatever else this machine does
slows both. `make test-load` has the full size; by itself this is a small one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
import pytest

from tests.acceptance.conftest import write_configuration
from tests.command import run_segjob
from tests.faults.server import MortalServer, mortal_server
from tests.load.crowd import Place, crowd

CUSTOMERS = int(os.environ.get("SEGJOB_LOAD_CUSTOMERS", "50000"))
READERS = int(os.environ.get("SEGJOB_LOAD_READERS", "8"))
WRITERS = int(os.environ.get("SEGJOB_LOAD_WRITERS", "2"))
SECONDS = float(os.environ.get("SEGJOB_LOAD_SECONDS", "30"))
PAUSE = float(os.environ.get("SEGJOB_LOAD_PAUSE", "0"))
ROUNDS = 3  # at least; each has a time with a run and one without
SETTLING = 1.0  # seconds after a run that count for neither: what it left is written out
LIMIT = float(os.environ.get("SEGJOB_LOAD_LIMIT") or "inf")  # of the ratio, where the machine is ours alone

SHOP = {
    "source": "public.customer",
    "key": "customer_id",
    "features": ["visits", "spent", "age", "basket"],
    "n_clusters": 6,
    "keep_versions": 2,
}
FILL = f"""
CREATE TABLE public.customer (
    customer_id bigint PRIMARY KEY, visits float8 NOT NULL, spent float8 NOT NULL, age float8, basket float8
) WITH (fillfactor = 80);
INSERT INTO public.customer
SELECT i, mod(i, 6) * 20 + random(), mod(i, 2) * 90 + 5 + random(), 20 + mod(i, 3) * 20 + random(), random()
FROM generate_series(1, {CUSTOMERS}) AS i;
ANALYZE public.customer
"""


@dataclass(frozen=True)
class Span:
    """A time with a run or without one, in seconds of the machine's clock."""

    began: float
    ended: float
    with_run: bool


@pytest.fixture
def server() -> Iterator[MortalServer]:
    with mortal_server(max_connections="100", shared_buffers="512MB", max_wal_size="4GB") as running:
        yield running


@pytest.fixture
def shop(server: MortalServer, tmp_path: Path) -> str:
    """The customers with a first published version; the database's URL."""
    write_configuration(tmp_path, {"shop": SHOP})
    with server.connect() as session:
        session.execute(FILL.encode())
    for command in ("migrate", "run"):
        done = run_segjob(tmp_path, server.url, command, *(["shop"] if command == "run" else []), timeout=600)
        assert done.returncode == 0, done.stderr
    return server.url


def segment_again_and_again(folder: Path, url: str) -> Iterator[Span]:
    """A run, and as long without one, until the time is over; a run is a process as cron starts it."""
    until, rounds = time.monotonic() + SECONDS, 0
    while rounds < ROUNDS or time.monotonic() < until:
        rounds += 1
        began = time.monotonic()
        ended = run_segjob(folder, url, "run", "shop", fresh=True, timeout=600)
        assert ended.returncode == 0, ended.stderr
        run = Span(began, time.monotonic(), with_run=True)
        yield run
        time.sleep(SETTLING)
        began = time.monotonic()
        time.sleep(run.ended - run.began)  # the readers and writers are to be alone
        yield Span(began, time.monotonic(), with_run=False)


def seconds_of_looks(looks: np.ndarray, spans: list[Span], with_run: bool) -> np.ndarray:
    """Of those looks that lay in such a time as a whole."""
    began, ended = looks[:, 0], looks[:, 0] + looks[:, 1]
    inside = [(began >= one.began) & (ended <= one.ended) for one in spans if one.with_run is with_run]
    seconds: np.ndarray = looks[np.any(inside, axis=0), 1]
    return seconds


def ratios(looks: np.ndarray, spans: list[Span]) -> list[float]:
    """Of each round, the 99th percentile with a run by that without: what disturbs one round disturbs no other."""
    rounds = [spans[place : place + 2] for place in range(0, len(spans), 2)]
    percentiles = [[np.percentile(seconds_of_looks(looks, one, has), 99) for has in (True, False)] for one in rounds]
    return [float(beside / alone) for beside, alone in percentiles]


def described(seconds: np.ndarray) -> str:
    half, most, all_but_one = np.percentile(seconds, [50, 99, 100]) * 1000
    return f"{len(seconds):9,} {half:9.1f} {most:9.1f} {all_but_one:9.1f}"


def test_readers_see_one_version_at_a_time_and_hardly_notice_a_run(shop: str, tmp_path: Path) -> None:
    place = Place(shop, CUSTOMERS, tmp_path, PAUSE)
    with crowd(place, READERS, WRITERS):
        spans = list(segment_again_and_again(tmp_path, shop))
    looks = np.concatenate([np.load(path) for path in tmp_path.glob("reader*.npy")])
    n_changed = sum(int(path.read_text()) for path in tmp_path.glob("writer*.txt"))
    n_runs = sum(one.with_run for one in spans)
    alone, beside = (seconds_of_looks(looks, spans, with_run) for with_run in (False, True))
    ratio = np.median(ratios(looks, spans))
    print(f"\n{CUSTOMERS:,} customers, {READERS} readers, {WRITERS} writers ({n_changed:,} changes), {n_runs} runs")
    print(f"{'milliseconds':20}{'looks':>9} {'median':>9} {'p99':>9} {'longest':>9}")
    print(f"{'without a run':20}{described(alone)}\n{'with a run':20}{described(beside)}")
    print(f"99th percentile with a run: {ratio:.2f} times that without, the median of {n_runs} rounds")
    assert n_runs > 0
    assert n_changed > 0
    assert set(looks[:, 2].astype(int)) == set(range(1, n_runs + 2))
    with psycopg.connect(shop) as session:
        published = session.execute("SELECT count(*), min(version_id), max(version_id) FROM segments.shop").fetchone()
    assert published == (CUSTOMERS, n_runs + 1, n_runs + 1)
    assert ratio <= LIMIT
