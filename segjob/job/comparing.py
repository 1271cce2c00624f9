"""Who moves when one version takes the place of another."""

from __future__ import annotations

from segjob.postgres.connect import Database
from segjob.postgres.moves import Moves, drop_moves, write_moves
from segjob.postgres.publish import pointer_of
from segjob.postgres.write import Part, part_state
from segjob.records import Comparison


def compare_with(database: Database, before: int | None, part: Part, *, carried: bool) -> Comparison | None:
    """Compare the labels of a version with those of an earlier one; None where there are none.

    Only under the lock of publishing: the table of the moves is called after the publication that is to come.
    """
    if before is None:
        return None
    other = Part(part.names, before, part.keys)
    with database.begin() as connection:
        pointer = pointer_of(connection, part.names.segmentation)
        if not part_state(connection, other).present:
            return None
    moves = Moves(part.names, 1 + (pointer.publication if pointer else 0), part.keys)
    try:
        return write_moves(database, other, part, moves, carried=carried, logged=False)
    finally:
        drop_moves(database, moves)
