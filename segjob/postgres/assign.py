"""The published model as functions in SQL: how their text is put together from the pieces in `sql/assign.sql`.

They are made for the names and types of the features and for nothing else; what a version found out is data that they
read. The numeric features, and the one-hot ones, are numbered in the order of their names, as `model` has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, literal_column

from segjob.errors import ConfigurationError
from segjob.postgres.queries import Names, literal, query, quote, sql
from segjob.postgres.reading.columns import as_sql
from segjob.postgres.reading.expressions import feature_expression
from segjob.records.source import FeatureColumn, FeatureFamily

MOST_PARAMETERS = 100  # of a function in Postgres

ANEW = "which must be made anew for other features; drop it, run `segjob migrate`, and create it again"
GONE = "which is to go; drop it first"

NEAREST = "segment_ids[nearest]"

# The columns of `model`, each with a variable of its name: those of all functions, of numbers, of categories.
DOUBLES, INTEGERS = "double precision[]", "integer[]"
OF_ALL = {"unit": "double precision", "squares": DOUBLES, "segment_ids": INTEGERS}
OF_NUMBERS = {
    **dict.fromkeys(("above", "low", "high", "imputed"), DOUBLES),
    **dict.fromkeys(("center", "scale", "weight", "negligible", "origin", "factors"), DOUBLES),
    "logarithmic": "boolean[]",
}
OF_CATEGORIES = {
    **dict.fromkeys(("first_column", "last_column"), INTEGERS),
    **dict.fromkeys(("category_scores", "category_squares"), DOUBLES),
    "required": "boolean[]",
    "categories": "text[]",
}
OF_JSON = {"number": "numeric", "parts": "text[]", "year": "integer", "month_start": "date", "day": "bigint"}

# Where this database does not know a type of the source's.
SUBSTITUTES: dict[FeatureFamily, str] = {
    "number": "numeric",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp with time zone",
    "text": "text",
}

# A number in JSON, which has no bounds, as the source's type would have kept it.
FROM_JSON = {
    "real": "CASE WHEN abs(number) < 1e-45 THEN 0 WHEN abs(number) <= 3.4028235e38 THEN number::real END",
    "double precision": "CASE WHEN abs(number) < 4e-324 THEN 0"
    " WHEN abs(number) <= 1.7976931348623157e308 THEN number::double precision END",
}
ISO_8601 = (
    "^([0-9]{4,7})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"(?:[T ]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9](?:\.[0-9]{1,6})?)"
    "(?:Z|([+-])([0-9]{2})(?::([0-9]{2}))?(?::([0-9]{2}))?)?)?( BC)?$"
)


@dataclass(frozen=True)
class Value:
    """One feature of a function: its column, its type below all domains, and its variables' number."""

    name: str
    base_type: str
    family: FeatureFamily
    place: int  # among the parameters, from 1
    number: int  # among the numeric or the one-hot features, from 1

    @property
    def onehot(self) -> bool:
        return self.family == "text"

    @property
    def variables(self) -> dict[str, str]:
        return {"j": str(self.number), "x": f"x{self.number}", "c": f"c{self.number}", "k": f"k{self.number}"}

    @property
    def declared(self) -> list[str]:
        names = self.variables
        return [f"{names['c']} text;", f"{names['k']} integer;"] if self.onehot else [f"{names['x']} double precision;"]


def find_values(connection: Connection, features: Sequence[FeatureColumn]) -> tuple[Value, ...]:
    """The features in the order of the configuration, with the types that a parameter can have.

    A parameter over a domain would refuse what the domain refuses, NULL perhaps; so it has the type below.
    """
    types = [feature.type for feature in features]
    known = {row.place: row.name for row in connection.execute(query("base_types"), {"types": types})}
    numbers = {
        feature.name: number
        for onehot in (False, True)
        for number, feature in enumerate(in_order(feature for feature in features if is_onehot(feature) == onehot), 1)
    }
    return tuple(
        Value(one.name, known.get(place, SUBSTITUTES[one.family]), one.family, place, numbers[one.name])
        for place, one in enumerate(features, 1)
    )


def in_order(features: Iterator[FeatureColumn]) -> list[FeatureColumn]:
    return sorted(features, key=lambda feature: feature.name)


def is_onehot(feature: FeatureColumn) -> bool:
    return feature.family == "text"


def signatures(names: Names, values: Sequence[Value]) -> list[str]:
    """The two functions that analysts call; the one by name only if Postgres takes so many parameters."""
    by_name = [f"{names.assign}({', '.join(value.base_type for value in values)})"]
    return [*(by_name if len(values) <= MOST_PARAMETERS else []), f"{names.assign}(jsonb)"]


def create_assign(names: Names, values: Sequence[Value]) -> list[str]:
    """The functions that analysts call, and one of our own that tells how a customer lies."""
    *by_name, by_json = signatures(names, values)
    parameters = ", ".join(f"{quote(value.name)} {value.base_type} DEFAULT NULL" for value in values)
    given = [piece for value in values for piece in from_parameter(value)]
    row = [piece for value in values for piece in from_json(value)]
    said = f"segjob: the segment that the published version of {names.segmentation} gives to such a customer"
    statements = []
    for signature in by_name:
        body = function_body(names, values, given, NEAREST)
        comment = f"{said}; what is left out is missing."
        statements += create(names.assign, signature, parameters, "integer", body, comment)
    body, comment = function_body(names, values, row, NEAREST), f"{said}, given as a row of the source: to_jsonb(row)."
    statements += create(names.assign, by_json, "jsonb", "integer", body, comment)
    body, comment = function_body(names, values, row, explained(values)), "The same with distance and coordinates."
    return statements + create(names.placed, f"{names.placed}(jsonb)", "jsonb", "jsonb", body, comment)


def create(function: str, signature: str, parameters: str, result: str, body: str, comment: str) -> list[str]:
    return sql(
        "create_assign",
        function=function,
        signature=signature,
        parameters=parameters,
        result=result,
        body=literal(body),
        comment=literal(comment),
    )


def function_body(names: Names, values: Sequence[Value], pieces: Sequence[str], answer: str) -> str:
    """The text of a function: `pieces` read the values, the rest is the same for all."""
    read = model_columns(values)
    own = [variable for value in by_kind(values) for variable in value.declared]
    declared = [*(f"{name} {kind};" for name, kind in {**read, **OF_JSON}.items()), *own]
    features = sorted(f"{value.name} {value.family}" for value in values)
    return piece(
        "assign_body",
        name=literal(names.segmentation),
        private=quote(names.schemas.private),
        variables="\n    ".join(declared),
        selected=", ".join(f"m.{name}" for name in read),
        into=", ".join(read),
        features=f"ARRAY[{', '.join(literal(feature) for feature in features)}]",
        coordinates="\n    ".join([*pieces, leave_out(values), *(to_grid(value) for value in values)]),
        terms="".join(f" + {term(value)}" for value in by_kind(values)),
        answer=answer,
    )


def model_columns(values: Sequence[Value]) -> dict[str, str]:
    """What is read of a model, for each array that is read costs time."""
    numbers = {} if all(value.onehot for value in values) else OF_NUMBERS
    categories = OF_CATEGORIES if any(value.onehot for value in values) else {}
    return {**OF_ALL, **numbers, **categories}


def leave_out(values: Sequence[Value]) -> str:
    """Whether a value lacks that the model requires; one question for all of them, for each costs time."""
    lacking = [
        f"{value.variables['c']} IS NULL AND required[{value.number}]"
        if value.onehot
        else f"{value.variables['x']} = 'NaN'"
        for value in by_kind(values)
    ]
    return piece("leave_out", lacking=" OR ".join(lacking))


def by_kind(values: Sequence[Value]) -> list[Value]:
    return sorted(values, key=lambda value: (value.onehot, value.number))


def term(value: Value) -> str:
    """What a feature adds to the squared distance from centre i."""
    if value.onehot:
        return f"category_scores[i][{value.variables['k']}]"
    return f"{value.variables['x']} * factors[i][{value.number}]"


def explained(values: Sequence[Value]) -> str:
    """The segment, the squared distance in grid units, the coordinates of numbers and the columns of categories."""
    numbers = [value.variables["x"] for value in by_kind(values) if not value.onehot]
    columns = [value.variables["k"] for value in by_kind(values) if value.onehot]
    squares = [*(f"{x} * {x}" for x in numbers), *(f"category_squares[{k}]" for k in columns)]
    return (
        f"jsonb_build_object('segment_id', {NEAREST}, 'squared_distance', (best + {' + '.join(squares)})::numeric,"
        f" 'coordinates', ARRAY[{', '.join(numbers)}]::numeric[], 'columns', ARRAY[{', '.join(columns)}]::integer[])"
    )


def from_parameter(value: Value) -> Iterator[str]:
    """A parameter as its variable, by the one expression that also reads the column."""
    given = f"${value.place}"
    if value.onehot:
        yield f"{value.variables['c']} := {given}::text;"
    elif value.base_type == "double precision":
        yield piece("impute", given=given, **value.variables)
    else:
        yield f"{value.variables['x']} := {as_sql(feature_expression(literal_column(given), value.base_type))};"
        yield piece("impute", given=value.variables["x"], **value.variables)


def from_json(value: Value) -> Iterator[str]:
    """A key of a row as JSON as its variable; a value of another type than the column's is missing."""
    known = {**value.variables, "key": literal(value.name)}
    if value.onehot:
        yield category_from_json(value, known)
    elif value.family == "boolean":
        yield piece("boolean_from_json", **known)
    elif value.family == "number":
        default = as_sql(feature_expression(literal_column("number"), "numeric"))
        yield piece("number_from_json", expression=FROM_JSON.get(value.base_type, default), **known)
    else:
        time = piece("time_from_json", **known) if value.family == "timestamp" else ""
        yield piece("day_from_json", time=time, pattern=literal(ISO_8601), **known)
    if not value.onehot:
        yield piece("impute", given=value.variables["x"], **value.variables)


def category_from_json(value: Value, known: dict[str, str]) -> str:
    """Text, boolean or enum as the job reads it; to_jsonb leaves the padding of char(n), the job's cast takes it."""
    json_type = "boolean" if value.base_type == "boolean" else "string"
    text = f"$1 ->> {known['key']}"
    text = f"rtrim({text}, ' ')" if value.base_type == "character" else text
    return piece("category_from_json", json_type=literal(json_type), text=text, **known)


def to_grid(value: Value) -> str:
    return piece("category_to_column" if value.onehot else "number_to_grid", **value.variables)


def piece(name: str, /, **identifiers: str) -> str:
    """A part of a function's body, whole."""
    return ";\n    ".join(sql(name, **identifiers))


# What is there


def drop_assign(connection: Connection, names: Names, *, whole: bool) -> list[str]:
    """The statements that take the functions away, if nothing of somebody else depends on them.

    Parameters
    ----------
    whole : take those over JSON too, which are the same for all features and can be replaced in their place

    Raises
    ------
    ConfigurationError
        Something does.
    """
    called = {"schema": names.schemas.public, "name": f"{names.segmentation}_assign", "whole": whole}
    own = {"schema": names.schemas.private, "name": f"placed_{names.segmentation}", "whole": whole}
    dependents = connection.execute(query("dependents_of_functions"), called).scalars().all()
    if dependents:
        way_out = GONE if whole else ANEW
        raise ConfigurationError(f"{', '.join(dependents)} depends on {names.segmentation}_assign, {way_out}")
    found = [row.signature for one in (called, own) for row in connection.execute(query("functions_called"), one)]
    return [statement for signature in found for statement in sql("drop_assign", signature=signature)]
