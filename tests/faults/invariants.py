"""I1 to I6: what holds after every fault, each as a function that returns what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from tests.faults.reader import Read
from tests.faults.state import Rows, Seen

RUNS = """
SELECT run_id, kind, status, exit_code FROM segments.run WHERE run_id > %s ORDER BY run_id
"""
POINTER = """
SELECT
    p.version_id,
    v.status,
    v.n_customers,
    v.n_segments,
    (SELECT count(*) FROM segjob.segment AS s WHERE (s.segmentation, s.version_id) = (p.segmentation, p.version_id)),
    (SELECT count(DISTINCT segment_id) FROM segjob.centroid AS c
     WHERE (c.segmentation, c.version_id) = (p.segmentation, p.version_id)),
    (SELECT count(*) FROM segjob.gate AS g
     WHERE (g.segmentation, g.version_id) = (p.segmentation, p.version_id) AND g.result = 'refused'),
    EXISTS (
        SELECT FROM pg_inherits AS i
        WHERE i.inhparent = 'segjob.label_shop'::regclass AND NOT i.inhdetachpending
            AND i.inhrelid = to_regclass(format('segjob.%I', 'label_shop$' || p.version_id))
    ),
    (SELECT count(*) FROM segjob.publication AS g
     WHERE (g.segmentation, g.publication) = (p.segmentation, p.publication))
FROM segjob.published AS p
JOIN segjob.version AS v USING (segmentation, version_id)
WHERE p.segmentation = 'shop'
"""
VERSIONS = "SELECT version_id FROM segjob.version WHERE segmentation = 'shop' AND status <> 'pruned' ORDER BY 1"
LABELS = """
SELECT customer_id, segment_id, distance, runner_up_segment_id, simplified_silhouette, excluded_by
FROM segjob."label_shop$%s"
"""
LEFT_BEHIND = """
SELECT 'table ' || c.relname
FROM pg_class AS c
WHERE c.relnamespace = 'segjob'::regnamespace AND c.relkind = 'r'
    AND (
        c.relname ~ '#|\\$moves$'
        OR (c.relname ~ '^membership_shop\\$' AND NOT c.relispartition)
        OR c.relname ~ '^label_shop\\$' AND NOT EXISTS (
            SELECT FROM segjob.version AS v
            WHERE v.segmentation = 'shop' AND v.status <> 'pruned' AND c.relname = 'label_shop$' || v.version_id
        )
    )
UNION ALL
SELECT 'detach of ' || inhrelid::regclass FROM pg_inherits WHERE inhdetachpending
UNION ALL
SELECT 'invalid index ' || i.indexrelid::regclass
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'segjob'::regnamespace AND NOT i.indisvalid AND c.relkind = 'i'
UNION ALL
SELECT 'run ' || run_id || ' still running' FROM segjob.run WHERE status = 'running'
"""
HELD = """
SELECT 'lock ' || l.locktype || ' ' || l.mode FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
WHERE d.datname = current_database() AND l.pid <> pg_backend_pid() AND l.locktype = 'advisory'
UNION ALL
SELECT 'session in ' || state FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'segjob'
UNION ALL
SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts WHERE database = current_database()
"""

PARTS = ("labels", "profile", "centroids", "unlabelled", "history")


@dataclass(frozen=True)
class Books:
    """What lies in the private schema: the labels of every version that has any."""

    labels: dict[int, Rows]
    last_run: int


def read_books(session: psycopg.Connection) -> Books:
    labels = {}
    for (version_id,) in session.execute(VERSIONS).fetchall():
        found = session.execute((LABELS % version_id).encode()).fetchall()
        assert len({one[0] for one in found}) == len(found), f"version {version_id} has a customer twice"
        labels[version_id] = frozenset(found)
    row = session.execute("SELECT coalesce(max(run_id), 0) FROM segments.run").fetchone()
    assert row is not None
    return Books(labels, row[0])


def relations(session: psycopg.Connection) -> frozenset[str]:
    """What there is in the private schema, by name and file: a command that changed nothing left all of them."""
    wanted = "SELECT relname || ' ' || relfilenode FROM pg_class WHERE relnamespace = 'segjob'::regnamespace"
    return frozenset(name for (name,) in session.execute(wanted.encode()))


def pointer_is_whole(session: psycopg.Connection) -> list[str]:
    """I1: the pointer names one complete version that passed its gates."""
    row = session.execute(POINTER.encode()).fetchone()
    if row is None:
        return []
    version_id, status, n_customers, n_segments, stored, with_centroid, refused, attached, logged = row
    found = {
        f"has the status {status}": status != "published",
        "has no customers": not n_customers,
        f"has {stored} of {n_segments} segments": stored != n_segments,
        f"has centroids of {with_centroid} of {n_segments} segments": with_centroid != n_segments,
        "was refused by a gate": refused,
        "is not attached": not attached,
        "is not in the log of publications": logged != 1,
    }
    return [f"I1: published version {version_id} {sentence}" for sentence, is_so in found.items() if is_so]


def reader_saw_nothing_else(read: Read, allowed: set[Seen], server_died: bool) -> list[str]:
    """I2: what was seen was one of the states that there are, and nothing in between."""
    found = [f"I2: {sentence}" for sentence in sorted(set(read.wrong))]
    for seen in read.seen:
        found += [f"I2: a reader saw {sentence}" for sentence in seen.contradictions()]
        if seen.contents not in allowed:
            found.append(
                f"I2: a reader saw {len(seen.labels)} labels of {sorted(seen.versions)}, a state that never was"
            )
    if read.broken and not server_died:
        found.append(f"I2: the reader's connection broke: {sorted(set(read.broken))}")
    return found


def versions_are_whole(now: Books, before: Books, after: Books) -> list[str]:
    """I3: every stored version has the labels that it had, or that an undisturbed command gives it, each once."""
    new = [labels for version_id, labels in after.labels.items() if version_id not in before.labels]
    found = []
    for version_id, labels in now.labels.items():
        known = [books.labels[version_id] for books in (before, after) if version_id in books.labels]
        if labels not in (known if version_id in before.labels else new):
            found.append(f"I3: version {version_id} has {len(labels)} customers, and not those that it should have")
    return found


def converged(seen: Seen, undisturbed: Seen) -> list[str]:
    """I4: what is published in the end is what an undisturbed command publishes."""
    if seen.contents == undisturbed.contents:
        return []
    parts = [name for name in PARTS if getattr(seen, name) != getattr(undisturbed, name)]
    return [f"I4: after a repetition, {', '.join(parts)} differ from those of an undisturbed command"]


def nothing_is_held(session: psycopg.Connection) -> list[str]:
    """I5: no lock and no open transaction, as soon as the process is gone."""
    return [f"I5: left behind: {one}" for (one,) in session.execute(HELD).fetchall()]


def nothing_is_left(session: psycopg.Connection) -> list[str]:
    """I5: no orphan, pending detach or unfinished index after the next start, and no run that still says it works."""
    return [f"I5: left behind: {one}" for (one,) in session.execute(LEFT_BEHIND).fetchall()]


def runs_since(session: psycopg.Connection, last_run: int) -> list[tuple[Any, ...]]:
    """Run, kind, status, exit code."""
    return session.execute(RUNS, [last_run]).fetchall()
