"""Which columns can be read, as what, and the one SELECT that reads them. Nothing here needs a connection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Dialect,
    Integer,
    Select,
    SmallInteger,
    Text,
    TextClause,
    Uuid,
    cast,
    column,
    quoted_name,
    select,
    text,
)
from sqlalchemy.dialects import registry

from segjob.errors import ConfigurationError
from segjob.postgres.queries import escaped
from segjob.postgres.reading.expressions import NUMBERS, feature_expression
from segjob.records.source import FeatureColumn, FeatureFamily, FeatureSpec, KeyColumn, KeyFamily

IDENTIFIER_BYTES = 63  # Postgres cuts longer names, so a longer one in the configuration means the cut one

# In the named style SQLAlchemy leaves percent signs as they are.
NAMED: Dialect = registry.load("postgresql.psycopg")(paramstyle="named")

# Base types only: a domain counts as the type below it.
KEY_TYPES: dict[str, tuple[KeyFamily, pa.DataType, Any]] = {
    "smallint": ("integer", pa.int16(), SmallInteger),
    "integer": ("integer", pa.int32(), Integer),
    "bigint": ("integer", pa.int64(), BigInteger),
    "uuid": ("uuid", pa.binary(16), Uuid),
    "text": ("text", pa.string(), Text),
    "character varying": ("text", pa.string(), Text),
}
CATEGORY_TYPES = ("text", "character varying", "character", "boolean")
TEXT_TYPES = ("text", "character varying", "character")
ENUM = "e"

# What may stand before a parenthesis in a filter that means the same at any time.
NOT_ASKING = "abs all and any between char coalesce else in length like lower not numeric or then upper varchar when"
WORDS_FOR_TIME = re.compile(r"\b(now|today|tomorrow|yesterday|current_\w+|localtime\w*)\b", re.IGNORECASE)


@dataclass(frozen=True)
class SourceColumn:
    """One column of the source.

    `type` is as declared, such as `numeric(10,2)` or a domain's name; `base_type` has neither modifier nor domain;
    `kind` is the base type's `pg_type.typtype` (b: base, e: enum, …).
    """

    name: str
    type: str
    base_type: str
    kind: str


@dataclass(frozen=True)
class Description:
    """What the source is and has. Both texts are finished SQL without placeholders.

    `parallel_safe` is the configuration's word that several sessions which share a snapshot see the same rows.
    """

    from_sql: str
    where_sql: str | None
    columns: tuple[SourceColumn, ...]
    parallel_safe: bool = False

    def find(self, name: str, wanted_by: str) -> SourceColumn:
        """The column of this name, cut as Postgres cuts names; else an error with the nearest one."""
        found = [one for one in self.columns if one.name in (name, as_identifier(name))]
        if len(found) > 1:
            raise ConfigurationError(f'{wanted_by}: the source has {len(found)} columns "{name}"; rename all but one')
        if not found:
            hint = nearest(name, {one.name: one.name for one in self.columns})
            raise ConfigurationError(f'{wanted_by}: the source has no column "{name}"{hint}')
        return found[0]


@dataclass(frozen=True)
class ReadPlan:
    """How the customers are read.

    Attributes
    ----------
    keys, features : in the order of the configuration
    schema : of every batch that a reader gives: the "k:" fields, then "n:", then "c:"
    sql : the SELECT as finished text, with one column for each field of `schema`, in its order
    statement : the same SELECT, for whoever reads only a part of it
    relation : the full name of the relation that is read, if parts of it can be read apart from one another; else None
    parallel_safe : whether what is no table can be read in parts as well
    """

    keys: tuple[KeyColumn, ...]
    features: tuple[FeatureColumn, ...]
    schema: pa.Schema
    sql: str
    statement: Select[Any]
    relation: str | None
    parallel_safe: bool


def plan_read(description: Description, keys: Sequence[str], features: Sequence[FeatureSpec]) -> ReadPlan:
    """Decide how each column is read, and build the SELECT.

    Raises
    ------
    ConfigurationError
        A missing column, or one whose type can not be a key or a feature.
    """
    key_columns = [description.find(name, "key") for name in keys]
    found = [(spec, description.find(spec.column, "features")) for spec in features]
    numbers = [one for spec, one in found if not spec.onehot]
    categories = [one for spec, one in found if spec.onehot]
    expressions = [
        *(key_expression(one) for one in key_columns),
        *(feature_expression(named(one.name), base_type_of_number(one)) for one in numbers),
        *(category_expression(one) for one in categories),
    ]
    fields = [
        *(pa.field(f"k:{one.name}", KEY_TYPES[one.base_type][1], nullable=False) for one in key_columns),
        *(pa.field(f"n:{one.name}", pa.float64(), nullable=False) for one in numbers),
        *(pa.field(f"c:{one.name}", pa.string()) for one in categories),
    ]
    statement = select_from(description, expressions)
    return ReadPlan(
        keys=tuple(KeyColumn(one.name, one.type, KEY_TYPES[one.base_type][0]) for one in key_columns),
        features=tuple(FeatureColumn(one.name, one.type, feature_family(spec, one)) for spec, one in found),
        schema=pa.schema(fields),
        sql=as_sql(statement),
        statement=statement,
        relation=divisible(description),
        parallel_safe=description.parallel_safe,
    )


def divisible(description: Description) -> str | None:
    """The relation, if it is one, and if its filter means the same to every session.

    Sessions that share a snapshot do not share `now()`, so a filter that may ask for the time is asked once, unless
    the configuration says that it does not.
    """
    if description.from_sql.startswith("("):
        return None
    sure = description.parallel_safe or not may_ask_for_time(description.where_sql or "")
    return description.from_sql if sure else None


def may_ask_for_time(filtering: str) -> bool:
    """Whether it calls any function that is not known, or has a word for the time; to err costs a little speed."""
    called = re.findall(r'([\w$."]+)\s*\(', filtering)
    return any(name.lower() not in NOT_ASKING.split() for name in called) or bool(WORDS_FOR_TIME.search(filtering))


def select_from(description: Description, expressions: Iterable[ColumnElement[Any]]) -> Select[Any]:
    """The SELECT with its columns called c0, c1, …: names of our own never collide and are never cut."""
    labelled = [expression.label(f"c{place}") for place, expression in enumerate(expressions)]
    statement = select(*labelled).select_from(verbatim(description.from_sql))
    if description.where_sql is None:
        return statement
    return statement.where(verbatim(f"(\n{description.where_sql}\n)"))


def named(name: str) -> ColumnElement[Any]:
    """A column by its name, whatever characters that has."""
    return column(quoted_name(name, quote=True))


def verbatim(finished: str) -> TextClause:
    """Finished SQL as a part of a statement; without the escape, text() would find parameters in it."""
    return text(escaped(finished))


def as_sql(statement: Select[Any] | ColumnElement[Any]) -> str:
    """The statement as finished text; it has no parameters."""
    return str(statement.compile(dialect=NAMED))


# Columns


def key_expression(key: SourceColumn) -> ColumnElement[Any]:
    """The key as its base type, which is what both drivers know."""
    if key.base_type not in KEY_TYPES:
        raise ConfigurationError(
            f'key: column "{key.name}" is {key.type}; a key can be {", ".join(KEY_TYPES)} or a domain over one of them'
        )
    return cast(named(key.name), KEY_TYPES[key.base_type][2])


def category_expression(category: SourceColumn) -> ColumnElement[Any]:
    """The category as text; the cast takes the padding from char(n)."""
    if category.base_type not in CATEGORY_TYPES and category.kind != ENUM:
        raise ConfigurationError(
            f'features: column "{category.name}" is {category.type}, and `encode: onehot` is for text, boolean and enum'
        )
    return cast(named(category.name), Text)


def base_type_of_number(feature: SourceColumn) -> str:
    """The base type of a feature that is used as a number, checked."""
    if feature.base_type in NUMBERS:
        return feature.base_type
    if feature.base_type in TEXT_TYPES or feature.kind == ENUM:
        advice = "give it `encode: onehot`, or cast it to a number in a query"
    else:
        advice = f"a feature can be {', '.join(NUMBERS)}, or a category with `encode: onehot`"
    raise ConfigurationError(f'features: column "{feature.name}" is {feature.type}, which is no number: {advice}')


def feature_family(spec: FeatureSpec, feature: SourceColumn) -> FeatureFamily:
    """How the feature is read: a category as text, whatever its type."""
    return "text" if spec.onehot else NUMBERS[feature.base_type][0]


# Names


def as_identifier(name: str) -> str:
    """The name as Postgres keeps it: at most 63 bytes, cut between characters."""
    return name.encode()[:IDENTIFIER_BYTES].decode(errors="ignore")


def nearest(name: str, candidates: Mapping[str, str]) -> str:
    """`; did you mean …?` with the nearest of the candidates, or nothing.

    The mapping's keys are what to compare with, its values what to show.
    """
    folded = {compared.casefold(): shown for compared, shown in candidates.items()}
    wanted = name.casefold()
    close = [wanted] if wanted in folded else get_close_matches(wanted, folded, n=2)
    return f"; did you mean {' or '.join(folded[match] for match in close)}?" if close else ""
