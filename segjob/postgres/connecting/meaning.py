"""What a driver's error means to a caller: which error of ours, in which words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from segjob.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    DataError,
    InTheWay,
    NotPermitted,
    SegjobError,
    TryAgain,
)
from segjob.postgres.connecting.discretion import sentence_of, without_password

REFUSED = re.compile(
    r"password authentication failed|no password supplied|role .* does not exist|no pg_hba\.conf entry"
    r"|peer authentication failed|ident authentication failed|permission denied for database|not permitted to log in",
    re.IGNORECASE,
)
PASSING = re.compile(
    r"Temporary failure in name resolution|SSL connection has been closed unexpectedly|SSL SYSCALL error"
    r"|SSL error: unexpected eof",
    re.IGNORECASE,
)
MISCONFIGURED = re.compile(
    r"database .* does not exist|certificate|SSL|invalid (connection option|sslmode|port|integer)"
    r"|missing \"=\"|invalid URI|could not translate host name",
    re.IGNORECASE,
)


def connection_error(error: psycopg.Error, key: str) -> SegjobError:
    """What a failed connection means. libpq gives no SQLSTATE for it, so the sentence has to tell."""
    sentence = " ".join(str(error).split())
    if REFUSED.search(sentence):
        return NotPermitted(f"the server of {key} refuses to let us in: {without_password(sentence)}")
    if MISCONFIGURED.search(sentence) and not PASSING.search(sentence):
        return ConfigurationError(f"can not connect as {key} says: {without_password(sentence)}")
    return DatabaseUnavailable(f"no database answers at {key}: {without_password(sentence)}")


# SQLSTATE, or its class, to what it means; the first hit counts.
MEANINGS: tuple[tuple[str, type[SegjobError]], ...] = (
    ("28", NotPermitted),
    ("42501", NotPermitted),
    ("3D", ConfigurationError),
    ("42", ConfigurationError),
    ("3F", ConfigurationError),
    ("0A", ConfigurationError),
    ("25006", ConfigurationError),
    ("53100", TryAgain),
    ("53200", TryAgain),
    ("53400", ConfigurationError),
    ("53", DatabaseUnavailable),
    ("40P01", InTheWay),
    ("40", TryAgain),
    ("55P03", InTheWay),
    ("57014", TryAgain),
    ("57", DatabaseUnavailable),
    ("08", DatabaseUnavailable),
    ("22", DataError),
    ("23", DataError),
    ("P0", DataError),
)


ADVICE = {
    "25006": "; database.url has to be a server that can be written to: a standby can only be database.source_url"
}


def database_error(error: BaseException) -> SegjobError:
    """Translate a driver's error. DETAIL and CONTEXT are left out: they may hold values of customers."""
    driver = getattr(error, "orig", error)  # SQLAlchemy's errors carry the driver's
    if not isinstance(driver, psycopg.Error):
        return SegjobError(f"unexpected {type(error).__name__}")
    state = driver.sqlstate or ("08006" if isinstance(driver, psycopg.OperationalError) else "")
    meaning = next((error for prefix, error in MEANINGS if state.startswith(prefix)), SegjobError)
    return meaning(f"{sentence_of(driver)} (SQLSTATE {state or 'none'}){ADVICE.get(state, '')}")


@contextmanager
def translated() -> Iterator[None]:
    """Turn driver errors into the job's own, with the cause kept."""
    try:
        yield
    except driver_errors() as error:
        raise database_error(error) from error


def driver_errors() -> tuple[type[Exception], ...]:
    """The driver's errors, as they are and as SQLAlchemy wraps them; asked for only when something was raised."""
    from sqlalchemy.exc import DBAPIError

    return (psycopg.Error, DBAPIError)
