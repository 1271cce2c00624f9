"""Customers who are to be forgotten: their rows, wherever they are, counted as they go and counted again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, TextClause, delete, func, select, update

from segjob.postgres.queries import Names, escaped, query, quote
from segjob.postgres.tables import sample_row, segment
from segjob.records.source import KeyColumn

ARRAYS = {"integer": "bigint[]", "uuid": "uuid[]", "text": "text[]"}
"""How keys travel. Never as the column's own type: a cast to varchar(5) would cut a key off, and find another."""


@dataclass(frozen=True)
class Forgotten:
    """Who is to be forgotten; no message, log or row of a run ever holds any of it.

    Attributes
    ----------
    columns : the key columns of the segmentation
    values : one list a key column, of as many values as there are customers
    hashes : what stands for them in the stored samples, as signed 64-bit numbers
    """

    columns: tuple[KeyColumn, ...]
    values: tuple[list[Any], ...] = field(repr=False)
    hashes: list[int] = field(repr=False)

    @property
    def arguments(self) -> dict[str, list[Any]]:
        return {f"key_{number}": values for number, values in enumerate(self.values)}

    @property
    def wanted(self) -> str:
        """The customers as a set of rows, in SQL."""
        names = [f"key_{number}" for number in range(len(self.columns))]
        arrays = [f"CAST(:{name} AS {ARRAYS[key.family]})" for name, key in zip(names, self.columns, strict=True)]
        return f"unnest({', '.join(arrays)}) AS k({', '.join(names)})"


@dataclass(frozen=True)
class CustomerTable:
    """A table with one row a customer: the labels of a version, or a piece of the history.

    Attributes
    ----------
    name : without its schema
    table : quoted, with its schema
    attached : analysts' queries may be reading it
    version_id : for labels
    number : the version, or the publication that opened the piece: what its partition is bound to
    """

    name: str
    table: str
    attached: bool
    version_id: int | None
    number: int


@dataclass
class Erased:
    """What went from one table: rows, those with a segment by segment, and pages with the sizes of what lay there."""

    table: CustomerTable
    n_rows: int = 0
    by_segment: Counter[int] = field(default_factory=Counter)
    pages: dict[int, list[int]] = field(default_factory=dict)


def tables_of_customers(connection: Connection, names: Names) -> list[CustomerTable]:
    """Every table with rows of customers of a segmentation; there may be no history."""
    arguments = {"schema": names.schemas.private, "labels": names.part_prefix, "pieces": names.piece_prefix}
    return [
        customer_table(names, row.relname, row.relispartition)
        for row in connection.execute(query("tables_of_customers"), arguments)
        if row.relname.rpartition("$")[2].isdigit()
    ]


def partitioned_tables(connection: Connection, names: Names) -> list[str]:
    """The quoted tables of which others are parts, and which have statistics of their own."""
    both = (names.label, names.membership)
    return [one for one in both if connection.execute(query("has_relation"), {"relation": one}).scalar_one()]


def customer_table(names: Names, name: str, attached: bool) -> CustomerTable:
    number = int(name.rpartition("$")[2])
    labels = name.startswith(names.part_prefix)
    table = f"{quote(names.schemas.private)}.{quote(name)}"
    return CustomerTable(name, table, attached, number if labels else None, number)


def erase(connection: Connection, names: Names, forgotten: Forgotten) -> tuple[list[Erased], int]:
    """Delete the rows of all tables, and the sampled ones; returns what went from each, and how many sampled ones."""
    erased = [erase_from(connection, table, forgotten) for table in tables_of_customers(connection, names)]
    for one in erased:
        count_down(connection, names.segmentation, one)
    sampled = delete(sample_row).where(*sampled_ones(names, forgotten))
    return erased, connection.execute(sampled).rowcount


def erase_from(connection: Connection, table: CustomerTable, forgotten: Forgotten) -> Erased:
    found = Erased(table)
    for row in connection.execute(statement("erase_customers", table, forgotten), forgotten.arguments):
        note(found, row)
    return found


def note(found: Erased, row: Row[Any]) -> None:
    found.n_rows += 1
    found.pages.setdefault(row.page, []).append(row.size)
    if row.segment_id is not None:
        found.by_segment[row.segment_id] += 1


def statement(name: str, table: CustomerTable, forgotten: Forgotten) -> TextClause:
    """A statement on the rows of the customers; with the version, so that the key's index serves."""
    same = [f"t.{escaped(quote(key.name))} = k.key_{number}" for number, key in enumerate(forgotten.columns)]
    if table.version_id is not None:
        same.insert(0, f"t.version_id = {table.version_id}")
    return query(name, table=escaped(table.table), wanted=forgotten.wanted, is_wanted=" AND ".join(same))


def count_down(connection: Connection, segmentation: str, erased: Erased) -> None:
    """Tell the segments how many customers they have now."""
    if erased.table.version_id is None:
        return
    ours = {"segmentation": segmentation, "version_id": erased.table.version_id}
    for segment_id, n_rows in erased.by_segment.items():
        fewer = update(segment).filter_by(**ours, segment_id=segment_id)
        connection.execute(fewer.values(n_customers_now=segment.c.n_customers_now - n_rows))


def sampled_ones(names: Names, forgotten: Forgotten) -> Sequence[Any]:
    return sample_row.c.segmentation == names.segmentation, sample_row.c.key_hash.in_(forgotten.hashes)


def count_left(connection: Connection, names: Names, forgotten: Forgotten) -> int:
    """Rows and statistics that still speak of the customers.

    Statistics are asked for single keys only: a part of a key may belong to others as well.
    """
    tables = tables_of_customers(connection, names)
    found = [
        connection.execute(statement("count_customers", table, forgotten), forgotten.arguments).scalar_one()
        for table in tables
    ]
    sampled = select(func.count()).select_from(sample_row).where(*sampled_ones(names, forgotten))
    found.append(connection.execute(sampled).scalar_one())
    if len(forgotten.columns) == 1:
        every = [*(table.name for table in tables), f"label_{names.segmentation}", f"membership_{names.segmentation}"]
        arguments = {"schema": names.schemas.private, "tables": every, "column": forgotten.columns[0].name}
        keys = [str(value) for value in forgotten.values[0]]
        found.append(connection.execute(query("statistics_with_values"), {**arguments, "keys": keys}).scalar_one())
    return sum(found)
