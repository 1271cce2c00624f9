"""What a feature is in SQL: one expression for each type, for the SELECT that reads it and for functions alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Double, Integer, case, cast, func, literal_column

from segjob.records.source import FeatureFamily


def feature_expression(value: ColumnElement[Any], base_type: str) -> ColumnElement[Any]:
    """The one expression that makes a float8 of a feature, or of a parameter of a function.

    It raises on no value and depends on no setting of the session. NULL, what float8 can not hold and the infinite
    dates become NULL; NaN and the infinities of float8 stay as they are.

    Parameters
    ----------
    value : a column or a parameter of a function
    base_type : its type without modifier or domain, such as `numeric`
    """
    return NUMBERS[base_type][1](value)


def constant(literal: str) -> ColumnElement[Any]:
    """A constant as it stands in SQL."""
    return literal_column(literal)


def as_float(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(value, Double)


def numeric_as_float(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """A cast of numeric raises when float8 would overflow or underflow, so neither reaches it."""
    return case(
        (value.between(constant("-1e-300"), constant("1e-300")), cast(constant("0"), Double)),
        (value.between(constant("-1.7976931348623157e308"), constant("1.7976931348623157e308")), cast(value, Double)),
    )


def boolean_as_float(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(cast(value, Integer), Double)


def days_of_date(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((func.isfinite(value), cast(value - constant("DATE '1970-01-01'"), Double)))


def days_of_timestamp(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """date_part counts the seconds since 1970-01-01 UTC of both kinds of timestamp, in float8."""
    seconds = func.date_part(constant("'epoch'"), value)
    return case((func.isfinite(value), seconds.op("/")(cast(constant("86400"), Double))))


NUMBERS: dict[str, tuple[FeatureFamily, Callable[[ColumnElement[Any]], ColumnElement[Any]]]] = {
    "smallint": ("number", as_float),
    "integer": ("number", as_float),
    "bigint": ("number", as_float),
    "numeric": ("number", numeric_as_float),
    "real": ("number", as_float),
    "double precision": ("number", as_float),
    "boolean": ("boolean", boolean_as_float),
    "date": ("date", days_of_date),
    "timestamp without time zone": ("timestamp", days_of_timestamp),
    "timestamp with time zone": ("timestamp", days_of_timestamp),
}
