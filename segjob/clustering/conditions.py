"""What a rule is made of: conditions on source columns, the same on the values as they were read and in SQL.

A condition is true or false of every customer here. In SQL it may be NULL instead of false, where a column is NULL; the
whole rule says `IS TRUE`. Not only NULL is read as missing: NaN, which is the largest number to Postgres, infinities,
numerics beyond float8 and infinite dates are too. Where a column has missing values, a rule says what becomes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from segjob.clustering.features import Rows, by_feature, group_codes
from segjob.clustering.literals import literal, quote_identifier, quote_literal
from segjob.records.model import ModelColumn

WHOLE_TYPES = ("smallint", "integer", "bigint")
FLOAT_TYPES = ("real", "double precision")
LARGEST_WHOLE = 2.0**53  # up to here float8 has every whole number
SAFE_DIGITS = 15  # of a numeric: so many survive the way to float8
HUGE = "1e308"  # no customer of a fit has as much; NaN, Infinity and what float8 can not hold are beyond


@dataclass(frozen=True)
class Source:
    """A feature's column in the source, as a rule needs to know it.

    Attributes
    ----------
    columns : its columns in the model: one of a number, several of a one-hot feature, `other` last
    type : the declared type, such as `numeric(10,2)`
    place : among the numeric features, or among the one-hot ones
    """

    columns: tuple[ModelColumn, ...]
    type: str
    place: int

    @property
    def model(self) -> ModelColumn:
        return self.columns[0]

    @property
    def name(self) -> str:
        """The quoted identifier."""
        return quote_identifier(self.model.column)

    @property
    def may_be_missing(self) -> bool:
        return self.model.n_missing > 0 or self.model.impute == "exclude"

    @property
    def is_dated(self) -> bool:
        return self.model.family in ("date", "timestamp")

    @property
    def holds_odd(self) -> bool:
        """Whether numbers that are read as missing may stand in the source; a domain's type may be any."""
        return self.model.family == "number" and self.model.category is None and self.type not in WHOLE_TYPES

    @property
    def has_odd(self) -> bool:
        return self.may_be_missing and (self.holds_odd or self.is_dated)

    @property
    def is_logged(self) -> bool:
        """Whether -1 and what is below it count as missing."""
        return self.model.family == "number" and self.model.transform == "log1p"

    def loses_digits(self, at: float = 0.0) -> bool:
        """Whether a value that differs from the threshold `at` in the source can be equal to it once read as float8."""
        if self.model.family != "number" or self.type in FLOAT_TYPES:
            return False
        if self.type in WHOLE_TYPES:
            return self.type == "bigint" and abs(at) >= LARGEST_WHOLE
        digits = self.type.removeprefix("numeric(").partition(",")[0]
        return not (digits.isdigit() and int(digits) <= SAFE_DIGITS)


@dataclass(frozen=True)
class Bound:
    """`column >= threshold`, or `column < threshold`; a missing value meets it where `or_missing` says so."""

    source: Source
    threshold: float
    upward: bool
    or_missing: bool = False

    def holds(self, rows: Rows) -> np.ndarray:
        """Of which customers it is true. Boolean, (n,)."""
        values = rows.numbers[:, self.source.place]
        met: np.ndarray = values >= self.threshold if self.upward != self.or_missing else values < self.threshold
        return ~met if self.or_missing else met

    def sql(self, as_float: bool) -> str:
        plain = self.comparison(as_float)
        if not self.or_missing:
            return plain
        return f"({' OR '.join([plain, f'{self.source.name} IS NULL', *self.other_missing()])})"

    def comparison(self, as_float: bool) -> str:
        name = self.source.name
        if self.source.model.family == "boolean":
            return name if self.upward else f"NOT {name}"
        compared = f"{name}::double precision" if as_float else name
        threshold = literal(self.source.model.family, self.source.type, self.threshold)
        return f"{compared} {'>=' if self.upward else '<'} {threshold}"

    def other_missing(self) -> list[str]:
        """What lets in a value that is read as missing, is not NULL, and lies on the other side of the threshold."""
        if not self.source.has_odd:
            return []
        if self.source.is_dated:
            return [f"NOT isfinite({self.source.name})"]
        return [f"{self.source.name} {f'<= -{HUGE}' if self.upward else f'>= {HUGE}'}"]


@dataclass(frozen=True)
class Among:
    """The category is one of some; `codes` are their places among the columns of the one-hot feature."""

    source: Source
    codes: tuple[int, ...]

    def holds(self, rows: Rows) -> np.ndarray:
        kept = np.zeros(len(self.source.columns), bool)
        kept[list(self.codes)] = True
        found: np.ndarray = kept[group_codes(self.source.columns, rows.categories[self.source.place])]
        return found

    def sql(self) -> str:
        last = len(self.source.columns) - 1
        if last not in self.codes:
            return f"{self.source.name} {one_of([self.quoted(code) for code in self.codes], '=', 'IN')}"
        others = [self.quoted(code) for code in range(last) if code not in self.codes]
        if self.source.model.impute == "exclude":
            return f"{self.source.name} {one_of(others, '<>', 'NOT IN')}"
        if len(others) == 1:
            return f"{self.source.name} IS DISTINCT FROM {others[0]}"
        return f"({self.source.name} IS NULL OR {self.source.name} {one_of(others, '<>', 'NOT IN')})"

    def quoted(self, code: int) -> str:
        return quote_literal(str(self.source.columns[code].category))


Condition = Bound | Among


def ties(condition: Condition, rows: Rows) -> int:
    """How many customers have a value that float8, and perhaps nothing else, takes for the threshold."""
    if isinstance(condition, Among) or not condition.source.loses_digits(condition.threshold):
        return 0
    return int(np.count_nonzero(rows.numbers[:, condition.source.place] == condition.threshold))


def written(condition: Condition, n_ties: int) -> str:
    """The condition in SQL; with ties its comparison is between float8, as it was when the customers were counted."""
    return condition.sql() if isinstance(condition, Among) else condition.sql(as_float=n_ties > 0)


def sources_of(columns: Sequence[ModelColumn], types: Sequence[str]) -> list[Source]:
    """The features' columns; `types` are in the order of the configuration."""
    places = {True: count(), False: count()}
    return [
        Source(tuple(group), declared, next(places[group[0].category is None]))
        for group, declared in zip(by_feature(columns), types, strict=True)
    ]


def one_of(quoted: list[str], single: str, several: str) -> str:
    return f"{single} {quoted[0]}" if len(quoted) == 1 else f"{several} ({', '.join(quoted)})"


def guards(source: Source, conditions: Sequence[Condition], required: bool) -> list[str]:
    """What keeps out values of a column that are read as missing and compare like numbers or dates.

    Parameters
    ----------
    conditions : those of the rule on this column
    required : whether customers without a value are in no segment
    """
    plain = [one.upward for one in conditions if isinstance(one, Bound) and not one.or_missing]
    if not plain and not required:
        return []
    if source.is_dated:
        return [f"isfinite({source.name})"] if source.has_odd else []
    found = []
    if True not in plain and required and source.is_logged:
        found.append(f"{source.name} > -1")
    elif True not in plain and source.has_odd:
        found.append(f"{source.name} > -{HUGE}")
    if False not in plain and source.has_odd:
        found.append(f"{source.name} < {HUGE}")
    return found or ([f"{source.name} IS NOT NULL"] if required and not conditions else [])
