"""Generated customers are the same everywhere, and contenders are measured side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from benchmarks.contenders import CONTENDERS
from benchmarks.customers import KEYS, Customers, change, make

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def value(connection: psycopg.Connection, statement: str) -> object:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]


def test_customers_are_the_same_at_every_call(connection: psycopg.Connection) -> None:
    """A sum that any change of the generated values would change: figures stay comparable as long as it stands."""
    make(connection, Customers(1000, 3))
    rows = "SELECT customer_id, round(f0::numeric, 6), round(f1::numeric, 6), round(f2::numeric, 6)"
    digest = (
        f"SELECT md5(string_agg(c::text, ',' ORDER BY customer_id)) FROM ({rows} FROM {Customers(1000, 3).table}) AS c"
    )
    assert value(connection, digest) == "3e5c2ff9167d5a1a324ccd2ada121762"


@pytest.mark.parametrize("key", KEYS)
def test_every_type_of_key_is_unique_and_as_asked(connection: psycopg.Connection, key: str) -> None:
    customers = Customers(1000, 1, key)
    make(connection, customers)
    assert value(connection, f"SELECT count(DISTINCT customer_id) FROM {customers.table}") == 1000
    assert value(connection, f"SELECT pg_typeof(customer_id)::text FROM {customers.table}") == {"int": "integer"}.get(
        key, key
    )


def test_the_share_of_nulls_is_as_asked_in_every_feature(connection: psycopg.Connection) -> None:
    customers = Customers(20_000, 2, nulls=0.3)
    make(connection, customers)
    for feature in customers.feature_names:
        missing = value(connection, f"SELECT avg(({feature} IS NULL)::integer)::float8 FROM {customers.table}")
        assert missing == pytest.approx(0.3, abs=0.02)


def test_a_tenth_changes_and_another_tenth_at_the_next_turn(connection: psycopg.Connection) -> None:
    customers = Customers(20_000, 1, changing=True)
    make(connection, customers)
    connection.execute(f"CREATE TABLE public.before AS SELECT * FROM {customers.table}".encode())
    changed = f"SELECT count(*) / 20000.0 FROM {customers.table} JOIN public.before AS b USING (customer_id)"
    moved = f"{changed} WHERE {customers.table}.f0 <> b.f0"
    change(connection, customers, 0)
    assert float(str(value(connection, moved))) == pytest.approx(0.1, abs=0.01)
    change(connection, customers, 1)
    assert float(str(value(connection, moved))) == pytest.approx(0.19, abs=0.02)


def test_a_comparison_measures_whole_processes_with_their_phases(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks", "compare", "--rows", "2000", "--times", "1", "--json", str(found)]
    done = subprocess.run(
        [*command, "--contenders", "segjob", "psql"], check=False, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "2,000 customers x 7, bigint key, k = 8; median of 1" in done.stdout
    (comparison,) = json.loads(found.read_text())
    for name, (measured,) in comparison["measured"].items():
        assert name in CONTENDERS
        assert measured["client_cpu"] + measured["server_cpu"] > 0
        assert measured["wall"] > max(measured["phases"].values()) > 0
        assert measured["wal"] > 2000 * 40
    assert list(comparison["measured"]) == ["segjob", "psql"]
