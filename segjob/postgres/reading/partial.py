"""A part of the source: who was labelled meanwhile, who changed lately, or all keys and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from psycopg import sql
from sqlalchemy import Connection, select

from segjob.postgres.queries import literal, quote
from segjob.postgres.reading.columns import Description, ReadPlan, as_sql, plan_read, verbatim
from segjob.records.source import FeatureSpec, KeyFamily

ARRAYS: dict[KeyFamily, str] = {"integer": "bigint[]", "uuid": "uuid[]", "text": "text[]"}


def only_those_in(plan: ReadPlan, table: str, keys: Sequence[str]) -> ReadPlan:
    """The plan for customers whose keys are in a table of ours, in one statement."""
    return only(plan, f"SELECT {', '.join(map(quote, keys))} FROM {table}")


def only_these(plan: ReadPlan, columns: Sequence[Sequence[str]]) -> ReadPlan:
    """The plan for customers with these keys, a sequence of texts for each key column.

    It is for a server that has no table of ours: a standby can not even read an unlogged one.
    """
    arrays = [
        f"{sql.Literal(list(texts)).as_string(None)}::{ARRAYS[key.family]}"
        for key, texts in zip(plan.keys, columns, strict=True)
    ]
    return only(plan, f"SELECT * FROM unnest({', '.join(arrays)})")


def only(plan: ReadPlan, wanted: str) -> ReadPlan:
    """The plan for customers whose keys a SELECT gives."""
    rows = plan.statement.subquery("q")
    key = ", ".join(f"q.{column.name}" for column in list(rows.c)[: len(plan.keys)])
    statement = select(*(column.label(f"c{place}") for place, column in enumerate(rows.c))).where(
        verbatim(f"({key}) IN ({wanted})")
    )
    return replace(plan, sql=as_sql(statement), statement=statement, relation=None, parallel_safe=False)


@dataclass(frozen=True)
class Watermark:
    """A column of the source that grows with every change of a row."""

    description: Description
    column: str

    def highest(self, connection: Connection) -> str | None:
        """Its largest value now, to be kept; whoever reads after this misses no change up to there."""
        where = f" WHERE {self.description.where_sql}" if self.description.where_sql else ""
        wanted = f"SELECT max({quote(self.column)})::text FROM {self.description.from_sql}{where}"
        found = connection.execute(verbatim(wanted)).scalar()
        return None if found is None else json.dumps([self.column, str(found)])

    def value_of(self, kept: str | None) -> str | None:
        """The value in what `highest` once gave, as text; None if that was of another column, which tells nothing."""
        column, value = json.loads(kept) if kept else (None, None)
        return value if column == self.column else None

    def plan_since(self, value: str, keys: Sequence[str], features: Sequence[FeatureSpec]) -> ReadPlan:
        """What to read for the customers whose watermark is at least this."""
        bound, before = f"{quote(self.column)} >= {literal(value)}", self.description.where_sql
        where = f"(\n{before}\n) AND {bound}" if before else bound
        return plan_read(replace(self.description, where_sql=where), keys, features)

    def plan_keys(self, keys: Sequence[str]) -> ReadPlan:
        """What to read to know who is there."""
        return plan_read(self.description, keys, ())


def watermark_of(description: Description, name: str) -> Watermark:
    """The column as the source has it.

    Raises
    ------
    ConfigurationError
        There is none of this name.
    """
    return Watermark(description, description.find(name, "watermark").name)
