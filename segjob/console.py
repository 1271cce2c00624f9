"""What a person or a script reads: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TextIO

from segjob.errors import SegjobError, TryAgain

if TYPE_CHECKING:
    from rich.console import Console


def show(document: Any, as_json: bool, print_for_people: Callable[[Any], None]) -> None:
    """Print a result as one JSON document, or as a person likes to read it.

    Whoever reads the first lines only, as `head` does, has got what was wanted.

    Raises
    ------
    TryAgain
        It can not be written.
    """
    try:
        if as_json:
            print(to_json(document))
        else:
            print_for_people(document)
        sys.stdout.flush()
    except BrokenPipeError:
        fall_silent(sys.stdout)
    except OSError as error:
        fall_silent(sys.stdout)
        said = error.strerror or type(error).__name__
        raise TryAgain(f"the result could not be printed ({said}); what the command was to do is done") from None


def fall_silent(stream: TextIO) -> None:
    """What is still to be printed goes nowhere, and makes no second error when the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def let_stderr_fail() -> None:
    """At the end of the process: log lines that no disk took are no reason for another exit code."""
    try:
        sys.stderr.flush()
    except OSError:
        fall_silent(sys.stderr)


def to_json(document: Any) -> str:
    return json.dumps(clean(document), indent=2, ensure_ascii=False, default=encode)


def clean(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def encode(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def failure(error: SegjobError) -> dict[str, Any]:
    """The document that stands for a failed command."""
    return {
        "status": "failed",
        "error": {"code": error.code, "message": str(error), "exit_code": error.exit_code},
    }


def complain(error: BaseException) -> None:
    """One sentence on stderr, and the causes behind it."""
    say(f"segjob: {error}")
    cause = error.__cause__
    while cause is not None:
        if isinstance(cause, SegjobError):
            say(f"  because: {cause}")
        cause = cause.__cause__


HARMLESS = (AttributeError, ImportError, MemoryError, NameError, OSError, RecursionError, TypeError)
"""Errors of Python itself that speak of the program and the machine. Any other may quote the value it is about."""


def print_traceback(error: BaseException) -> None:
    """For whoever looks for a bug and passes it on: what others than we said is left out where it may be a value."""
    say("".join(traceback_lines(error)).rstrip())


def traceback_lines(error: BaseException) -> Iterator[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from traceback_lines(before)
        yield "\nwhich led to\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    kind = type(error)
    yield f"{kind.__module__}.{kind.__qualname__}: {words_of(error)}\n"


def words_of(error: BaseException) -> str:
    ours = isinstance(error, SegjobError)
    harmless = isinstance(error, HARMLESS) and type(error).__module__ == "builtins"
    return str(error) if ours or harmless else "(its words are left out: they may hold values of customers)"


def tell_no_values_of_stray_errors() -> None:
    """What is raised where nobody catches it, in a thread or a destructor, is named and not quoted."""
    threading.excepthook = lambda stray: stray_error(stray.exc_value)
    sys.unraisablehook = lambda stray: stray_error(stray.exc_value)


def stray_error(error: BaseException | None) -> None:
    if error is not None and sys.stderr is not None:
        print_traceback(error)


def say(sentence: str) -> None:
    with suppress(OSError):  # where nobody can be told, the exit code still tells
        print(sentence, file=sys.stderr, flush=True)


def console() -> Console:
    """For people; honours NO_COLOR, and does not fold tables where the output is no terminal."""
    from rich.console import Console

    class Printing(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # as whatever else prints; rich would exit with a code of its own

    return Printing(width=None if sys.stdout.isatty() else 200, highlight=False, soft_wrap=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; numbers to the right."""
    from rich import box
    from rich.table import Table

    contents = [list(row) for row in rows]
    grid = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for index, column in enumerate(columns):
        numeric = bool(contents) and all(isinstance(row[index], int | float | Decimal | None) for row in contents)
        grid.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in contents:
        grid.add_row(
            *(
                identifier(cell) if name.endswith("_id") else plain(cell)
                for name, cell in zip(columns, row, strict=True)
            )
        )
    console().print(grid)


def plain(cell: Any) -> str:
    """A value as a person reads it; square brackets in names are no markup."""
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return number(cell)
    if isinstance(cell, int | Decimal):
        return f"{cell:,}"
    if isinstance(cell, datetime):
        return cell.strftime("%Y-%m-%d %H:%M:%S%z")
    return str(cell).replace("[", "\\[")


def identifier(cell: Any) -> str:
    """An id is looked up and pasted, so its digits stay together."""
    return str(cell) if isinstance(cell, int) else plain(cell)


def number(value: float) -> str:
    """At least four significant digits, without exponents for everyday sizes."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}" if size < 1e12 else f"{value:.4g}"
    if size >= 1 or size == 0:
        return f"{value:,.2f}"
    return f"{value:.4f}" if size >= 1e-3 else f"{value:.3g}"
