"""The progress of one run: who is told is decided once, when it begins."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

from segjob.progress.log import Log
from segjob.progress.phases import Clock, Phase, Stopwatch

PHASES = ("read", "fit", "label", "score", "write", "publish")

T = TypeVar("T")


class View(Protocol):
    """Who is told. Any thread may call it."""

    def began(self, phase: Phase) -> None: ...

    def advanced(self, phase: Phase) -> None: ...

    def ended(self, phase: Phase, finished: bool) -> None: ...

    def say(self, level: str, event: str, facts: dict[str, object]) -> None: ...


class Progress:
    """Times the phases of one run, which may overlap, and tells of them.

    Parameters
    ----------
    view : who is told; else a display where stderr is a terminal, and log lines elsewhere
    clock : seconds that never go back
    """

    def __init__(self, segmentation: str, view: View | None = None, clock: Clock = time.monotonic) -> None:
        self.segmentation = segmentation
        self._view = view or view_of(segmentation)
        self._clock = clock
        self._began = clock()
        self._stopwatches = {name: Stopwatch(clock) for name in PHASES}

    @contextmanager
    def phase(self, name: str, expected_rows: int | None = None) -> Iterator[Phase]:
        """Time one phase and tell how it goes; one that fails is not told as done."""
        phase = Phase(name, expected_rows, self._clock, self._view.advanced)
        finished = False
        with self.timing(name):
            try:
                self._view.began(phase)
                yield phase
                finished = True
            finally:
                phase.end()
                self._view.ended(phase, finished)

    def timing(self, name: str) -> AbstractContextManager[None]:
        """Count the block towards a phase and say nothing; time in which several threads are in it counts once."""
        return self._stopwatches[name].running()

    def timed(self, name: str, items: Iterable[T]) -> Iterator[T]:
        """Count the time that the items take to come towards a phase, such as that of the labels within the writing."""
        iterator = iter(items)
        while True:
            with self.timing(name):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    def log(self, event: str, **facts: object) -> None:
        """Tell of something that happened."""
        self._view.say("info", event, facts)

    def warn(self, sentence: str) -> None:
        """Tell of something that a person should look at; the run keeps it as well."""
        self._view.say("warning", sentence, {})

    def seconds(self) -> dict[str, float]:
        """Seconds by phase so far, and in all. Phases overlap, so that their sum may be more than the total."""
        spent = {name: stopwatch.seconds for name, stopwatch in self._stopwatches.items()}
        return {name: round(value, 3) for name, value in (*spent.items(), ("total", self._clock() - self._began))}


def view_of(segmentation: str) -> View:
    """A display where a person looks on, log lines elsewhere; what draws it is loaded only then."""
    if sys.stderr.isatty():
        from segjob.progress.terminal import Display, terminal

        console = terminal()
        if console is not None:
            return Display(segmentation, console)
    return Log(segmentation)
