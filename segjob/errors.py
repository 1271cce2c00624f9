"""What can go wrong, and what the caller of the command is told: one base, each error knows its exit code."""

from __future__ import annotations


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
