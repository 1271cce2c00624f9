"""What several threads read of one whole, handed on in the order of its parts, as soon as that allows.

Whoever reads the part whose turn it is never waits but for the caller. The others read ahead of it until enough lies
here, which is when they wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from threading import Condition, Event
from typing import Generic, TypeVar

from segjob.postgres.reading.replies import GaveUp

AHEAD = 8  # items of later parts that may lie here for each reader but one

Item = TypeVar("Item")
Note = TypeVar("Note")


class Arrivals(Generic[Item, Note]):
    """Items of several parts, put by several threads and taken by one; and notes, which overtake them.

    Parameters
    ----------
    parts : by how many threads each part will be ended; what several put of one part comes as it comes
    n_readers : threads; each reads earlier parts first
    """

    def __init__(self, parts: Sequence[int], n_readers: int) -> None:
        self.given_up = Event()
        self._parts: list[deque[Item]] = [deque() for _ in parts]
        self._not_ended = list(parts)
        self._notes: deque[Note] = deque()
        self._failure: BaseException | None = None
        self._turn = 0
        self._n_ahead = 0
        self._most_ahead = AHEAD * (n_readers - 1)
        self._most_untaken = n_readers + 1
        self._changed = Condition()

    # For those who read

    def put(self, part: int, item: Item) -> None:
        """Hand an item on, as soon as there is room for it.

        Raises
        ------
        GaveUp
            Nobody will take it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.given_up.is_set() or self._has_room(part))
            if self.given_up.is_set():
                raise GaveUp
            self._parts[part].append(item)
            self._n_ahead += part != self._turn
            self._changed.notify_all()

    def _has_room(self, part: int) -> bool:
        if part == self._turn:
            return len(self._parts[part]) < self._most_untaken
        return self._n_ahead < self._most_ahead

    def end(self, part: int) -> None:
        """Say that all items of a part are here which this thread reads now."""
        with self._changed:
            self._not_ended[part] -= 1
            self._pass_turn_on()
            self._changed.notify_all()

    def tell(self, note: Note) -> None:
        """Let the caller know something, before anything else."""
        with self._changed:
            self._notes.append(note)
            self._changed.notify_all()

    def fail(self, failure: BaseException) -> None:
        """Let the caller raise this now; the first one counts."""
        with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    # For the caller

    def give_up(self) -> None:
        """Let everyone stop."""
        with self._changed:
            self.given_up.set()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item | Note]:
        """The notes as they come, and the items of part after part until the last has ended; or a failure."""
        while True:
            with self._changed:
                self._changed.wait_for(self._has_next)
                if self._failure is not None:
                    raise self._failure
                if not self._notes and self._turn == len(self._parts):
                    return
                item = self._notes.popleft() if self._notes else self._parts[self._turn].popleft()
                self._pass_turn_on()
                self._changed.notify_all()
            yield item

    def _has_next(self) -> bool:
        """Whether there is something to hand on, or nothing more to come."""
        over = self._turn == len(self._parts)
        return bool(self._failure or self._notes or over or self._parts[self._turn])

    def _pass_turn_on(self) -> None:
        """To the first part that has items here, or has not ended."""
        while self._turn < len(self._parts) and not (self._not_ended[self._turn] or self._parts[self._turn]):
            self._turn += 1
            if self._turn < len(self._parts):
                self._n_ahead -= len(self._parts[self._turn])
