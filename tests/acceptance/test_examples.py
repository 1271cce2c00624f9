"""The examples answer what they say, to somebody who may see the analysts' views and the orders and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import yaml
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from segjob.postgres.connecting.connect import Database
from segjob.shipped import sql_dir
from segjob.shop import create_shop
from tests.acceptance.conftest import write_configuration
from tests.command import run_segjob
from tests.servers import fresh_database

pytestmark = pytest.mark.long

EXAMPLES = sorted((sql_dir() / "examples").glob("*.sql"))
Row = dict[str, Any]

A_WEEK_BEFORE = "UPDATE segjob.publication SET published_at = published_at - INTERVAL '7 days' WHERE publication = 1"
ORDER_BETWEEN = """
INSERT INTO shop.orders (order_id, customer_id, ordered_on, amount)
SELECT -1, min(customer_id), current_date - 3, 12345 FROM segments.shop_history
WHERE valid_to < now() AND customer_id IN (SELECT customer_id FROM segments.shop)
"""


@pytest.fixture(scope="module")
def analyst(
    server_url: str, server_connection: psycopg.Connection, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[psycopg.Connection[Row]]:
    """An analyst's session on the demo's shop, after two runs between which a tenth of the customers ordered more."""
    folder, role = tmp_path_factory.mktemp("examples"), f"analyst_{uuid4().hex}"
    configured = yaml.safe_load((sql_dir() / "demo" / "segjob.yaml").read_text())["segmentations"]
    fewer = {"shop": configured["shop"] | {"where": "customer_id % 5 = 0"}}
    write_configuration(folder, fewer, analysts=[role])
    server_connection.execute(f"CREATE ROLE {role}".encode())
    try:
        with fresh_database(server_url, server_connection) as url:
            with Database(url).begin() as transaction:
                create_shop(transaction)
            for command in ("migrate", "run shop"):
                done = run_segjob(folder, url, *command.split())
                assert done.returncode == 0, done.stderr
            with psycopg.connect(url, autocommit=True) as owner:
                owner.execute("UPDATE shop.orders SET amount = amount * 5 WHERE customer_id % 50 = 0")
                owner.execute(f"GRANT USAGE ON SCHEMA shop TO {role}; GRANT SELECT ON shop.orders TO {role}".encode())
            done = run_segjob(folder, url, "run", "shop")
            assert done.returncode == 0, done.stderr
            with psycopg.connect(url, autocommit=True) as owner:
                for statement in A_WEEK_BEFORE, ORDER_BETWEEN:
                    owner.execute(statement)
            place = make_conninfo(url, options=f"-c role={role}")
            with psycopg.connect(place, autocommit=True, row_factory=dict_row) as session:
                yield session
    finally:
        server_connection.execute(f"DROP ROLE {role}".encode())


def answer(analyst: psycopg.Connection[Row], name: str) -> list[Row]:
    (path,) = [path for path in EXAMPLES if path.stem.endswith(name)]
    return analyst.execute(path.read_bytes()).fetchall()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_begins_with_its_question_and_has_an_answer(path: Path, analyst: psycopg.Connection[Row]) -> None:
    text = path.read_text()
    assert text.startswith("-- ")
    assert "?" in text.partition("\nSELECT")[0]
    assert analyst.execute(text.encode()).fetchall() != []


def test_the_analyst_sees_nothing_else(analyst: psycopg.Connection[Row]) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        analyst.execute("SELECT FROM segjob.version")


def test_sizes_over_time_are_those_of_the_versions(analyst: psycopg.Connection[Row]) -> None:
    sizes = answer(analyst, "sizes-over-time")
    for version in analyst.execute("SELECT version_id, n_customers FROM segments.version").fetchall():
        of_it = [row["customers"] for row in sizes if row["version_id"] == version["version_id"]]
        assert sum(of_it) == version["n_customers"]
    now = analyst.execute("SELECT segment_id, n_customers FROM segments.shop_profile").fetchall()
    assert {(row["segment_id"], row["customers"]) for row in sizes if row["version_id"] == 2} == {
        (row["segment_id"], row["n_customers"]) for row in now
    }


def test_who_is_far_out_is_farther_than_the_others(analyst: psycopg.Connection[Row]) -> None:
    far = answer(analyst, "far-from-their-centroid")
    assert 5 <= len(far) <= 10
    farther = "SELECT FROM segments.shop WHERE segment_id = %s AND distance > %s"
    assert {analyst.execute(farther, [row["segment_id"], row["distance"]]).rowcount for row in far} <= {0, 1}


def test_who_moved_last_month_is_who_moved_between_the_two_runs(analyst: psycopg.Connection[Row]) -> None:
    moved = answer(analyst, "who-moved-last-month")
    compared = answer(analyst, "comparison-of-two-versions")
    assert len(moved) == sum(row["n_customers"] for row in compared if row["from_segment_id"] and row["to_segment_id"])


def test_an_order_counts_for_the_segment_of_its_day(analyst: psycopg.Connection[Row]) -> None:
    """One lies between the two publications, of a customer who moved; all others are older."""
    moved = {row["customer_id"]: row["was"] for row in answer(analyst, "who-moved-last-month")}
    known = [row for row in answer(analyst, "revenue-as-of-the-order") if row["segment_id"]]
    bought = analyst.execute("SELECT customer_id FROM shop.orders WHERE amount = 12345").fetchone()
    assert bought is not None
    assert [(row["segment_name"], row["orders"], float(row["revenue"])) for row in known] == [
        (moved[bought["customer_id"]], 1, 12345.0)
    ]


def test_freshness_is_one_row(analyst: psycopg.Connection[Row]) -> None:
    (row,) = answer(analyst, "freshness")
    assert (row["version_id"], row["last_status"], row["fit_due"]) == (2, "succeeded", False)
    assert 0 < row["age_of_the_data"].total_seconds() < 600


def test_the_comparison_lists_who_moved(analyst: psycopg.Connection[Row]) -> None:
    rows = answer(analyst, "comparison-of-two-versions")
    churn = analyst.execute("SELECT label_churn FROM segments.version WHERE version_id = 2").fetchone()
    assert churn is not None
    moved = sum(row["n_customers"] for row in rows if row["from_segment_id"] and row["to_segment_id"])
    assert moved > 0
    assert moved / 4_000 == pytest.approx(churn["label_churn"], rel=0.05)
