"""One phase of a run: how far it is, how fast, and for how long it will go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

EARLY = 1.0  # seconds in which no rate is worth a forecast

Clock = Callable[[], float]


class Phase:
    """What a phase knows of itself. Several threads may tell it how far they are.

    Attributes
    ----------
    expected_rows : how many there will be, None where nobody knows; the planner's guess may be wrong
    rows : how many are done
    facts : what else is worth telling at the end
    """

    def __init__(self, name: str, expected_rows: int | None, clock: Clock, tell: Callable[[Phase], None]) -> None:
        self.name = name
        self.expected_rows = expected_rows
        self.rows = 0
        self.facts: dict[str, object] = {}
        self._clock = clock
        self._tell = tell
        self._began = clock()
        self._ended: float | None = None
        self._lock = Lock()

    def expect(self, n_rows: int) -> None:
        """Set how many rows there will be, where that is learnt on the way."""
        self.expected_rows = n_rows

    def advance(self, n_rows: int) -> None:
        """Count rows that are done."""
        with self._lock:
            self.rows += n_rows
        self._tell(self)

    def begin_again(self) -> None:
        """What was done is of no use: count from the start, in the same time."""
        with self._lock:
            self.rows = 0

    def note(self, **facts: object) -> None:
        """Keep something to be told when the phase ends."""
        self.facts |= facts

    def end(self) -> None:
        self._ended = self._clock()

    @property
    def seconds(self) -> float:
        return (self._clock() if self._ended is None else self._ended) - self._began

    @property
    def rate(self) -> float | None:
        """Rows a second since the phase began."""
        seconds = self.seconds
        return self.rows / seconds if self.rows and seconds > 0 else None

    @property
    def share(self) -> float | None:
        """How much is done, up to 1; None where nobody knows, as when more rows came than were expected."""
        expected = self.expected_rows
        return self.rows / expected if expected and self.rows <= expected else None

    @property
    def remaining(self) -> float | None:
        """Seconds until all expected rows are done, at the rate so far."""
        share, seconds = self.share, self.seconds
        if not share or share == 1 or seconds < EARLY:
            return None
        return seconds * (1 - share) / share


class Stopwatch:
    """The seconds in which at least one thread was at something."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._n_running = 0
        self._since = 0.0
        self._spent = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._lock:
            self._since = self._since if self._n_running else self._clock()
            self._n_running += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_running -= 1
                if not self._n_running:
                    self._spent += self._clock() - self._since

    @property
    def seconds(self) -> float:
        """So far, what is going on included."""
        with self._lock:
            return self._spent + (self._clock() - self._since if self._n_running else 0.0)
