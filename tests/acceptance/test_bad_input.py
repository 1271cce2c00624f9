"""What a user gets who asks for something impossible: one clear sentence, the contract's exit code, nothing lost."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.acceptance.conftest import MALL

pytestmark = pytest.mark.long

Segjob = Callable[..., "subprocess.CompletedProcess[str]"]
Configure = Callable[..., Path]


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The exit code, and a sentence with these words; no traceback."""
    assert done.returncode == code, done.stderr + done.stdout
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr


def last_run(connection: psycopg.Connection) -> tuple[Any, ...]:
    row = connection.execute(
        "SELECT status, exit_code, error FROM segments.run ORDER BY run_id DESC LIMIT 1"
    ).fetchone()
    assert row is not None
    return row


def test_a_wrong_column_is_named_with_the_nearest_one(mall: str, configure: Configure, segjob: Segjob) -> None:
    configure({"mall": MALL | {"features": ["anual_income"]}})
    for command in (("migrate",), ("check", "mall")):
        refused(segjob(*command), 78, "anual_income", "annual_income")


def test_a_text_column_without_encoding_is_refused_by_type(mall: str, configure: Configure, segjob: Segjob) -> None:
    configure({"mall": MALL | {"features": ["gender"]}})
    refused(segjob("check"), 78, "gender", "text", "onehot")


def test_an_unknown_key_is_named_with_its_path(mall: str, configure: Configure, segjob: Segjob) -> None:
    configure({"mall": {**MALL, "n_cluster": 5}})
    refused(segjob("run", "mall"), 78, "segmentations.mall.n_cluster", "n_clusters")


def test_no_server(configure: Configure, segjob: Segjob) -> None:
    configure({"mall": MALL})
    nobody = "postgresql://somebody:hidden-canary@127.0.0.1:1/nothing"
    done = segjob("run", "mall", "--json", env={"DATABASE_URL": nobody}, timeout=60)
    refused(done, 69, "no database answers")
    error = json.loads(done.stdout)
    assert error["status"] == "failed"
    assert (error["error"]["code"], error["error"]["exit_code"]) == ("unavailable", 69)
    assert "hidden-canary" not in done.stdout + done.stderr


def test_a_wrong_password_is_refused_at_once_and_told_nowhere(mall: str, configure: Configure, segjob: Segjob) -> None:
    configure({"mall": MALL})
    place = urlsplit(mall)
    assert place.password
    wrong = mall.replace(f":{place.password}@", ":wrong-canary@", 1)
    began = time.monotonic()
    done = segjob("run", "mall", "--json", env={"DATABASE_URL": wrong})
    refused(done, 77, "password authentication failed")
    assert time.monotonic() - began < 8, "it was tried again"
    assert "wrong-canary" not in done.stdout + done.stderr


def test_a_database_that_does_not_exist_is_a_matter_of_configuration(
    mall: str, configure: Configure, segjob: Segjob
) -> None:
    configure({"mall": MALL})
    name = urlsplit(mall).path.removeprefix("/")
    refused(segjob("run", "mall", env={"DATABASE_URL": mall.replace(name, "nothing_here")}), 78, "nothing_here")


def test_an_empty_table(mall_project: str, segjob: Segjob, connection: psycopg.Connection) -> None:
    connection.execute("TRUNCATE public.mall_customer")
    refused(segjob("run", "mall"), 65, "no rows")
    assert last_run(connection)[:2] == ("failed", 65)


def test_more_segments_than_customers(mall: str, configure: Configure, segjob: Segjob) -> None:
    configure({"mall": MALL | {"n_clusters": 201}})
    assert segjob("migrate").returncode == 0
    refused(segjob("run", "mall"), 65, "200", "201")


def test_a_duplicate_key_is_found_and_the_published_version_stays(
    mall: str, configure: Configure, segjob: Segjob, connection: psycopg.Connection
) -> None:
    configure({"mall": MALL | {"source": "public.twice"}})
    connection.execute("CREATE VIEW public.twice AS SELECT * FROM public.mall_customer")
    assert segjob("migrate").returncode == 0
    assert segjob("run", "mall").returncode == 0
    connection.execute(
        "CREATE OR REPLACE VIEW public.twice AS SELECT * FROM public.mall_customer"
        " UNION ALL SELECT * FROM public.mall_customer WHERE customer_id = 77"
    )
    done = segjob("run", "mall")
    refused(done, 65, "customer_id", "not unique")
    assert "77" not in done.stderr.splitlines()[-1], "the sentence names a customer"
    assert "77" not in last_run(connection)[2]
    assert connection.execute("SELECT count(*), max(version_id) FROM segments.mall").fetchone() == (200, 1)
    assert last_run(connection)[:2] == ("failed", 65)
    leftovers = connection.execute(
        "SELECT relname FROM pg_class WHERE relname LIKE 'label_mall$%' AND relkind = 'r' ORDER BY 1"
    ).fetchall()
    assert leftovers == [("label_mall$1",)]


def test_a_null_key_is_found(mall: str, configure: Configure, segjob: Segjob, connection: psycopg.Connection) -> None:
    configure({"mall": MALL | {"source": "public.keyless"}})
    connection.execute(
        "CREATE VIEW public.keyless AS SELECT nullif(customer_id, 9) AS customer_id, annual_income, spending_score"
        " FROM public.mall_customer"
    )
    assert segjob("migrate").returncode == 0
    refused(segjob("run", "mall"), 65, "customer_id", "NULL")


def test_a_schema_that_nobody_migrated(mall: str, configure: Configure, segjob: Segjob) -> None:
    configure({"mall": MALL})
    for command in (("run", "mall"), ("status",), ("versions", "mall"), ("show", "mall")):
        refused(segjob(*command), 78, "segjob migrate")


def test_a_column_that_changed_its_type_asks_for_migrate(
    mall_project: str, segjob: Segjob, connection: psycopg.Connection
) -> None:
    connection.execute("ALTER TABLE public.mall_customer ALTER annual_income TYPE numeric(10, 2)")
    refused(segjob("run", "mall"), 78, "changed", "segjob migrate")
    assert segjob("migrate").returncode == 0
    assert segjob("run", "mall").returncode == 0


def test_an_unknown_segmentation_and_a_wrong_command_line(mall_project: str, segjob: Segjob) -> None:
    refused(segjob("run", "mal"), 78, "mal", "mall")
    assert segjob("run").returncode == 2
    assert segjob("walk").returncode == 2
    assert segjob("predict", "mall", "--set", "anual_income=3").returncode in (2, 65)


def test_a_report_that_can_not_be_written(mall_project: str, segjob: Segjob) -> None:
    assert segjob("run", "mall").returncode == 0
    refused(segjob("report", "mall", "--out", "/nowhere/at/all.html"), 78, "/nowhere/at/all.html")


def test_a_source_without_the_right_to_read_it(
    mall_project: str, segjob: Segjob, connection: psycopg.Connection
) -> None:
    connection.execute("DROP ROLE IF EXISTS segjob_test_stranger")
    connection.execute("CREATE ROLE segjob_test_stranger")
    try:
        options = f"{mall_project}{'&' if '?' in mall_project else '?'}options=-crole%3Dsegjob_test_stranger"
        refused(segjob("run", "mall", env={"DATABASE_URL": options}), 77, "mall_customer")
    finally:
        connection.execute("DROP ROLE segjob_test_stranger")


def test_one_failure_among_several_leaves_the_others_done(
    mall: str, configure: Configure, segjob: Segjob, connection: psycopg.Connection
) -> None:
    connection.execute("CREATE TABLE public.nobody (LIKE public.mall_customer)")
    configure({"none": MALL | {"source": "public.nobody"}, "mall": MALL})
    assert segjob("migrate").returncode == 0
    done = segjob("run", "--all", "--json")
    assert done.returncode == 65
    first, second = json.loads(done.stdout)
    assert (first["segmentation"], first["error"]["exit_code"]) == ("none", 65)
    assert (second["segmentation"], second["status"]) == ("mall", "published")
