"""A source in parts that several sessions can read: every row lies in exactly one of them.

A row of a table has a place, its ctid: page and number. The first range of places is open at its beginning and the last
at its end, so the ranges hold whatever a snapshot shows, whatever has been added since the pages were counted. For a
partitioned table, and for one that others inherit from, a range is that of all tables underneath.

What has no places, a view or a query, is divided by a hash of the key where the configuration says that it may be. Each
session then executes all of it, so there are no more parts than sessions.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import Any

import pyarrow as pa
from sqlalchemy import Select, func, literal_column

from segjob.postgres.reading.columns import ReadPlan, as_sql, verbatim
from segjob.postgres.reading.rows import STORED
from segjob.postgres.reading.snapshot import Extent

UNDIVIDED_BYTES = 32 * 2**20  # a smaller table is read before a second session is ready
LEAST_BYTES = 16 * 2**20  # of a range
ORDERED_BYTES = 2 * LEAST_BYTES  # of a range that another session can read ahead of its turn
NAN: Any = literal_column("'NaN'::float8")
TABLES_OPENED = 4096  # by all ranges together, for tables of very many partitions


def wire_schema(schema: pa.Schema) -> pa.Schema:
    """The same fields with the texts last: what comes before them has the same place in every row."""
    return pa.schema(sorted(schema, key=lambda field: field.type not in STORED))


def read_statements(plan: ReadPlan, extent: Extent, n_streams: int) -> list[str]:
    """The SELECTs that together read the source once, with the columns in the order of `wire_schema`.

    It is one SELECT where the source can not be divided, is small, or is read by one session.
    """
    statement = wire_statement(plan, extent)
    if cuts := page_cuts(extent, n_streams):
        return [as_sql(between_pages(statement, begin, end)) for begin, end in pairwise([None, *cuts, None])]
    if (n_parts := part_count(extent, n_streams)) > 1:
        return [as_sql(part_by_key(statement, plan, number, n_parts)) for number in range(n_parts)]
    return [as_sql(statement)]


def wire_statement(plan: ReadPlan, extent: Extent) -> Select[Any]:
    """The plan's SELECT with its columns in another order, and NaN for NULL among the numbers.

    A row without NULL is as long as the next, which is what makes it cheap to decode. Where the server knows of no
    NULL in a column it need not look for one.
    """
    columns = dict(zip(plan.schema.names, plan.statement.selected_columns, strict=True))
    for name, column in columns.items():
        if name.startswith("n:") and name.removeprefix("n:") not in extent.never_null:
            columns[name] = func.coalesce(column.element, NAN).label(column.name)
    return plan.statement.with_only_columns(*(columns[name] for name in wire_schema(plan.schema).names))


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
