"""What history costs a publication: seconds and log of comparing and keeping, with it and without it."""

from __future__ import annotations

import time
from statistics import median

from benchmarks.server import Server, spent
from segjob.postgres.connecting.connect import Database
from segjob.postgres.migrate import Grants, migrate
from segjob.postgres.publishing.history import keep_moves
from segjob.postgres.publishing.moves import Moves, drop_moves, write_moves
from segjob.postgres.queries import Names
from segjob.postgres.shapes import Shape
from segjob.postgres.writing.write import Part
from segjob.records.source import FeatureColumn, KeyColumn

KEYS = (KeyColumn("customer_id", "bigint", "integer"),)
SHAPE = Shape("bench", KEYS, (FeatureColumn("f0", "double precision", "number"),))
CHURNS = (0.1, 0.5)
LABELS = """
INSERT INTO {table} (customer_id, distance, version_id, segment_id, runner_up_segment_id, carried_segment_id)
SELECT i, 1.5, {version}, (i + CASE WHEN abs(hashint8(i) % 1000) < {moved} THEN 3 ELSE 0 END) % 8 + 1, 1, i % 8 + 1
FROM generate_series(1, {rows}) AS i
"""
PUBLICATION = 2


def print_history(server: Server, n_rows: int, times: int) -> None:
    """Compare a version with others of which a tenth and a half has moved, in turns."""
    names = Names(Database(server.url).schemas, "bench")
    migrate(Database(server.url), [SHAPE], Grants())
    before = labelled(server, Part(names, 1, KEYS), n_rows, 0.0)
    print(f"\n{n_rows:,} customers in both versions; median of {times}")
    for number, churn in enumerate(CHURNS):
        after = labelled(server, Part(names, 2 + number, KEYS), n_rows, churn)
        rounds = [[measure(server, before, after, history) for history in (False, True)] for _ in range(times)]
        without, kept = ([median(values) for values in zip(*side, strict=True)] for side in zip(*rounds, strict=True))
        for history, (seconds, megabytes) in (("false", without), ("true", kept)):
            print(f"{churn:4.0%} moved  history: {history:5}  {seconds:6.2f} s  {megabytes:6.0f} MB of log")
        more = f"{kept[0] - without[0]:6.2f} s  {kept[1] - without[1]:6.0f} MB of log"
        print(f"{'':12}more             {more}; asked: {'5 s, 150 MB' if churn < 0.5 else '10 s, 500 MB'}")


def labelled(server: Server, part: Part, n_rows: int, churn: float) -> Part:
    """A version's labels with their key and statistics."""
    server.execute(
        f"DROP TABLE IF EXISTS {part.table}",
        f"CREATE TABLE {part.table} (LIKE {part.names.label})",
        LABELS.format(table=part.table, version=part.version_id, moved=int(churn * 1000), rows=n_rows),
        f"ALTER TABLE {part.table} ADD PRIMARY KEY (version_id, customer_id)",
        f"VACUUM ANALYZE {part.table}",
    )
    return part


def measure(server: Server, before: Part, after: Part, history: bool) -> tuple[float, float]:
    """Seconds and megabytes of log from comparing until the moves are kept, or gone."""
    database, moves = Database(server.url), Moves(before.names, PUBLICATION, KEYS)
    server.execute("CHECKPOINT")
    log, began = spent(server), time.monotonic()
    found = write_moves(database, before, after, moves, carried=True, logged=history)
    if history:
        keep_moves(database, moves, found.n_moved)
    else:
        drop_moves(database, moves)
    seconds = time.monotonic() - began
    megabytes = spent(server).since(log).wal / 1e6
    server.execute(f"DROP TABLE IF EXISTS {before.names.piece(PUBLICATION)}")
    return seconds, megabytes
