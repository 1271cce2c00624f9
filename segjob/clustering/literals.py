"""Names and constants as SQL has them: they read back exactly, whatever the settings of the session."""

from __future__ import annotations

import numpy as np

from segjob.clustering.thresholds import MICROSECONDS, SECONDS
from segjob.records.source import FeatureFamily


def literal(family: FeatureFamily, declared: str, threshold: float) -> str:
    """A threshold on a column of this family and declared type."""
    if family == "date":
        return f"DATE '{calendar_date(np.datetime64(int(threshold), 'D'))}'"
    if family == "timestamp":
        return f"{moment_type(declared)}'{moment(threshold)}'"
    return repr(threshold).removesuffix(".0")


def moment_type(declared: str) -> str:
    if declared.startswith("timestamp"):
        return "TIMESTAMPTZ " if declared.endswith("with time zone") else "TIMESTAMP "
    return ""  # a domain: the constant takes its type


def moment(days: float) -> str:
    """The moment so many days after 1970-01-01 UTC; a column without a zone is read as UTC and ignores this one."""
    exact = np.datetime64(round(days * SECONDS * MICROSECONDS), "us")
    day = exact.astype("datetime64[D]")
    seconds, fraction = divmod(int((exact - day).astype(np.int64)), int(MICROSECONDS))
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    clock += f".{fraction:06}".rstrip("0") if fraction else ""
    date, *era = calendar_date(day).split(" ")
    return " ".join([date, f"{clock}+00", *era])


def calendar_date(day: np.datetime64) -> str:
    """Postgres has no year 0: the one before the year 1 is 1 BC."""
    months = int(day.astype("datetime64[M]").astype(np.int64))
    year, month = 1970 + months // 12, 1 + months % 12
    nth = 1 + int((day - np.datetime64(months, "M").astype("datetime64[D]")).astype(np.int64))
    return f"{year:04}-{month:02}-{nth:02}" if year > 0 else f"{1 - year:04}-{month:02}-{nth:02} BC"


def quote_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """As Postgres' own quote_literal writes it, whatever `standard_conforming_strings` is."""
    quoted = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{quoted}'" if "\\" in text else f"'{quoted}'"
