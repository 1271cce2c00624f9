"""A shop of a few dozen customers in four corners of a square, whose segments anybody can tell, in a database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml

from segjob.commands.migrate import migrate
from segjob.config import Settings, load
from segjob.errors import SegjobError
from segjob.job.forgetting import forget_customers
from segjob.job.pruning import prune_versions
from segjob.job.republishing import Wish, Work, republish
from segjob.job.run import run
from segjob.job.scoring import score
from segjob.job.task import Order
from segjob.postgres.connecting.connect import Database
from segjob.progress import Progress
from tests.faults.expected_shop import (
    KEEP_VERSIONS,
    MAX_VOLUME_CHANGE,
    Command,
    Fit,
    Forget,
    Labels,
    Prune,
    Republish,
    Rewrite,
    Score,
    Shop,
    Stored,
)

FAITHFUL = range(1, 21)  # five in each corner, who never move, leave or are forgotten
SOURCE = """
CREATE TABLE public.customer (
    id integer PRIMARY KEY,
    x double precision,
    y double precision NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
PUT = """
INSERT INTO public.customer (id, x, y) VALUES (%(id)s, %(x)s, %(y)s)
ON CONFLICT (id) DO UPDATE SET x = excluded.x, y = excluded.y, updated_at = excluded.updated_at
WHERE (customer.x, customer.y) IS DISTINCT FROM (excluded.x, excluded.y)
"""
TABLES = """
SELECT c.relname, c.relispartition FROM pg_class c
WHERE c.relnamespace = 'segjob'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname ~ '^(label|membership)_shop'
ORDER BY 1
"""
OF_RUNS = """
SELECT v.version_id FROM segjob.version v JOIN segjob.run r USING (run_id)
WHERE v.published_at IS NULL AND r.status = ANY (%s)
"""
TWO_POINTERS = """
SELECT v.version_id FROM segjob.version v LEFT JOIN segjob.published p USING (segmentation, version_id)
WHERE (v.status = 'published') <> (p.version_id IS NOT NULL)
"""
WRONG_COUNTS = """
SELECT s.segment_id FROM segjob.segment s JOIN segjob.published p USING (segmentation, version_id)
WHERE s.n_customers_now <> (SELECT count(*) FROM segments.shop l WHERE l.segment_id = s.segment_id)
"""
UNTRUE_RUNS = """
SELECT r.run_id FROM segjob.run r
WHERE
    (r.status = 'running') <> (r.finished_at IS NULL)
    OR (r.status = 'succeeded') <> (r.exit_code IS NOT DISTINCT FROM 0)
    OR (r.status <> 'succeeded' AND EXISTS (SELECT FROM segjob.publication p WHERE p.run_id = r.run_id))
    OR (r.status = 'running' AND EXISTS (SELECT FROM segjob.run n WHERE n.kind = r.kind AND n.run_id > r.run_id))
"""
SHOP = {
    "source": "public.customer",
    "key": "id",
    "features": [{"column": "x", "scale": "none", "impute": "exclude"}, {"column": "y", "scale": "none"}],
    "n_clusters": 4,
    "seed": 1,
    "keep_versions": KEEP_VERSIONS,
    "gates": {"max_volume_change": {"refuse": MAX_VOLUME_CHANGE}, "max_label_churn": None, "min_silhouette": None},
}


def corner_of(customer: int) -> int:
    """Where one of the faithful is."""
    return (customer - 1) // 5


def customers(others: Labels) -> Labels:
    """The faithful ones and others."""
    return {one: corner_of(one) for one in FAITHFUL} | others


def place_of(customer: int, corner: int | None) -> dict[str, float | None]:
    """Coordinates: near a corner, or nowhere."""
    offset = customer % 5 + customer / 1000
    y = 100.0 * (corner // 2) if corner is not None else 0.0
    return {"x": 100.0 * (corner % 2) + offset if corner is not None else None, "y": y - offset / 2}


def settings_of(folder: Path, url: str, watermark: bool) -> Settings:
    segmentation = SHOP | ({"watermark": "updated_at"} if watermark else {})
    file = folder / "segjob.yaml"
    file.write_text(yaml.safe_dump({"database": {"url": url}, "segmentations": {"shop": segmentation}}))
    return load(file)


def prepare(folder: Path, url: str) -> None:
    """The tables, empty."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SOURCE)
    migrate(settings_of(folder, url, watermark=False), "head")


class Silence:
    """A view of progress that looks away."""

    def began(self, phase: object) -> None: ...
    def advanced(self, phase: object) -> None: ...
    def ended(self, phase: object, finished: bool) -> None: ...
    def say(self, level: str, event: str, facts: dict[str, object]) -> None: ...


@dataclass(frozen=True)
class Actual:
    """The shop in a database, asked and changed through a session that nothing interrupts."""

    admin: psycopg.Connection
    settings: Settings

    @property
    def database(self) -> Database:
        return Database(self.settings.database.conninfo)

    def execute(self, command: Command) -> int:
        """Do what a command does; returns its exit code."""
        try:
            return self.call(command)
        except SegjobError as error:
            return error.exit_code

    def call(self, command: Command) -> int:
        progress = Progress("shop", Silence())
        ours = (self.database, self.settings, "shop")
        match command:
            case Fit(publish=publish):
                return 3 if run(*ours, Order(publish=publish), progress)["status"] == "rejected" else 0
            case Score():
                score(*ours, {}, progress)
            case Republish(kind=kind, number=number, force=force):
                reason = "to see" if force else None
                republish(
                    Work(*ours, Wish("publish" if kind == "publish" else "rollback", number, force, reason), progress)
                )
            case Forget(customers=ones):
                forget_customers(*ours, [[str(one)] for one in ones], progress)
            case Prune():
                prune_versions(*ours, progress)
            case Rewrite(source=source):
                self.rewrite(source)
        return 0

    def rewrite(self, source: Labels) -> None:
        with self.admin.transaction(), self.admin.cursor() as cursor:
            cursor.execute("DELETE FROM public.customer WHERE id <> ALL (%s)", [list(source)])
            cursor.executemany(PUT, [{"id": one, **place_of(one, corner)} for one, corner in source.items()])

    # What is stored

    def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return self.admin.execute(query.encode(), arguments or None).fetchall()

    @property
    def stored(self) -> Stored:
        """As `expected_shop.Shop.stored` has it."""
        found = self.rows("SELECT version_id, parent_version_id, status, gated, n_customers FROM segjob.version")
        versions = {
            number: (parent, status, gated, n_customers, None if status == "pruned" else self.labels(number))
            for number, parent, status, gated, n_customers in found
        }
        log = self.rows("SELECT kind, version_id, published_at FROM segjob.publication ORDER BY publication")
        as_of = "SELECT id, segment_id FROM segments.shop_as_of(%s)"
        return versions, [(kind, number, in_corners(self.rows(as_of, when))) for kind, number, when in log]

    def of_runs(self, *statuses: str) -> set[int]:
        """Versions that nobody published and whose run is said to be so."""
        return {number for (number,) in self.rows(OF_RUNS, [*statuses])}

    def labels(self, number: int) -> Labels:
        return in_corners(self.rows(f'SELECT id, segment_id FROM segjob."label_shop${number}"'))

    @property
    def visible(self) -> Labels:
        return in_corners(self.rows("SELECT id, segment_id FROM segments.shop"))

    def half_detached(self) -> bool:
        return bool(self.rows("SELECT FROM pg_inherits WHERE inhdetachpending"))

    def leftovers(self, shop: Shop) -> list[str]:
        """Tables that nobody needs, and versions that are attached for nobody."""
        numbers = [number for number, one in shop.versions.items() if one.labels is not None]
        needed = {"label_shop", "membership_shop", *(f"label_shop${number}" for number in numbers)}
        found = self.rows(TABLES)
        left = [name for name, _ in found if name not in needed and not re.fullmatch(r"membership_shop\$\d+", name)]
        shown = {f"label_shop${number}" for number in (shop.pointer, shop.before()) if number}
        attached = {name for name, attached in found if attached and name.startswith("label_shop$")}
        return left + sorted(attached ^ shown)

    def check_books(self) -> None:
        """What the tables say of one another."""
        assert self.rows(TWO_POINTERS) == []
        assert self.rows(WRONG_COUNTS) == []
        assert self.rows(UNTRUE_RUNS) == []


def in_corners(rows: Sequence[tuple[int, int | None]]) -> Labels:
    """Labels by the corner that a segment stands for, as its faithful customers tell."""
    corners: dict[int | None, int | None] = {None: None}
    by_customer = dict(rows)
    assert len(by_customer) == len(rows), "somebody is there twice"
    for one in FAITHFUL:
        if one in by_customer:
            corner = corners.setdefault(by_customer[one], corner_of(one))
            assert corner == corner_of(one), "a segment has the faithful of two corners"
    return {one: corners.get(segment, -1) for one, segment in by_customer.items()}
