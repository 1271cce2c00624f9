"""Who moves when one version takes the place of another, and what history keeps of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from segjob.errors import if_possible
from segjob.postgres.connecting.connect import Database
from segjob.postgres.publishing.history import keep_moves, keep_nothing
from segjob.postgres.publishing.moves import Moves, drop_moves, write_moves
from segjob.postgres.publishing.publish import pointer_of
from segjob.postgres.writing.write import Part, part_state
from segjob.records.comparison import Comparison

DROP_SECONDS = 1.0  # until a server that is gone is left to the next comparison


@dataclass(frozen=True)
class Compared:
    """Who moves with a publication that is to come.

    Attributes
    ----------
    publication : its number
    comparison : None if there is no version before, or its labels are gone
    moves : who they are, if history is to know
    """

    publication: int
    comparison: Comparison | None = None
    moves: Moves | None = None

    def keep(self, database: Database) -> bool:
        """Add the moves to the history, still invisible; returns whether it knows them now.

        Raises
        ------
        TryAgain
            Somebody held the history's table for the whole deadline.
        """
        if self.comparison is None or self.moves is None:
            return False
        if self.comparison.n_moved:
            keep_moves(database, self.moves, self.comparison.n_moved)
        else:
            keep_nothing(database, self.moves)
        return True


@contextmanager
def compared(database: Database, before: int | None, part: Part, *, carried: bool, history: bool) -> Iterator[Compared]:
    """Compare the labels of a version with those of an earlier one.

    Only under the lock of publishing, to be held until the pointer has moved: what is written is called after the
    publication that is to come.
    """
    with database.begin() as connection:
        pointer = pointer_of(connection, part.names.segmentation)
        other = Part(part.names, before, part.keys) if before is not None else None
        present = other is not None and part_state(connection, other).present
    publication = 1 + (pointer.publication if pointer else 0)
    if other is None or not present:
        yield Compared(publication)
        return
    moves = Moves(part.names, publication, part.keys)
    try:
        comparison = write_moves(database, other, part, moves, carried=carried, logged=history)
        yield Compared(publication, comparison, moves if history else None)
    finally:
        with if_possible():
            drop_moves(replace(database, deadline=DROP_SECONDS), moves)
