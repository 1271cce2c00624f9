"""Who moved: the labels of two versions joined once, and all that is counted from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, text

from segjob.postgres.connecting.connect import Database
from segjob.postgres.queries import Names, escaped, execute, quote, sql
from segjob.postgres.tables import segment
from segjob.postgres.writing.write import Part
from segjob.records.comparison import Comparison, Transition
from segjob.records.source import KeyColumn


@dataclass(frozen=True)
class Moves:
    """The table of the customers whose segment changes with a publication.

    Its columns are the key, publication, segment_id (until then; NULL: was not there), piece, new_segment_id (NULL:
    leaves) and carried_segment_id.
    """

    names: Names
    publication: int
    keys: tuple[KeyColumn, ...]

    @property
    def table(self) -> str:
        """Its quoted name."""
        return self.names.moves


def compare(database: Database, before: Part, after: Part, *, carried: bool = False) -> Comparison:
    """Count who moved between any two versions whose labels are there; nothing is written.

    Parameters
    ----------
    carried : `after` was fitted while `before` was published, so that it knows what the model of that says today
    """
    compared = f"({compared_labels(before, after)})"
    with database.begin() as connection:
        execute(connection, "compare_settings")
        return Comparison(tuple(transitions(connection, compared, carried)))


def write_moves(
    database: Database, before: Part, after: Part, moves: Moves, *, carried: bool, logged: bool
) -> Comparison:
    """Write down who moves when `after` takes the place of `before`, and count it.

    Only under the lock of publishing, for the number of the publication is ours only as long as that is held.

    Parameters
    ----------
    logged : the table is to stay, so that a crash of the server must not empty it
    """
    with database.begin() as connection:
        execute(connection, "compare_settings")
        create_moves(connection, moves, compared_labels(before, after), logged=logged)
        return counted(connection, after, moves, carried)


def counted(connection: Connection, after: Part, moves: Moves, carried: bool) -> Comparison:
    """What a table of moves says of those who moved, and the books of `after`, which is stored, of the others."""
    moved = list(transitions(connection, moves.table, carried))
    return Comparison((*stayed(segment_sizes(connection, after), moved), *moved))


def create_moves(connection: Connection, moves: Moves, compared: str, *, logged: bool) -> None:
    """Write down those whose two segments in a SELECT differ."""
    execute(connection, "drop_moves", moves=moves.table)
    execute(
        connection,
        "create_moves",
        unlogged="" if logged else "UNLOGGED",
        moves=moves.table,
        publication=str(moves.publication),
        keys=", ".join(quote(key.name) for key in moves.keys),
        compared=compared,
    )


def drop_moves(database: Database, moves: Moves) -> None:
    """What was counted and is not kept."""
    with database.begin() as connection:
        execute(connection, "drop_moves", moves=moves.table)


def drop_left_moves(connection: Connection, names: Names) -> None:
    """What a comparison left that was killed. Only under the lock of publishing."""
    execute(connection, "drop_moves", moves=names.moves)


def compared_labels(before: Part, after: Part) -> str:
    """The join of two versions' labels."""
    keys = [quote(key) for key in before.key_names]
    (statement,) = sql(
        "compare_labels",
        before=before.table,
        after=after.table,
        keys=", ".join(keys),
        either_keys=", ".join(f"coalesce(a.{key}, b.{key}) AS {key}" for key in keys),
        same_key=" AND ".join(f"a.{key} = b.{key}" for key in keys),
    )
    return statement


def transitions(connection: Connection, compared: str, carried: bool) -> list[Transition]:
    """Count a join or a table of moves by where from and where to."""
    (statement,) = sql("count_transitions", compared=compared)
    return [transition(row, carried) for row in connection.execute(text(escaped(statement)))]


def transition(row: Row[Any], carried: bool) -> Transition:
    """What moved them is known of those who moved, where the parent's model was asked about every one of them."""
    pair = (row.from_segment_id, row.to_segment_id)
    if pair[0] == pair[1] or None in pair or not carried or row.n_carried < row.n_customers:
        return Transition(*pair, row.n_customers)
    return Transition(*pair, row.n_customers, row.n_features_moved, row.n_model_moved)


def segment_sizes(connection: Connection, part: Part) -> dict[int, int]:
    """How many customers each segment of a version has now, by the books: whoever changes labels keeps them."""
    c = segment.c
    ours = (c.segmentation == part.names.segmentation, c.version_id == part.version_id)
    return {
        row.segment_id: row.n
        for row in connection.execute(select(c.segment_id, c.n_customers_now.label("n")).where(*ours))
    }


def stayed(sizes: dict[int, int], moved: Sequence[Transition]) -> list[Transition]:
    """Who did not come to a segment was there before."""
    came = Counter[int | None]()
    for one in moved:
        came[one.to_segment_id] += one.n_customers
    return [Transition(i, i, sizes[i] - came[i]) for i in sorted(sizes) if sizes[i] > came[i]]
