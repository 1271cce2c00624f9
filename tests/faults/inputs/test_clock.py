"""Input 30: a clock that jumps. What the job writes down is the server's time, whatever this machine believes."""

from __future__ import annotations

from tests.faults.inputs.conftest import Mall

JUMPING = """
import datetime, itertools, time
from segjob.progress import log

seconds = itertools.cycle([-10 * 365.25 * 86400, 10 * 365.25 * 86400])
real = time.time


class Elsewhere(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.now(tz) + datetime.timedelta(seconds=next(seconds))


time.time = lambda: real() + next(seconds)
log.datetime = Elsewhere
"""
WRITTEN = """
SELECT min(moment), max(moment) FROM (
    SELECT unnest(ARRAY[started_at, finished_at]) AS moment FROM segments.run
    UNION ALL SELECT unnest(ARRAY[created_at, published_at, data_as_of]) FROM segments.version
    UNION ALL SELECT published_at FROM segments.mall
    UNION ALL SELECT valid_from FROM segments.mall_history
    UNION ALL SELECT unnest(ARRAY[published_at, data_as_of, last_success_at]) FROM segments.segmentation
) AS written
"""


def test_30_only_the_time_of_the_server_counts(published: Mall) -> None:
    (now,) = published.execute("SELECT clock_timestamp()")
    done = published.altered(JUMPING, "run", "mall")
    assert done.returncode == 0, done.stderr
    years = {int(line[:4]) for line in done.stderr.splitlines()}
    assert min(years) < now.year - 5 < now.year + 5 < max(years), "the clock did not jump"
    first, last = published.execute(WRITTEN)
    (now,) = published.execute("SELECT clock_timestamp()")
    assert (now - first).total_seconds() < 3600
    assert last <= now
