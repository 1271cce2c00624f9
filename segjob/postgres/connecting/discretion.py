"""What the server says, without what it may quote: values of customers, and passwords.

DETAIL and CONTEXT are never looked at, for they hold rows. What is left is one sentence, and even that may quote.
"""

from __future__ import annotations

import re

import psycopg

QUOTED = re.compile(r'".*"', re.DOTALL)  # from the first to the last: a value may hold quotes of its own
BYTES = re.compile(r"(0x[0-9a-f]{2}\s*)+")
LANGUAGES = ("pl_exec.c", "plpy_elog.c", "plpython.c", "plperl.c", "pltcl.c")
"""The server's own files from which the sentences of somebody's functions come."""

SOMEBODY_S = "P0"  # the class of RAISE, which a foreign server passes on without its file
WITHHELD = "a function in the database raised an error; its words may hold values and are in the server's log alone"


def discreet(state: str, said: str, file: str = "") -> str:
    """What the server says, for everybody's eyes.

    Parameters
    ----------
    state : the SQLSTATE; in its class 22 (data exception) values stand between quotes
    said : the primary message
    file : the file of the server's source that it comes from
    """
    if file.rpartition("/")[2] in LANGUAGES or state.startswith(SOMEBODY_S):
        return WITHHELD
    return without_password(without_values(said) if state.startswith("22") else said)


def sentence_of(error: psycopg.Error) -> str:
    """The same of a driver's error; its name where the server said nothing."""
    diag = error.diag
    return discreet(error.sqlstate or "", diag.message_primary or type(error).__name__, diag.source_file or "")


def without_values(sentence: str) -> str:
    return BYTES.sub("…", QUOTED.sub('"…"', sentence))


def without_password(sentence: str) -> str:
    """Take out anything that looks like the password part of a URL or of a conninfo string."""
    sentence = re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", sentence)
    return re.sub(r"(password\s*=\s*)('[^']*'|\S+)", r"\1***", sentence, flags=re.IGNORECASE)
