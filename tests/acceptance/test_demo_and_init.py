"""The first commands that a newcomer calls."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import yaml

Segjob = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_demo_finds_the_segments_that_its_shop_was_drawn_from(segjob: Segjob, tmp_path: Path) -> None:
    done = segjob("demo", "--json", fresh=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["n_segments"], found["status"]) == (5, "published")
    assert found["adjusted_rand_index"] >= 0.9
    assert "<html" in (tmp_path / found["report"]).read_text()[:200]
    again = segjob("demo", fresh=True)
    assert again.returncode == 0, again.stderr
    assert "version 2 published" in again.stdout
    assert again.stdout.count("FROM segments.shop") == 3
    assert "adjusted Rand index" in again.stdout


def test_init_writes_a_configuration_that_works_and_never_overwrites(mall: str, segjob: Segjob, tmp_path: Path) -> None:
    done = segjob("init", "--yes")
    assert done.returncode == 0, done.stderr
    written = yaml.safe_load((tmp_path / "segjob.yaml").read_text())
    assert written["segmentations"]["mall_customer"]["key"] == "customer_id"
    assert written["segmentations"]["mall_customer"]["features"] == ["age", "annual_income", "spending_score"]
    assert "encode: onehot" in (tmp_path / "segjob.yaml").read_text()
    for command in (["migrate"], ["check"], ["run", "--all"]):
        assert segjob(*command).returncode == 0
    before = (tmp_path / "segjob.yaml").read_text()
    again = segjob("init", "--yes")
    assert again.returncode == 78
    assert "not overwritten" in again.stderr
    assert (tmp_path / "segjob.yaml").read_text() == before


def test_init_asks_which_table_when_there_are_several(mall: str, segjob: Segjob, tmp_path: Path) -> None:
    with psycopg.connect(mall, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.other (other_id bigint PRIMARY KEY, amount numeric)")
    done = segjob("init", stdin="public.other\n", fresh=True)
    assert done.returncode == 0, done.stderr
    assert "source: public.other" in (tmp_path / "segjob.yaml").read_text()


def test_init_names_the_nearest_table(mall: str, segjob: Segjob) -> None:
    done = segjob("init", "--table", "public.mall_custmer")
    assert done.returncode == 78
    assert "public.mall_customer" in done.stderr
