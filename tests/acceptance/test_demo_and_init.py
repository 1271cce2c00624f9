"""The first commands that a newcomer calls."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import yaml

Segjob = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_demo_finds_the_segments_that_its_shop_was_drawn_from(segjob: Segjob, tmp_path: Path) -> None:
    done = segjob("demo", fresh=True)
    assert done.returncode == 0, done.stderr
    assert "shop, version 1 published" in done.stdout
    agreement = re.search(r"adjusted Rand index\): (\S+)", done.stdout)
    assert agreement
    assert float(agreement.group(1)) >= 0.9
    assert done.stdout.count("FROM segments.shop") == 3
    report = re.search(r"^report: (.+)$", done.stdout, re.MULTILINE)
    assert report
    assert "<html" in (tmp_path / report.group(1)).read_text()[:200]


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
