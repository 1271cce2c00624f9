"""A libpq URL that can not be what somebody meant. libpq would quote the password, or parts of it, in its complaint."""

from __future__ import annotations

import re

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from segjob.errors import ConfigurationError
from segjob.spelling import nearest_name

ENCODED = "in a user name or password write %40 for @, %2F for /, %3A for :, %25 for % and %20 for a space"


def refuse_misread(conninfo: str, key: str = "database.url") -> None:
    """Refuse a URL that libpq can not read, or would take for another, in words that hold nothing of it.

    Raises
    ------
    ConfigurationError
    """
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(f"{key} is no URL that libpq can read{meant(str(error))}; {ENCODED}") from None
    authority = re.sub(r"^\w+://|[/?].*", "", conninfo, flags=re.DOTALL)
    misplaced = "@" in parts.get("dbname", "") and "%40" not in conninfo
    if authority.count("@") > 1 or "@" in parts.get("host", "") or misplaced:
        raise ConfigurationError(f"{key} has an @ or a / too many, so that its host can not be told; {ENCODED}")
    if not re.fullmatch(r"[\d,]*", parts.get("port", "")):
        raise ConfigurationError(f"{key}: the port is no number; {ENCODED}")


def meant(complaint: str) -> str:
    """The option that somebody may have meant; the unknown one may be a piece of a password."""
    found = re.search(r'invalid URI query parameter: "(.*)"', complaint)
    known = [option.keyword.decode() for option in Conninfo.get_defaults()]
    close = nearest_name(found[1], known) if found else None
    return f", for it has an unknown option behind the ?; did you mean {close}?" if close else ""
