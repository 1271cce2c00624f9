"""How many segments: tried, printed, stored, drawn, and chosen by a run whose configuration has a range."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.conftest import MALL, Segjob

pytestmark = pytest.mark.long

Succeed = Callable[..., str]
Document = Callable[..., Any]
STORED = """
SELECT n_clusters, inertia, silhouette, silhouette_low = silhouette AND silhouette = silhouette_high,
    silhouette_method, silhouette_n_sampled, davies_bouldin > 0, calinski_harabasz > 0, smallest_share, stability,
    suggested
FROM segments.k_candidate WHERE segmentation = 'mall' AND run_id = %s ORDER BY n_clusters
"""


def test_the_mall_has_five_segments(mall_project: str, document: Document, connection: psycopg.Connection) -> None:
    found = document("choose-k", "mall", "--min", "2", "--max", "10")
    assert (found["status"], found["suggested"], found["clear"], found["published"]) == ("succeeded", 5, True, None)
    assert found["reason"].startswith("5 segments: the highest silhouette, 0.554; ")
    rows = connection.execute(STORED, [found["run_id"]]).fetchall()
    assert [row[0] for row in rows] == list(range(2, 11))
    five = rows[3]
    assert five[1:3] == (pytest.approx(44448.46, abs=0.5), pytest.approx(0.5539, abs=0.0005))
    assert five[3:8] == (True, "euclidean", 200, True, True)
    assert five[8] == pytest.approx(22 / 200)
    assert five[9] > 0.9
    assert [row[0] for row in rows if row[10]] == [5]
    run = connection.execute("SELECT kind, status, version_id, rows_read, exit_code FROM segments.run").fetchall()
    assert run == [("choose_k", "succeeded", None, 200, 0)]
    assert connection.execute("SELECT count(*) FROM segments.version").fetchone() == (0,)


def test_a_person_sees_the_elbow_and_the_reason(mall_project: str, succeed: Succeed) -> None:
    printed = succeed("choose-k", "mall", "--min", "2", "--max", "10")
    lines = printed.splitlines()
    assert "200 customers; silhouettes euclidean, exact" in lines[0]
    (suggested,) = [line.split() for line in lines if line.endswith("suggested") or "suggested " in line]
    assert (suggested[0], suggested[1], suggested[3]) == ("5", "44,448", "0.5539")
    bars = [line.count("█") for line in lines if "█" in line]
    assert len(bars) == 9
    assert bars == sorted(bars, reverse=True)
    assert lines[-1].startswith("5 segments: ")


def test_one_cloud_has_no_clear_number(
    mall_project: str, configure: Callable[..., Path], document: Document, connection: psycopg.Connection
) -> None:
    connection.execute("CREATE TABLE cloud (id integer PRIMARY KEY, x float8, y float8)")
    connection.execute("SELECT setseed(0.5)")
    connection.execute("INSERT INTO cloud SELECT i, random(), random() FROM generate_series(1, 500) AS i")
    configure({"cloud": {"source": "public.cloud", "key": "id", "features": ["x", "y"], "n_clusters": 3}})
    document("migrate")
    found = document("choose-k", "cloud", "--max", "6")
    assert (found["suggested"], found["clear"]) == (None, False)
    assert found["reason"].startswith("no clear k: ")
    assert [one["n_clusters"] for one in found["candidates"]] == [2, 3, 4, 5, 6]
    assert not any(one["suggested"] for one in found["candidates"])
    stored = connection.execute("SELECT warnings, params FROM segments.run").fetchone()
    assert stored == ([found["reason"]], {"min": "2", "max": "6"})


def test_the_same_numbers_come_out_again(mall_project: str, document: Document) -> None:
    first, second = (document("choose-k", "mall", "--max", "6") for _ in range(2))
    for varying in ("run_id", "seconds"):
        del first[varying], second[varying]
    assert first == second


def test_the_report_draws_what_was_tried(mall_project: str, succeed: Succeed, tmp_path: Path) -> None:
    succeed("run", "mall")
    succeed("report", "mall", "--out", "before.html")
    succeed("choose-k", "mall", "--max", "6")
    succeed("report", "mall", "--out", "after.html")
    assert "How many segments" not in (tmp_path / "before.html").read_text()
    page = (tmp_path / "after.html").read_text()
    assert "How many segments" in page
    assert "Suggested: 5 segments." in page


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--min", "1"], 2, "'--min'"),
        (["--min", "5", "--max", "4"], 2, "--min 5 is more than --max 4"),
        (["--param", "as_of=today"], 78, "unknown parameter"),
    ],
)
def test_a_wrong_command_line_is_refused(
    options: list[str], code: int, message: str, mall_project: str, segjob: Segjob
) -> None:
    done = segjob("choose-k", "mall", *options)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_too_few_customers_for_the_smallest_number_are_told(
    mall_project: str, segjob: Segjob, connection: psycopg.Connection
) -> None:
    connection.execute("DELETE FROM mall_customer WHERE customer_id > 3")
    done = segjob("choose-k", "mall", "--min", "4", "--json")
    assert done.returncode == 65
    assert "3 customers can not make 4 segments" in json.loads(done.stdout)["error"]["message"]
    assert connection.execute("SELECT kind, status, exit_code FROM segments.run").fetchall() == [
        ("choose_k", "failed", 65)
    ]


def test_a_run_with_a_range_chooses_and_records(
    mall: str, configure: Callable[..., Path], document: Document, connection: psycopg.Connection
) -> None:
    configure({"mall": MALL | {"n_clusters": {"min": 3, "max": 7}}})
    document("migrate")
    found = document("run", "mall")
    assert (found["status"], found["n_segments"]) == ("published", 5)
    stored = connection.execute(
        "SELECT n_clusters, suggested FROM segments.k_candidate WHERE run_id = %s ORDER BY 1", [found["run_id"]]
    ).fetchall()
    assert stored == [(3, False), (4, False), (5, True), (6, False), (7, False)]
    tried = document("choose-k", "mall")
    assert ([one["n_clusters"] for one in tried["candidates"]], tried["published"]) == ([3, 4, 5, 6, 7], 5)
    assert tried["reason"].startswith("5 segments: as published, with the highest silhouette")
