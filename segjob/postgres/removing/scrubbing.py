"""After rows were deleted: what is left of them in pages, indexes and statistics goes as well.

Tables that analysts may be reading are never locked against them: VACUUM, REINDEX CONCURRENTLY and ANALYZE go beside
every reader and writer. The table of samples, which only the job reads, is rewritten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial

from sqlalchemy import Connection

from segjob.errors import InTheWay, TryAgain
from segjob.postgres.connecting.connect import Database
from segjob.postgres.patience import in_the_way, short_attempts
from segjob.postgres.queries import Names, escaped, execute, query, quote
from segjob.postgres.removing.erasure import CustomerTable, Erased, partitioned_tables
from segjob.records.source import KeyColumn

SNAPSHOT_DEADLINE = 10.0  # seconds until transactions that were open before are given up on
PAUSE = 0.1

UNTIL_THEN = (
    "the customers are erased for every query that begins from now on, but a transaction that is still open keeps "
    "what was theirs on disk; give the same command again when it has ended"
)

NOBODY = {"integer": "0", "uuid": "'00000000-0000-0000-0000-000000000000'", "text": "''"}
NO_SAMPLE = {
    "segmentation": "''",
    "version_id": "0",
    "ordinal": "0",
    "key_hash": "0",
    "segment_id": "0",
    "source_values": "'{}'",
    "scaled_values": "'{}'",
}


def wait_for_older_snapshots(database: Database, transaction: str, deadline: float) -> None:
    """Wait until nobody can see any more what a transaction deleted.

    Raises
    ------
    TryAgain
        Somebody still can at the deadline.
    """
    until = time.monotonic() + deadline
    with database.autocommit() as connection:
        while connection.execute(query("older_snapshots"), {"transaction": transaction}).scalar_one():
            if time.monotonic() > until:
                raise TryAgain(UNTIL_THEN)
            time.sleep(PAUSE)  # the server tells nobody when a snapshot ends


def scrub(database: Database, names: Names, erased: Sequence[Erased], keys: Sequence[KeyColumn]) -> None:
    """Clean every table with rows of customers, whether or not a row went just now: an earlier attempt may have ended.

    Raises
    ------
    InTheWay
        Somebody was in the way of one step for a minute; the same command goes on from there.
    """
    try:
        clean(database, names, erased, keys)
    except InTheWay as error:
        raise InTheWay(f"{UNTIL_THEN}; {in_the_way(database, names)}: {error}") from error


def clean(database: Database, names: Names, erased: Sequence[Erased], keys: Sequence[KeyColumn]) -> None:
    """Pages and indexes first, then what the server has noted about values."""
    for one in erased:
        scrub_table(database, one, keys[0])
    keep_trying(database.autocommit, executing("rewrite", table=names.sample))
    for one in erased:
        keep_trying(
            database.begin, partial(analyze, table=one.table.table, nobody=nobody(one.table, keys), names=names)
        )
    keep_trying(database.begin, partial(analyze, table=names.sample, nobody=NO_SAMPLE, names=names))
    keep_trying(database.begin, partial(analyze_partitioned, names=names))
    keep_trying(database.autocommit, executing("vacuum_statistics"))


def scrub_table(database: Database, erased: Erased, key: KeyColumn) -> None:
    """Pages and indexes of one table."""
    table = erased.table.table
    keep_trying(database.autocommit, executing("vacuum", table=table))
    for page, sizes in erased.pages.items():
        keep_trying(database.autocommit, partial(overwrite, table=table, key=key, page=page, sizes=sizes))
    keep_trying(database.autocommit, partial(reindex, table=table))


def executing(name: str, **identifiers: str) -> Callable[[Connection], None]:
    """A step that executes the statements of this name."""
    return lambda connection: execute(connection, name, **identifiers)


def keep_trying(opened: Callable[[], AbstractContextManager[Connection]], step: Callable[[Connection], object]) -> None:
    """Take a step in short attempts, so that nobody has to wait behind it."""
    for attempt in short_attempts():
        with attempt, opened() as connection:
            execute(connection, "session_lock_timeout")
            step(connection)


def overwrite(connection: Connection, table: str, key: KeyColumn, page: int, sizes: Sequence[int]) -> None:
    """Write over the places on a page where rows have been.

    A row that is written again may be shorter than it was, where a column was dropped since, so that a few more rows
    are needed to fill the place; what does not fit goes to another page.
    """
    n_rows = len(sizes) + len(sizes) // 4 + 1
    arguments = {"page": page, "next_page": page + 1, "size": max(sizes), "n_rows": n_rows}
    statement = query("overwrite_gap", table=escaped(table), column=escaped(quote(key.name)))
    connection.execute(statement, arguments)


def reindex(connection: Connection, table: str) -> None:
    for index in connection.execute(query("unfinished_indexes"), {"table": table}).scalars().all():
        execute(connection, "drop_index", index=index)
    execute(connection, "reindex", table=table)


def nobody(table: CustomerTable, keys: Sequence[KeyColumn]) -> dict[str, str]:
    """A row of a table that is nobody's, by quoted column."""
    bound = ("version_id",) if table.version_id else ("publication", "piece")
    return {quote(key.name): NOBODY[key.family] for key in keys} | dict.fromkeys(bound, str(table.number))


def analyze(connection: Connection, table: str, nobody: dict[str, str], names: Names) -> None:
    """New statistics. ANALYZE leaves those of an empty table as they are: it is shown a row that is gone at once."""
    empty = connection.execute(query("is_empty", table=escaped(table))).scalar_one()
    if empty:
        values = {"columns": ", ".join(nobody), "values": ", ".join(nobody.values())}
        execute(connection, "insert_placeholder", table=table, **values)
    execute(connection, "analyze", relation=table)
    if empty:
        analyze_partitioned(connection, names)
        execute(connection, "delete_placeholder", table=table)


def analyze_partitioned(connection: Connection, names: Names) -> None:
    for table in partitioned_tables(connection, names):
        execute(connection, "analyze", relation=table)
