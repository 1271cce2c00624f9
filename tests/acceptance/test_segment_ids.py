"""Ids keep their meaning: what is kept, split, merged and new, whatever the order in which anything is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import MALL
from tests.acceptance.drifting_shop import BIRTH, CREATE, DEATH, MERGER, SMALL, SPLIT, Month, fill, months

pytestmark = pytest.mark.long

Configure = Callable[..., Path]
Document = Callable[..., Any]
Succeed = Callable[..., str]
Year = list[tuple[Month, dict[str, Any], dict[int, int]]]

INCOME: dict[str, Any] = {"column": "annual_income", "scale": "none"}
SPENDING: dict[str, Any] = {"column": "spending_score", "scale": "none"}
LABELS = "SELECT customer_id, segment_id, segment_name FROM segments.mall ORDER BY 1"
CARRIED = "SELECT count(*), count(carried_segment_id), count(*) FILTER (WHERE carried_segment_id = segment_id)"
SHOP = {"source": "public.shop", "key": "customer_id", "features": ["x", "y"], "seed": 1}
DIMENSION = "SELECT segment_id, status, first_version_id, last_version_id, origin, from_segment_ids FROM segments.{}"

PERMUTED = (
    "SET session_replication_role = replica",
    *(
        f"UPDATE segjob.{table} SET segment_id = {changed}"
        for table in ("segment", "centroid", "label_mall")
        for changed in ("100 + segment_id", "1 + (segment_id + 1) % 5")
    ),
    "CREATE TABLE public.reversed AS SELECT * FROM segjob.centroid ORDER BY segment_id DESC, feature DESC",
    "TRUNCATE segjob.centroid",
    "INSERT INTO segjob.centroid SELECT * FROM public.reversed",
    "SET session_replication_role = origin",
)
"""The published version with other ids for its segments, and its rows in another order."""


@pytest.fixture
def database_url(published_mall: str, server_url: str, server_connection: psycopg.Connection) -> Iterator[str]:
    """A copy of the database in which the mall is published."""
    with servers.fresh_database(server_url, server_connection, template=published_mall) as url:
        yield url


def origins(run: dict[str, Any]) -> dict[int, tuple[str, list[int]]]:
    return {one["segment_id"]: (one["origin"], one["from_segment_ids"]) for one in run["segments"]}


def all_kept(*segment_ids: int) -> dict[int, tuple[str, list[int]]]:
    return {segment_id: ("kept", [segment_id]) for segment_id in segment_ids}


def test_a_rerun_changes_no_label_and_no_id(
    mall_published: str, document: Document, connection: psycopg.Connection
) -> None:
    before = connection.execute(LABELS).fetchall()
    again = document("run", "mall")
    assert connection.execute(LABELS).fetchall() == before
    assert origins(again) == all_kept(1, 2, 3, 4, 5)
    assert connection.execute(f"{CARRIED} FROM segjob.label_mall WHERE version_id = 2").fetchone() == (200, 200, 200)


def test_a_permutation_of_the_published_centroids_changes_nothing(
    mall_published: str, document: Document, connection: psycopg.Connection
) -> None:
    for statement in PERMUTED:
        connection.execute(statement.encode())
    before = connection.execute(LABELS).fetchall()
    again = document("run", "mall")
    assert connection.execute(LABELS).fetchall() == before
    assert origins(again) == all_kept(1, 2, 3, 4, 5)


def test_a_retired_id_never_comes_back_and_names_stay_with_the_ids(
    mall_published: str, configure: Configure, document: Document, connection: psycopg.Connection
) -> None:
    first = document("show", "mall")
    configure({"mall": MALL | {"n_clusters": 3, "names": {1: "The many"}, "colors": {1: "#123456"}}})
    fewer = document("run", "mall")
    stayed = set(origins(fewer)) & {1, 2, 3, 4, 5}
    retired = {1, 2, 3, 4, 5} - stayed
    assert retired
    configure({"mall": MALL | {"names": {1: "The many"}}})
    again = document("run", "mall")
    assert not retired & set(origins(again))
    assert sorted(origins(again)) == [one["segment_id"] for one in again["segments"]]
    before, after = ({one["segment_id"]: one["name"] for one in run["segments"]} for run in (first, again))
    for segment_id in stayed & set(after):
        assert after[segment_id] == ("The many" if segment_id == 1 else before[segment_id])
    dimension = connection.execute(f"{DIMENSION.format('mall_segment')} ORDER BY 1".encode()).fetchall()
    assert {row[0] for row in dimension if row[1] == "active"} == set(origins(again))
    assert {row[0] for row in dimension if row[1] == "retired"} >= retired
    assert [row[2:] for row in dimension if row[0] in retired] == [(1, 1, "new", [])] * len(retired)


def test_ids_of_a_version_that_was_never_published_are_not_given_again(
    mall_published: str, configure: Configure, document: Document
) -> None:
    configure({"mall": MALL | {"n_clusters": 7}})
    back = document("run", "mall", "--no-publish")
    new = {segment_id for segment_id, (origin, _) in origins(back).items() if origin != "kept"}
    assert new
    again = origins(document("run", "mall"))
    assert len(again) == 7
    assert not new & set(again)


def test_with_other_features_the_customers_tell(
    mall_published: str, configure: Configure, succeed: Succeed, document: Document, connection: psycopg.Connection
) -> None:
    before = {key: segment_id for key, segment_id, _ in connection.execute(LABELS).fetchall()}
    hardly = {"column": "age", "scale": "none", "weight": 0.01}
    configure({"mall": MALL | {"features": [INCOME, SPENDING, hardly]}})
    succeed("migrate")
    run = document("run", "mall")
    assert origins(run) == all_kept(1, 2, 3, 4, 5)
    assert run["warnings"] == []
    after = {key: segment_id for key, segment_id, _ in connection.execute(LABELS).fetchall()}
    assert sum(before[key] != after[key] for key in before) <= 2
    assert connection.execute(f"{CARRIED} FROM segjob.label_mall WHERE version_id = 2").fetchone() == (200, 0, 0)


def test_when_nobody_is_in_both_versions_the_run_says_so(
    mall_published: str, configure: Configure, succeed: Succeed, document: Document, connection: psycopg.Connection
) -> None:
    connection.execute("UPDATE public.mall_customer SET customer_id = customer_id + 100000")
    configure({"mall": MALL | {"features": ["annual_income", "age"], "gates": {"max_label_churn": None}}})
    succeed("migrate")
    run = document("run", "mall")
    assert sorted(origins(run)) == [6, 7, 8, 9, 10]
    assert all(one == ("new", []) for one in origins(run).values())
    assert any("all segments got new ids" in warning for warning in run["warnings"])


def test_the_same_features_in_another_order_and_scaled_otherwise_are_still_the_same(
    mall_published: str, configure: Configure, succeed: Succeed, document: Document, connection: psycopg.Connection
) -> None:
    features = [SPENDING | {"weight": 1.01}, INCOME]
    configure({"mall": MALL | {"features": features}})
    succeed("migrate")
    assert set(origins(document("run", "mall"))) == {1, 2, 3, 4, 5}
    wrong = """
        SELECT count(*) FROM segjob.label_mall AS new JOIN segjob.label_mall AS old USING (customer_id)
        WHERE new.version_id = 2 AND old.version_id = 1 AND new.carried_segment_id IS DISTINCT FROM old.segment_id
    """
    assert connection.execute(wrong).fetchone() == (0,)  # nobody's features moved: the old model says what it said


# A year of a shop


@pytest.fixture
def year(
    database_url: str, configure: Configure, succeed: Succeed, document: Document, connection: psycopg.Connection
) -> Year:
    """Each month's customers, the run, and the segment of each customer."""
    connection.execute(CREATE)
    found: Year = []
    for month in months():
        fill(connection, month)
        configure({"shop": SHOP | {"n_clusters": month.n_groups}})
        if not found:
            succeed("migrate")
        run = document("run", "shop")
        rows = connection.execute("SELECT customer_id, segment_id FROM segments.shop").fetchall()
        labels: dict[int, int] = dict(rows)
        found.append((month, run, labels))
    return found


def id_of(group: str, month: Month, labels: dict[int, int]) -> int:
    """The segment that has nearly all of a group, which has nearly nobody else."""
    members = [labels[key] for key in month.ids[month.groups == group].tolist()]
    (segment_id, n_members), *_ = Counter(members).most_common(1)
    assert n_members > 0.95 * max(len(members), np.sum(list(labels.values()) == np.int64(segment_id)))
    return segment_id


def test_ids_follow_the_truth_through_a_year_in_which_segments_move_split_die_merge_and_are_born(
    year: Year, connection: psycopg.Connection
) -> None:
    ids = [{group: id_of(group, month, labels) for group in set(month.groups.tolist())} for month, _, labels in year]
    for before, after in pairwise(ids):
        surviving = before.keys() & after.keys()
        assert {group: after[group] for group in surviving} == {group: before[group] for group in surviving}
    runs = [origins(run) for _, run, _ in year]
    parent, child, merged, born = ids[0]["parent"], ids[-1]["child"], ids[-1]["merged"], ids[-1]["born"]
    small = sorted(ids[0][group] for group in SMALL)
    assert runs[SPLIT][child] == ("split", [parent])
    assert runs[SPLIT][parent] == ("kept", [parent])
    assert ids[0]["dying"] not in runs[DEATH]
    assert runs[BIRTH][born] == ("new", [])
    assert runs[MERGER][merged] == ("merged", small)
    events = {(month, one) for month, run in enumerate(runs) for one in run if run[one][0] != "kept" and month}
    assert events == {(SPLIT, child), (BIRTH, born), (MERGER, merged)}
    retired = [(one,) for one in sorted([ids[0]["dying"], *small])]
    gone = "SELECT segment_id FROM segments.shop_segment WHERE status = 'retired' ORDER BY 1"
    assert connection.execute(gone).fetchall() == retired
