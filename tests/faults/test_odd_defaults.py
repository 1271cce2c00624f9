"""What a DBA has set for a role or a database long ago, and a result that has nowhere to go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict

from tests import servers
from tests.faults.expected_shop import Fit, Forget, Labels, Republish, Rewrite, Score
from tests.faults.server import MortalServer
from tests.faults.shop import SHOP, Actual, customers, prepare, settings_of
from tests.waiting import wait_until

DEFAULTS = {
    "array_nulls": "off",
    "bytea_output": "escape",
    "check_function_bodies": "off",
    "client_encoding": "LATIN1",
    "client_min_messages": "error",
    "constraint_exclusion": "off",
    "datestyle": "German, DMY",
    "default_statistics_target": "1",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "enable_partition_pruning": "off",
    "extra_float_digits": "-10",
    "intervalstyle": "sql_standard",
    "plan_cache_mode": "force_generic_plan",
    "quote_all_identifiers": "on",
    "search_path": "pg_temp",
    "standard_conforming_strings": "off",
    "timezone": "Asia/Kathmandu",
    "transform_null_equals": "on",
}
LABELS = "SELECT id, segment_id, distance, simplified_silhouette, runner_up_segment_id FROM segments.shop ORDER BY id"
CENTROIDS = "SELECT segment_id, feature, value, scaled_value, segment_mean FROM segments.shop_centroid ORDER BY 1, 2"
SLEEPING = "SELECT FROM pg_stat_activity WHERE query LIKE 'COPY%pg_sleep%' AND state = 'active'"


@pytest.fixture
def url(mortal: MortalServer) -> Iterator[str]:
    with mortal.connect() as server, servers.fresh_database(mortal.url, server) as fresh:
        yield fresh


@pytest.fixture
def actual(url: str, tmp_path: Path) -> Iterator[Actual]:
    """A shop in which nothing is published yet."""
    prepare(tmp_path, url)
    with psycopg.connect(url, autocommit=True) as admin:
        shop = Actual(admin, settings_of(tmp_path, url, watermark=False))
        shop.execute(Rewrite(customers({21: 0, 22: 1, 23: None})))
        yield shop


def results(actual: Actual) -> list[Any]:
    """What analysts see after each of some commands, to the last bit."""
    seen: list[Any] = []
    others: tuple[Labels, ...] = ({21: 0, 22: 1}, {21: 2, 24: 3}, {25: None, 26: 1})
    for one, source in enumerate(others):
        actual.execute(Rewrite(customers(source)))
        for command in (Score(),) if one == 1 else (Fit(publish=True), Forget((22,))):
            assert actual.execute(command) == 0
            seen += [actual.admin.execute(query.encode(), binary=True).fetchall() for query in (LABELS, CENTROIDS)]
    assert actual.execute(Republish(None)) == 0
    return [*seen, actual.admin.execute(LABELS.encode(), binary=True).fetchall()]


def test_no_default_of_a_database_changes_a_bit_of_the_result(mortal: MortalServer, tmp_path: Path) -> None:
    found = []
    for defaults in ({}, DEFAULTS):
        with mortal.connect() as server, servers.fresh_database(mortal.url, server) as url:
            for name, value in defaults.items():
                server.execute(f"ALTER DATABASE {conninfo_to_dict(url)['dbname']} SET {name} = {value!r}".encode())
            prepare(tmp_path, url)
            with psycopg.connect(url, autocommit=True) as admin:
                found.append(results(Actual(admin, settings_of(tmp_path, url, watermark=True))))
    assert found[0] == found[1]


def started(folder: Path, *arguments: str, **streams: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "segjob", *arguments]
    silent = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # who ignores Ctrl-C leaves that to the children
    given = {**silent, "text": True, "preexec_fn": heard, **streams}
    return subprocess.Popen(command, cwd=folder, env=dict(os.environ), **given)


def last_run(actual: Actual) -> tuple[Any, ...]:
    return actual.rows("SELECT status, exit_code FROM segjob.run ORDER BY run_id DESC LIMIT 1")[0]


def test_a_result_that_can_not_be_printed_is_told_and_what_was_done_stays(actual: Actual, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = started(tmp_path, "run", "shop", "--json", stdout=full)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 75
    assert "the result could not be printed (No space left on device); what the command was to do is done" in said
    assert "Traceback" not in said
    assert last_run(actual) == ("succeeded", 0)
    assert actual.visible


def test_whoever_reads_the_first_lines_only_has_got_what_was_wanted(actual: Actual, tmp_path: Path) -> None:
    assert actual.execute(Fit(publish=True)) == 0
    reading, writing = os.pipe()
    os.close(reading)
    process = started(tmp_path, "versions", "shop", stdout=writing)
    os.close(writing)
    assert (process.communicate(timeout=120)[1], process.returncode) == ("", 0)


def test_a_full_disk_under_the_log_is_no_reason_to_give_up(actual: Actual, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = started(tmp_path, "run", "shop", stderr=full)
        process.communicate(timeout=120)
    assert (process.returncode, last_run(actual)) == (0, ("succeeded", 0))


def test_ctrl_c_ends_a_run_in_order_and_it_is_marked(actual: Actual, url: str, tmp_path: Path) -> None:
    slow = {name: value for name, value in SHOP.items() if name != "source"}
    slow["query"] = "SELECT c.* FROM public.customer AS c CROSS JOIN (SELECT pg_sleep(60)) AS s"
    document = {"database": {"url": url}, "segmentations": {"shop": slow}}
    (tmp_path / "segjob.yaml").write_text(yaml.safe_dump(document))
    process = started(tmp_path, "run", "shop", "--json")
    wait_until(lambda: actual.rows(SLEEPING), seconds=60)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=10)
    assert process.returncode == 130, said
    assert '"code": "interrupted"' in printed
    assert last_run(actual) == ("stopped", 130)
