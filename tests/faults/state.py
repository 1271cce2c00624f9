"""What a reader sees of a segmentation in one moment, and what may never be seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import psycopg

NAME = "shop"

LABELS = """
SELECT customer_id, segment_id, segment_name, distance, simplified_silhouette, runner_up_segment_id, version_id
FROM segments.shop
"""
PROFILE = """
SELECT segment_id, segment_name, color, n_customers, share, n_customers_now, silhouette, rule FROM segments.shop_profile
"""
CENTROIDS = "SELECT segment_id, feature, value FROM segments.shop_centroid"
UNLABELLED = "SELECT customer_id, feature FROM segments.shop_unlabelled"
OPEN = "SELECT customer_id, segment_id FROM segments.shop_history WHERE valid_to = '9999-12-31 00:00:00+00'"
POINTER = "SELECT version_id FROM segments.segmentation WHERE segmentation = 'shop'"
IN_ONE_STATEMENT = """
SELECT count(*) FILTER (WHERE n <> n_customers_now), count(DISTINCT version_id), coalesce(sum(n), 0)
FROM (
    SELECT p.segment_id, p.n_customers_now, l.version_id, count(l.customer_id) AS n
    FROM segments.shop_profile AS p LEFT JOIN segments.shop AS l USING (segment_id)
    GROUP BY p.segment_id, p.n_customers_now, l.version_id
) AS joined
"""

Rows = frozenset[tuple[Any, ...]]


@dataclass(frozen=True)
class Seen:
    """Everything that the views say in one transaction; versions and pointers by number."""

    labels: Rows
    profile: Rows
    centroids: Rows
    unlabelled: Rows
    history: Rows
    versions: frozenset[int]
    pointer: int | None

    @property
    def contents(self) -> Seen:
        """The same whatever the number of its version, for a run that is repeated makes another one."""
        return replace(self, versions=frozenset(), pointer=None)

    @property
    def is_empty(self) -> bool:
        return not self.labels

    def contradictions(self) -> list[str]:
        """What can not be true of any one moment."""
        by_segment = Counter(segment_id for _, segment_id, *_ in self.labels)
        now = {segment_id: n_now for segment_id, _, _, _, _, n_now, *_ in self.profile if n_now}
        found = {
            "labels of several versions": len(self.versions) > 1,
            "labels of another version than the pointer's": self.versions != {self.pointer} - {None},
            "a profile of other labels": now != dict(by_segment),
            "centroids of other segments": {one[0] for one in self.centroids} != {one[0] for one in self.profile},
            "a history of other labels": self.history != {one[:2] for one in self.labels},
            "a customer twice": len({one[0] for one in self.labels}) != len(self.labels),
        }
        return [sentence for sentence, is_so in found.items() if is_so]


def look(session: psycopg.Connection) -> Seen:
    """Ask every view in one transaction."""
    with session.transaction():
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        labels = rows(session, LABELS)
        pointer = session.execute(POINTER).fetchone()
        return Seen(
            labels=frozenset(one[:-1] for one in labels),
            profile=rows(session, PROFILE),
            centroids=rows(session, CENTROIDS),
            unlabelled=rows(session, UNLABELLED),
            history=rows(session, OPEN),
            versions=frozenset(one[-1] for one in labels),
            pointer=pointer[0] if pointer else None,
        )


def look_in_one_statement(session: psycopg.Connection) -> list[str]:
    """What a statement by itself must not see either: the views are joined as analysts do."""
    row = session.execute(IN_ONE_STATEMENT).fetchone()
    assert row is not None
    n_wrong, n_versions, _ = row
    return ["one statement saw a mix of versions"] if n_wrong or n_versions > 1 else []


def rows(session: psycopg.Connection, query: str) -> Rows:
    found = session.execute(query.encode()).fetchall()
    assert len(set(found)) == len(found), "a row twice in a view"
    return frozenset(found)
