"""Something happens in the middle of a command: the first, second, third … time that it speaks to the server.

The commands are executed in this process, which makes a sequence of many of them quick. A process that dies is played
by ending its sessions and giving it no others: whatever it would still do reaches nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from segjob.postgres.connecting.connect import Database
from tests.waiting import wait_until

Kind: TypeAlias = Literal["die", "cut before", "cut after", "lose a commit", "meanwhile"]
OURS = "datname = current_database() AND application_name = 'segjob' AND (%(pid)s::int IS NULL OR pid = %(pid)s)"
OPEN = f"SELECT count(*) FROM pg_stat_activity WHERE {OURS}".encode()
END = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}".encode()


class Died(BaseException):
    """The process is no more: nothing that it would do from now on may have an effect."""


@dataclass
class Interruption:
    """What happens at one of the points of a command.

    Attributes
    ----------
    kind : the process dies; one session is cut before or after what it asks is done, or after a COMMIT; or somebody
        else does something
    at : the number of the point, from 0; commits are counted by themselves
    act : what somebody else does
    happened : whether the command came as far
    """

    kind: Kind
    at: int
    act: Callable[[], None] = lambda: None
    happened: bool = False
    n_points: int = field(default=0, repr=False)
    busy: bool = False
    dead: bool = False


class Interruptions:
    """Between the commands of this process and the server."""

    def __init__(self, admin: psycopg.Connection) -> None:
        self.admin = admin
        self.due: Interruption | None = None
        self.on_commit: Callable[[], None] = lambda: None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Stand in the way of psycopg for as long as the block lasts."""
        waits, opens = psycopg.Connection.wait, Database.open

        def wait(session: psycopg.Connection, *arguments: Any, **options: Any) -> Any:
            return self.pass_by(session, lambda: waits(session, *arguments, **options))

        def open_session(database: Database) -> psycopg.Connection:
            if self.due and self.due.dead:
                raise Died
            return opens(database)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(psycopg.Connection, "wait", wait)
            patch.setattr(Database, "open", open_session)
            yield

    def pass_by(self, session: psycopg.Connection, ask: Callable[[], Any]) -> Any:
        """One round trip, at which something may happen."""
        due = self.due
        if due is None or session is self.admin:
            return ask()
        if due.dead:
            raise Died
        before = session.pgconn.transaction_status
        answer = ask() if due.busy or not self.is_now(due, "point") else self.interrupt(due, session, ask)
        if before != TransactionStatus.IDLE and session.pgconn.transaction_status == TransactionStatus.IDLE:
            self.on_commit()
            if not due.busy and self.is_now(due, "commit"):
                due.happened = True
                raise self.lost(session)
        return answer

    def is_now(self, due: Interruption, counted: str) -> bool:
        """Count a point, and tell whether it is the one."""
        if due.happened or (due.kind == "lose a commit") != (counted == "commit"):
            return False
        due.n_points += 1
        return due.n_points > due.at

    def interrupt(self, due: Interruption, session: psycopg.Connection, ask: Callable[[], Any]) -> Any:
        idle = session.pgconn.transaction_status == TransactionStatus.IDLE
        if due.kind == "meanwhile":
            if idle:  # nobody else would wait for us to finish what we are at
                due.happened = due.busy = True
                due.act()
                due.busy = False
            return ask()
        due.happened = True
        if due.kind == "die":
            due.dead = True
            self.end(None)
            raise Died
        answer = ask() if due.kind == "cut after" else None
        if due.kind == "cut after" and session.pgconn.transaction_status == TransactionStatus.IDLE:
            raise self.lost(session)
        self.end(session.info.backend_pid)
        return answer if due.kind == "cut after" else ask()

    def lost(self, session: psycopg.Connection) -> psycopg.OperationalError:
        """What a driver says whose question was heard and whose answer was not."""
        self.end(session.info.backend_pid)
        session.close()
        return psycopg.OperationalError("server closed the connection unexpectedly")

    def end(self, pid: int | None) -> None:
        """End a session of the job, or all of them, and see them gone."""
        self.admin.execute(END, {"pid": pid})
        wait_until(lambda: self.n_open(pid) == 0, seconds=10)

    def n_open(self, pid: int | None = None) -> int:
        (found,) = self.admin.execute(OPEN, {"pid": pid}).fetchone() or (0,)
        return int(found)

    @contextmanager
    def interrupted(self, due: Interruption | None) -> Iterator[None]:
        """Let it happen in the block; who died is not missed."""
        self.due = due
        try:
            yield
        except Died:
            pass
        finally:
            self.due = None
            if due and due.dead:
                self.end(None)
