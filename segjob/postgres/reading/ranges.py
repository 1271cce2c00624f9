"""A source in parts that several sessions can read: every row lies in exactly one of them.

A row of a table has a place, its ctid: page and number. The first range of places is open at its beginning and the last
at its end, so the ranges hold whatever a snapshot shows, whatever has been added since the pages were counted. For a
partitioned table, and for one that others inherit from, a range is that of all tables underneath.

What has no places, a view or a query, is divided by a hash of the key where the configuration says that it may be. Each
session then executes all of it, so there are no more parts than sessions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pyarrow as pa
from sqlalchemy import ColumnElement, Select, func, literal_column

from segjob.postgres.reading.columns import ReadPlan, as_sql, verbatim
from segjob.postgres.reading.rows import STORED, Column
from segjob.postgres.reading.snapshot import Extent

UNDIVIDED_BYTES = 32 * 2**20  # a smaller table is read before a second session is ready
LEAST_BYTES = 16 * 2**20  # of a range
ORDERED_BYTES = 2 * LEAST_BYTES  # of a range that another session can read ahead of its turn
NAN: Any = literal_column("'NaN'::float8")
POINT = func.pg_catalog.point
PACKED: dict[int, Callable[..., ColumnElement[Any]]] = {
    1: lambda a: a,
    2: lambda a, b: POINT(a, b),
    3: lambda a, b, c: func.pg_catalog.circle(POINT(a, b), c),
    4: lambda a, b, c, d: func.pg_catalog.lseg(POINT(a, b), POINT(c, d)),
}
"""Several numbers as one value. The server calls a function for each value that it sends, and takes memory for it; what
these types hold it sends as it is, bit by bit (docs/decisions/0022-four-numbers-in-one-value.md)."""
TABLES_OPENED = 4096  # by all ranges together, for tables of very many partitions


def wire_columns(schema: pa.Schema) -> list[Column]:
    """What each column of the statements holds: one field, or up to four numbers.

    The texts are last: what comes before them has the same place in every row.
    """
    numbers = [field for field in schema if is_number(field)]
    others = [field for field in schema if not is_number(field)]
    return [
        *((field,) for field in others if field.type in STORED),
        *(tuple(numbers[first : first + len(PACKED)]) for first in range(0, len(numbers), len(PACKED))),
        *((field,) for field in others if field.type not in STORED),
    ]


def is_number(field: pa.Field) -> bool:
    return bool(field.name.startswith("n:"))


def read_statements(plan: ReadPlan, extent: Extent, n_streams: int) -> list[str]:
    """The SELECTs that together read the source once, with columns as `wire_columns` says.

    It is one SELECT where the source can not be divided, is small, or is read by one session.
    """
    statement = wire_statement(plan)
    if cuts := page_cuts(extent, n_streams):
        return [as_sql(between_pages(statement, begin, end)) for begin, end in pairwise([None, *cuts, None])]
    if (n_parts := part_count(extent, n_streams)) > 1:
        return [as_sql(part_by_key(statement, plan, number, n_parts)) for number in range(n_parts)]
    return [as_sql(statement)]


def wire_statement(plan: ReadPlan) -> Select[Any]:
    """The plan's SELECT with its columns in another order, several numbers in one, and NaN for NULL among these.

    A row without NULL is as long as the next, which is what makes it cheap to decode.
    """
    columns = dict(zip(plan.schema.names, plan.statement.selected_columns, strict=True))
    return plan.statement.with_only_columns(
        *(wire_column([columns[field.name] for field in held], held) for held in wire_columns(plan.schema))
    )


def wire_column(columns: list[Any], held: Column) -> Any:
    """The columns of the plan that one column on the wire holds, as that one."""
    if not is_number(held[0]):
        return columns[0]
    numbers = [func.coalesce(column.element, NAN) for column in columns]
    return PACKED[len(numbers)](*numbers).label(columns[0].name)


def between_pages(statement: Select[Any], begin: int | None, end: int | None) -> Select[Any]:
    """The rows from the one page on and before the other."""
    conditions = [f"ctid >= '({begin},0)'::tid"] if begin is not None else []
    conditions += [f"ctid < '({end},0)'::tid"] if end is not None else []
    return statement.where(*(verbatim(condition) for condition in conditions))


def part_by_key(statement: Select[Any], plan: ReadPlan, number: int, n_parts: int) -> Select[Any]:
    """The rows whose keys have one of so many remainders. The hash of a row has no NULL, whatever the key has.

    Above an aggregate over the key the server sees that it need not aggregate the others.
    """
    columns = list(plan.statement.selected_columns)[: len(plan.keys)]
    keys = [
        one.element.collate("C") if key.family == "text" else one.element
        for one, key in zip(columns, plan.keys, strict=True)
    ]
    hashed = func.hash_record_extended(func.row(*keys), literal_column("0"))
    remainder = func.abs(func.mod(hashed, literal_column(str(n_parts))))
    return statement.where(remainder == literal_column(str(number)))


def part_count(extent: Extent, n_streams: int) -> int:
    if extent.bytes_by_key < UNDIVIDED_BYTES:
        return 1
    return max(1, min(n_streams, extent.bytes_by_key // LEAST_BYTES))


def page_cuts(extent: Extent, n_streams: int) -> list[int]:
    """The pages between the ranges: strictly rising, each range about as large as the others."""
    n_ranges = range_count(extent, n_streams)
    pages = extent.pages
    wanted = [sum(pages) * number // n_ranges for number in range(1, n_ranges)]
    highest = range(max(pages, default=0) + 1)
    cuts = {bisect_left(highest, count, key=lambda page: sum(min(page, own) for own in pages)) for count in wanted}
    return sorted(cuts - {0})


def range_count(extent: Extent, n_streams: int) -> int:
    n_bytes = sum(extent.pages) * extent.page_bytes
    if n_streams == 1 or n_bytes < UNDIVIDED_BYTES or not extent.pages:
        return 1
    return max(1, min(n_bytes // LEAST_BYTES, TABLES_OPENED // len(extent.pages)))


def can_keep_order(extent: Extent, n_statements: int) -> bool:
    """Whether these are ranges of a table, and so small that its rows can come in the order in which they lie.

    Keys mostly lie in that order, and labels that are written in the order of their keys are cheaper to index.
    """
    return bool(extent.pages) and sum(extent.pages) * extent.page_bytes <= n_statements * ORDERED_BYTES
