"""The display on a terminal: a line for each phase that goes on, and above it a quiet one for each that is done."""

from __future__ import annotations

import math
from threading import RLock

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from segjob.progress.phases import Phase

REFRESHES = 4  # a second
NAME_WIDTH = 8
SECONDS_WIDTH = 8
BAR_WIDTH = 16
NARROW = 80  # below so many columns a running phase goes without its rate


def terminal() -> Console | None:
    """The terminal behind stderr; None for one on which no line can be drawn anew, as with TERM=dumb."""
    console = Console(stderr=True, highlight=False)
    return console if console.is_terminal and not console.is_dumb_terminal else None


class Display:
    """Draws the running phases on the last lines; everything else is printed above them."""

    def __init__(self, segmentation: str, console: Console) -> None:
        self._title: str | None = segmentation
        self._console = console
        self._running: list[Phase] = []
        self._live: Live | None = None
        self._lock = RLock()

    def began(self, phase: Phase) -> None:
        with self._lock:
            self._print_title()
            self._running.append(phase)
            if self._live is None:
                self._live = Live(
                    console=self._console,
                    get_renderable=self._draw,
                    refresh_per_second=REFRESHES,
                    transient=True,
                    redirect_stdout=False,  # it may be a file
                )
                self._live.start()

    def advanced(self, phase: Phase) -> None:
        """The display looks by itself."""

    def ended(self, phase: Phase, finished: bool) -> None:
        with self._lock:
            self._running = [one for one in self._running if one is not phase]
            line = text_of(phase) if finished else f"{text_of(phase)}  not finished"
            self._console.print(Text(line, style="dim" if finished else "red"), no_wrap=True, overflow="ellipsis")
            if self._live is not None and not self._running:
                self._live.stop()
                self._live = None

    def say(self, level: str, event: str, facts: dict[str, object]) -> None:
        warning = level == "warning"
        words = [f"{name}={value}" for name, value in facts.items()]
        line = Text(" ".join([f"{'warning: ' if warning else ''}{event}", *words]), "yellow" if warning else "dim")
        with self._lock:
            self._print_title()
            self._console.print(Padding(line, (0, 0, 0, 2), expand=False))

    def _print_title(self) -> None:
        if self._title is not None:
            self._console.print(Text(self._title, style="bold"))
            self._title = None

    def _draw(self) -> Table:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column()
        grid.add_column(no_wrap=True)
        for phase in self._running:
            share = phase.share
            bar = "" if share is None else ProgressBar(total=1.0, completed=share, width=BAR_WIDTH)
            brief = self._console.width < NARROW
            grid.add_row(Text(text_of(phase, brief)), bar, Text(forecast(phase)))
        return grid


def text_of(phase: Phase, brief: bool = False) -> str:
    """Name, seconds, rows with their rate, and the facts."""
    rate = "" if brief or phase.rate is None else f" at {phase.rate:,.0f}/s"
    said = [f"{phase.rows:,} rows{rate}"] if phase.rows else []
    said += [f"{value} {name.replace('_', ' ')}" for name, value in phase.facts.items()]
    return f"  {phase.name:<{NAME_WIDTH}}{duration(phase.seconds):>{SECONDS_WIDTH}}  {', '.join(said)}".rstrip()


def forecast(phase: Phase) -> str:
    """How much is done and for how long it goes on, as far as anybody knows."""
    if phase.share is None:
        return ""
    percent = f"{math.floor(100 * phase.share):>3} %"
    return percent if phase.remaining is None else f"{percent}  {duration(math.ceil(phase.remaining))} left"


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 4.2 s, 12 s, 3:05, 1:02:03."""
    if seconds < 60:
        return f"{seconds} s" if isinstance(seconds, int) else f"{seconds:.1f} s"
    minutes, rest = divmod(math.floor(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
