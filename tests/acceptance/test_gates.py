"""Gates as a user meets them: what is refused is never seen, and says why."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import servers
from tests.acceptance.conftest import MALL

pytestmark = pytest.mark.long

Document = Callable[..., Any]
Segjob = Callable[..., "subprocess.CompletedProcess[str]"]
BOUNDS = {  # what the mall measures beside itself: 200 customers, no change, 0.5539, 22 of 200, nobody moves
    "min_customers": 201,
    "max_volume_change": 0.0,
    "min_silhouette": 0.56,
    "min_segment_share": 0.12,
}


@pytest.fixture
def database_url(server_url: str, server_connection: psycopg.Connection, published_mall: str) -> Iterator[str]:
    """A copy of the database in which the mall was run once."""
    with servers.fresh_database(server_url, server_connection, published_mall) as url:
        yield url


def visible(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """All that analysts see of the mall."""
    return connection.execute("SELECT * FROM segments.mall ORDER BY customer_id").fetchall()


@pytest.mark.parametrize("gate", BOUNDS)
def test_a_gate_that_refuses_keeps_the_version_from_being_seen(
    gate: str,
    mall_published: str,
    configure: Callable[..., Path],
    segjob: Segjob,
    connection: psycopg.Connection,
) -> None:
    before = visible(connection)
    configure({"mall": MALL | {"gates": {gate: {"refuse": BOUNDS[gate]}}}})
    done = segjob("run", "mall", "--json")
    assert done.returncode == 3
    assert f"gate {gate}: measured " in done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["version_id"], len(found["segments"])) == ("rejected", 2, 5)
    assert [one["gate"] for one in found["gates"] if one["result"] == "refused"] == [gate]
    assert visible(connection) == before
    assert connection.execute("SELECT status FROM segments.version ORDER BY version_id").fetchall() == [
        ("published",),
        ("rejected",),
    ]
    ended = connection.execute("SELECT status, exit_code, error, version_id FROM segments.run WHERE run_id = 2")
    status, exit_code, error, version_id = ended.fetchone() or ()
    assert (status, exit_code, version_id) == ("rejected", 3, 2)
    assert f"gate {gate}: measured " in error
    stored = connection.execute(
        "SELECT gate, value, warn, refuse, result FROM segments.gate WHERE version_id = 2 ORDER BY gate"
    ).fetchall()
    assert stored == [tuple(one.values()) for one in sorted(found["gates"], key=lambda one: str(one["gate"]))]


def test_gates_that_warn_let_the_version_be_published(
    mall_published: str, configure: Callable[..., Path], document: Document, connection: psycopg.Connection
) -> None:
    configure({"mall": MALL | {"gates": {gate: {"warn": bound} for gate, bound in BOUNDS.items()}}})
    found = document("run", "mall")
    assert found["status"] == "published"
    assert [one["gate"] for one in found["gates"] if one["result"] == "warned"] == list(BOUNDS)
    warnings = [one for one in found["warnings"] if one.startswith("gate ")]
    assert [one.split(":")[0] for one in warnings] == [f"gate {gate}" for gate in BOUNDS]
    stored = connection.execute("SELECT version_id, status, warnings FROM segments.run WHERE run_id = 2").fetchone()
    assert stored == (2, "succeeded", found["warnings"])


def test_without_a_word_half_the_customers_are_refused_and_other_customers_are_not_compared(
    mall_published: str,
    configure: Callable[..., Path],
    segjob: Segjob,
    document: Document,
    connection: psycopg.Connection,
) -> None:
    connection.execute("DELETE FROM public.mall_customer WHERE customer_id % 2 = 0")
    refused = segjob("run", "mall", "--json")
    assert refused.returncode == 3
    (volume,) = [one for one in json.loads(refused.stdout)["gates"] if one["gate"] == "max_volume_change"]
    assert volume == {"gate": "max_volume_change", "value": 0.5, "warn": 0.2, "refuse": 0.5, "result": "refused"}
    configure({"mall": MALL | {"where": "customer_id > 0"}})
    other = document("run", "mall")
    assert (other["status"], other["version_id"]) == ("published", 3)
    results = {one["gate"]: (one["value"], one["result"]) for one in other["gates"]}
    assert results["max_volume_change"] == results["max_label_churn"] == (None, "skipped")


def test_a_gate_that_is_switched_off_measures_nothing(
    mall_published: str, configure: Callable[..., Path], document: Document, connection: psycopg.Connection
) -> None:
    connection.execute("DELETE FROM public.mall_customer WHERE customer_id % 2 = 0")
    configure({"mall": MALL | {"gates": {"max_volume_change": None, "max_label_churn": None}}})
    assert [one["gate"] for one in document("run", "mall")["gates"]] == ["min_silhouette"]


def test_a_dry_run_says_what_the_gates_would_and_writes_nothing(
    mall_published: str, configure: Callable[..., Path], segjob: Segjob, connection: psycopg.Connection
) -> None:
    configure({"mall": MALL | {"gates": {"min_customers": {"refuse": 201}}}})
    done = segjob("run", "mall", "--dry-run", "--json")
    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert found["status"] == "dry_run"
    assert found["gates"][0]["result"] == "refused"
    assert "gate min_customers: measured 200, refuses under 201" in done.stderr
    assert connection.execute("SELECT count(*) FROM segments.version").fetchone() == (1,)
    assert connection.execute("SELECT count(*) FROM segments.run").fetchone() == (1,)


def test_a_version_that_is_kept_back_is_asked_too(
    mall_published: str, configure: Callable[..., Path], segjob: Segjob, document: Document
) -> None:
    assert document("run", "mall", "--no-publish")["status"] == "staged"
    configure({"mall": MALL | {"gates": {"min_customers": {"refuse": 201}}}})
    assert segjob("run", "mall", "--no-publish").returncode == 3
    assert [one["status"] for one in document("versions", "mall")] == ["rejected", "staged", "published"]


def test_a_rejected_version_can_be_looked_at_and_the_next_run_is_compared_with_the_published_one(
    mall_published: str,
    configure: Callable[..., Path],
    segjob: Segjob,
    succeed: Callable[..., str],
    document: Document,
    tmp_path: Path,
) -> None:
    configure({"mall": MALL | {"gates": {"min_customers": {"refuse": 201}}}})
    assert segjob("run", "mall").returncode == 3
    shown = document("show", "mall", "2")
    assert (shown["status"], shown["parent_version_id"]) == ("rejected", 1)
    assert {"gate": "min_customers", "value": 200, "warn": None, "refuse": 201, "result": "refused"} in shown["gates"]
    assert "refused" in succeed("show", "mall", "2")
    succeed("report", "mall", "2", "--out", "rejected.html")
    page = (tmp_path / "rejected.html").read_text()
    assert "min_customers" in page
    assert "Customers from version 1 to this one" in page
    assert document("export", "mall", "2", "--out", "rejected.csv")["n_customers"] == 200
    configure({"mall": MALL})
    assert document("run", "mall")["status"] == "published"
    assert document("show", "mall")["parent_version_id"] == 1
