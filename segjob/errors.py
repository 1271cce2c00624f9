"""What can go wrong, and what the caller of the command is told: one base, each error knows its exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

# How those say it that have no MemoryError: torch, C++, the loader of programs, and threads, whose stacks need room.
NO_MEMORY = re.compile(
    r"(can't|cannot) allocate memory|(not enough|out of) memory|bad_alloc|can't start new thread|failed to map segment",
    re.IGNORECASE,
)


class SegjobError(Exception):
    """The base of every error that the job raises on purpose.

    The message is one sentence for a person: what, where, which column or value, what to do. It never holds a
    password or a customer's value.
    """

    exit_code = 70
    code = "internal"
    retryable = False


class UsageError(SegjobError):
    """The command line asks for something that does not exist."""

    exit_code = 2
    code = "usage"


class GateRefused(SegjobError):
    """A gate refused the version; the published one stands."""

    exit_code = 3
    code = "gate_refused"


class DataError(SegjobError):
    """The data can not be segmented: no rows, a NULL or duplicate key, text that is not valid."""

    exit_code = 65
    code = "data"


class DatabaseUnavailable(SegjobError):
    """No server answers, or it went away."""

    exit_code = 69
    code = "unavailable"
    retryable = True


class InternalError(SegjobError):
    """A bug: something that the job itself promised does not hold."""


class OutOfMemory(InternalError):
    """Memory was asked for, and refused."""

    code = "out_of_memory"


class TryAgain(SegjobError):
    """The same command may succeed later: another run holds the lock, a lock timed out, a full disk."""

    exit_code = 75
    code = "try_again"
    retryable = True


class InTheWay(TryAgain):
    """Somebody else's lock did not come free in time: the same step may succeed as soon as it has."""


class NoRoom(TryAgain):
    """A disk of ours is full: what the job does at once will find it as full."""


class NotPermitted(SegjobError):
    """The database refuses the role, or an object belongs to somebody else."""

    exit_code = 77
    code = "not_permitted"


class ConfigurationError(SegjobError):
    """The configuration, or a schema that `segjob migrate` has not brought up to date."""

    exit_code = 78
    code = "configuration"


class Stopped(SegjobError):
    """SIGTERM arrived."""

    exit_code = 143
    code = "stopped"


class Interrupted(Stopped):
    """Somebody pressed Ctrl-C."""

    exit_code = 130
    code = "interrupted"


def unexpected(error: Exception) -> SegjobError:
    """What an error means that nobody raised on purpose: memory that was refused, else a bug.

    Its own sentence may hold a customer's value, and is not told.
    """
    if isinstance(error, MemoryError) or NO_MEMORY.search(str(error)):
        return OutOfMemory(
            "there is not enough memory for the run: let it have more, or set resources.memory lower, so that more of"
            " the customers wait in resources.spool_dir"
        )
    return InternalError(f"internal error: {type(error).__name__}; run again with --debug for the traceback")


@contextmanager
def if_possible() -> Iterator[None]:
    """Tidy up as well as it goes: what fails is left to the next run. A signal is none of that."""
    try:
        yield
    except Stopped:
        raise
    except SegjobError:
        return
