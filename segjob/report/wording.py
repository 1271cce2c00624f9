"""How values are written for people: numbers, shares, dates, scores, and text inside a figure."""

from __future__ import annotations

import math
import textwrap
from datetime import UTC, datetime
from html import escape
from typing import TypeAlias

import numpy as np

from segjob.records.model import ModelColumn
from segjob.records.version import Score

NONE = "–"
DIGITS = 4
MINUTES_A_DAY = 1440
FAR_DAYS = 10_000_000  # beyond this many days (some 27,000 years) a date says nothing


class Share(float):
    """A part of one, written as a percentage."""


class Day(float):
    """Days since 1970-01-01, written as a date."""


class Instant(float):
    """Days since 1970-01-01, written as a date with the time in UTC."""


Cell: TypeAlias = str | int | float | None


def in_source_units(column: ModelColumn, value: float | None) -> Cell:
    """A value of this column as its source would show it: a date as a date, a category's indicator as a share."""
    if value is None:
        return None
    if column.category is not None or column.family == "boolean":
        return Share(value)
    if column.family == "date":
        return Day(value)
    return Instant(value) if column.family == "timestamp" else float(value)


def written(cell: Cell) -> str:
    """One value as text; a missing one, and NaN, is a dash."""
    if isinstance(cell, str):
        return cell
    if cell is None or math.isnan(cell):
        return NONE
    if isinstance(cell, Share):
        return percentage(100 * cell)
    if isinstance(cell, Day | Instant):
        return date_text(cell, minutes=isinstance(cell, Instant))
    return number(cell)


def percentage(percent: float) -> str:
    """Three digits, and no more decimals than a reader can use."""
    if 0 < round(abs(percent), 9) < 0.01:
        return "under 0.01 %"
    return f"{number(round(percent, 9), digits=3)} %"


def number(value: float, digits: int = DIGITS) -> str:
    """A number with thousands separators: every digit before the point, and `digits` significant ones in all."""
    if isinstance(value, int):
        return signed(f"{value:,}")
    if not math.isfinite(value) or (value != 0 and not 1e-4 <= abs(value) < 1e15):
        return signed(f"{value:.{digits - 1}e}" if math.isfinite(value) else str(value))
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else math.floor(math.log10(abs(value))) + 1 if value else 1
    text = f"{value:,.{max(digits - whole, 0)}f}"
    return signed(text.rstrip("0").rstrip(".") if "." in text else text)


def signed(text: str) -> str:
    """The same number with a real minus sign, and none before a zero."""
    return text.removeprefix("-") if not text.strip("-0.,") else text.replace("-", "\N{MINUS SIGN}")


def date_text(days: float, *, minutes: bool = False) -> str:
    """The date (UTC) so many days after 1970-01-01, with its minute where asked for."""
    if not abs(days) < FAR_DAYS:
        return f"{number(days)} days since 1970-01-01"
    if minutes:
        return str(np.datetime64(round(days * MINUTES_A_DAY), "m")).replace("T", " ")
    return str(np.datetime64(math.floor(days + 0.5), "D"))


def moment(at: datetime) -> str:
    """A moment in UTC; one without a zone is taken as UTC."""
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return f"{aware.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def silhouette_text(score: Score, n_segments: int) -> str:
    """The value of a silhouette, or why there is none."""
    if score.value is None:
        return "none, there is one segment" if n_segments == 1 else "none"
    return number(score.value)


def basis_text(score: Score) -> str:
    """How a silhouette was come by: its method, its interval, and how many customers it rests on."""
    method = score.method.capitalize()
    if score.value is None:
        return method
    if score.exact:
        return f"{method}, exact over {score.n_sampled:,} customers"
    if score.low is None or score.high is None:
        return f"{method}, estimated from {score.n_sampled:,} customers"
    interval = f"{number(score.low)} to {number(score.high)}"
    return f"{method}, 95 % interval {interval}, estimated from {score.n_sampled:,} customers"


def plot_text(text: str, width: int = 24, lines: int = 2) -> str:
    """Text for a figure: folded, shortened, and escaped, since plotly reads some HTML in its texts."""
    folded = textwrap.wrap(text, width) or [NONE]
    if len(folded) > lines:
        last = " ".join(folded[lines - 1 :])
        folded = [*folded[: lines - 1], f"{last[: width - 1].rstrip()}…"]
    return "<br>".join(escape(line, quote=False) for line in folded)
