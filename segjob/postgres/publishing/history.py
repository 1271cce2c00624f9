"""The history of who was in which segment: its table and views, and how the moves of a publication are added to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from segjob.postgres.connecting.connect import Database
from segjob.postgres.patience import patiently
from segjob.postgres.publishing.moves import Moves
from segjob.postgres.queries import Names, execute, query, quote, sql
from segjob.records.source import KeyColumn

FEW = 50_000
"""Moves that are added to the piece before; more are loaded and indexed as a piece of their own."""

ROOM = 1_000_000
"""Rows from which on a piece takes no more: the index of a larger one costs more to add to than to begin anew."""


def history_statements(names: Names, keys: Sequence[KeyColumn]) -> list[str]:
    """The table of moves, the views and the function over it, with their comments."""
    identifiers = names.identifiers() | key_lists(keys) | {"then": sql("publication_then", **names.identifiers())[0]}
    steps = (
        "create_membership_table",
        "create_moves_view",
        "create_names_view",
        "create_history_view",
        "create_as_of_function",
        "history_comments",
    )
    statements = [statement for step in steps for statement in sql(step, **identifiers)]
    for relation in (names.membership, names.view("_history"), names.view("$moves")):
        for key in keys:
            statements += sql("comment_on_key", relation=relation, column=quote(key.name))
    return statements


def key_lists(keys: Sequence[KeyColumn]) -> dict[str, str]:
    """The key columns in the ways in which the statements need them."""
    names = [quote(key.name) for key in keys]

    def listed(form: Callable[[str], str], separator: str = ", ") -> str:
        return separator.join(map(form, names))

    return {
        "keys": ", ".join(names),
        "key_definitions": ",\n    ".join(f"{quote(key.name)} {key.type} NOT NULL" for key in keys),
        "key_columns": ", ".join(f"{quote(key.name)} {key.type}" for key in keys),
        "m_keys": listed("m.{}".format),
        "l_keys": listed("l.{}".format),
        "h_keys": listed("h.{}".format),
        "r_keys": listed("r.{}".format),
        "e_is_m": listed("e.{0} = m.{0}".format, " AND "),
        "e_is_l": listed("e.{0} = l.{0}".format, " AND "),
    }


def keep_moves(database: Database, moves: Moves, n_moved: int) -> None:
    """Make the table of moves a part of the history, invisible until the publication's own row is written.

    Only under the lock of publishing. Rows of an earlier attempt at the same publication are taken out.

    Raises
    ------
    InTheWay
        Somebody held the history's table for the whole deadline.
    """

    def is_added(connection: Connection) -> bool:
        last = without_leftovers(connection, moves)
        if last is None or not has_room(last, moves, n_moved):
            return False
        add_to_piece(connection, moves, last)
        return True

    if patiently(database, moves.names, is_added):
        return
    with database.begin() as connection:
        execute(connection, "become_piece", **identifiers(moves))
    patiently(database, moves.names, lambda connection: execute(connection, "attach_piece", **identifiers(moves)))


def keep_nothing(database: Database, moves: Moves) -> None:
    """The same where nobody moves: what an earlier attempt added must not become visible with this publication."""
    patiently(database, moves.names, lambda connection: without_leftovers(connection, moves))


def without_leftovers(connection: Connection, moves: Moves) -> tuple[str, int, int] | None:
    """The last piece, without rows of this publication."""
    last = last_piece(connection, moves)
    if last is not None and may_hold_leftovers(last, moves):
        execute(connection, "forget_unpublished", piece=last[0], publication=str(moves.publication))
    return last


def last_piece(connection: Connection, moves: Moves) -> tuple[str, int, int] | None:
    """The quoted name of the piece that was opened last, its number, and how many rows it has."""
    arguments = {"membership": moves.names.membership, "prefix": moves.names.piece_prefix}
    row = connection.execute(query("last_piece"), arguments).one_or_none()
    return (moves.names.piece(row.piece), row.piece, row.n_rows) if row else None


def has_room(piece: tuple[str, int, int], moves: Moves, n_moved: int) -> bool:
    """Few rows go into a piece that is not too large; all of them into one that has our own number already."""
    _, number, n_rows = piece
    return number == moves.publication or (n_moved <= FEW and n_rows <= ROOM)


def may_hold_leftovers(piece: tuple[str, int, int], moves: Moves) -> bool:
    """Whether it is worth reading the piece for rows of an attempt that came to nothing."""
    _, number, n_rows = piece
    return number == moves.publication or n_rows <= ROOM + FEW


def add_to_piece(connection: Connection, moves: Moves, piece: tuple[str, int, int]) -> None:
    """Insert the rows, with an entry in the index for each."""
    table, number, _ = piece
    execute(connection, "add_to_piece", **(identifiers(moves) | {"piece": table, "number": str(number)}))
    execute(connection, "drop_moves", moves=moves.table)


def identifiers(moves: Moves) -> dict[str, str]:
    names = [quote(key.name) for key in moves.keys]
    return moves.names.identifiers() | {
        "moves": moves.table,
        "publication": str(moves.publication),
        "piece": moves.names.piece(moves.publication),
        "piece_name": quote(f"{moves.names.piece_prefix}{moves.publication}"),
        "keys": ", ".join(names),
        "keys_not_null": ", ".join(f"ALTER COLUMN {name} SET NOT NULL" for name in names),
    }
