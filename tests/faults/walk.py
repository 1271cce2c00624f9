"""One command, one point, one fault: what is done to it there, and everything that must hold afterwards."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from segjob.errors import DatabaseUnavailable, Stopped, TryAgain
from tests.command import run_segjob
from tests.faults import invariants
from tests.faults.invariants import Books, read_books
from tests.faults.points import Point
from tests.faults.process import Held, held_command, trail
from tests.faults.reader import Read, Reader
from tests.faults.scenarios import READER, Scenario, copy_template
from tests.faults.server import MortalServer, wait_for_no_session
from tests.faults.state import Seen, look

SECONDS_TO_STOP = 5.0
TERMINATE = """
SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
WHERE datname = %s AND application_name = 'segjob'
"""
NUMBERS = count(1)


@dataclass(frozen=True)
class Undisturbed:
    """What a command comes to, and all it comes past, when nothing is in its way."""

    points: tuple[Point, ...]
    before: Books
    after: Books
    began: Seen
    ended: Seen
    relations: frozenset[str]
    seen: frozenset[Seen]


@dataclass(frozen=True)
class Ground:
    """Where commands are walked: a server with the templates, a folder with the configuration, and a reader."""

    server: MortalServer
    folder: Path
    reader: Reader

    @contextmanager
    def database(self, scenario: Scenario) -> Iterator[str]:
        """A fresh copy of the state that a scenario begins with, by its name."""
        name = f"walked_{next(NUMBERS)}"
        copy_template(self.server, name, scenario.begins)
        try:
            yield name
        finally:
            self.server.drop_database(name)

    def reader_url(self, database: str) -> str:
        return self.server.url_of(database).replace("postgres@", f"{READER}@")

    def undisturbed(self, scenario: Scenario) -> Undisturbed:
        with self.database(scenario) as name, self.server.connect(name) as session:
            before, began, relations = read_books(session), look(session), invariants.relations(session)
            self.reader.watch(self.reader_url(name))
            points, code, said = trail(self.folder, self.server.url_of(name), scenario.arguments)
            read = self.reader.stop()
            assert code == 0, said
            assert not read.wrong, read.wrong
            ended = look(session)
            seen = frozenset(one.contents for one in (*read.seen, began, ended))
            return Undisturbed(tuple(points), before, read_books(session), began, ended, relations, seen)


@dataclass
class Struck:
    """What a fault did to a command at a point."""

    reached: bool = False
    code: int | None = None
    seconds: float = 0.0
    said: str = ""


@dataclass(frozen=True)
class Fault:
    """A way to disturb a command that stands still at a point."""

    name: str
    strike: Callable[[Ground, str, Held], None]
    kills: bool = False
    stops: bool = False
    ends_server: bool = False


def kill(ground: Ground, database: str, held: Held) -> None:
    held.send_signal(signal.SIGKILL)


def stop(ground: Ground, database: str, held: Held) -> None:
    held.send_signal(signal.SIGTERM)
    held.let_go()


def terminate(ground: Ground, database: str, held: Held) -> None:
    with ground.server.connect() as session:
        session.execute(TERMINATE, [database])
    held.let_go()


def restart(ground: Ground, database: str, held: Held) -> None:
    ground.server.restart_at_once()
    held.let_go()


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("SIGKILL", kill, kills=True),
        Fault("SIGTERM", stop, stops=True),
        Fault("sessions ended", terminate),
        Fault("server restarted", restart, ends_server=True),
    )
}


@dataclass
class Case:
    """One walk up to one point. `broken` are the invariants that do not hold."""

    ground: Ground
    scenario: Scenario
    fault: Fault
    point: Point
    undisturbed: Undisturbed
    struck: Struck = field(default_factory=Struck)
    broken: list[str] = field(default_factory=list)

    def walk(self) -> None:
        with self.ground.database(self.scenario) as name:
            self.ground.reader.watch(self.ground.reader_url(name))
            try:
                self.disturb(name)
                if self.check_now(name):
                    self.repeat(name)
            finally:
                read = self.ground.reader.stop()
            self.check_reader(read)

    def disturb(self, database: str) -> None:
        url = self.ground.server.url_of(database)
        with held_command(self.ground.folder, url, self.scenario.arguments, self.point) as held:
            self.struck.reached = held.arrive()
            began = time.monotonic()
            if self.struck.reached:
                self.fault.strike(self.ground, database, held)
            self.struck.code = held.end()
            self.struck.seconds = time.monotonic() - began
            self.struck.said = held.output()

    def check_now(self, database: str) -> bool:
        """What holds as soon as the process is gone; returns whether it left anything at all."""
        with self.ground.server.connect(database) as session:
            wait_for_no_session(session, database)
            self.broken += invariants.nothing_is_held(session)
            self.broken += self.check_whole(session)
            runs = invariants.runs_since(session, self.undisturbed.before.last_run)
            self.broken += [f"I6: {sentence}" for sentence in self.wrong_end(runs)]
            return bool(runs) or invariants.relations(session) != self.undisturbed.relations

    def check_whole(self, session: psycopg.Connection) -> list[str]:
        before, after = self.undisturbed.before, self.undisturbed.after
        whole = invariants.versions_are_whole(read_books(session), before, after)
        return invariants.pointer_is_whole(session) + whole

    def wrong_end(self, runs: Sequence[tuple[Any, ...]]) -> Iterator[str]:
        """The exit code, and what segments.run says of it."""
        code, ours = self.struck.code, next((run for run in runs if run[1] == self.scenario.kind), None)
        status, written = (ours[2], ours[3]) if ours else (None, None)
        done = status == "succeeded"
        if not self.struck.reached:
            if (code, done) != (0, True):
                yield f"a command that came past its point ended with {code}, {status}"
        elif self.fault.kills:
            if code != -signal.SIGKILL or status not in (None, "running", "succeeded"):
                yield f"killed, it ended with {code}, {status}"
        elif self.fault.stops:
            if code != Stopped.exit_code or status not in (None, "stopped", "succeeded"):
                yield f"stopped, it ended with {code}, {status}"
            if self.struck.seconds > SECONDS_TO_STOP:
                yield f"stopped, it took {self.struck.seconds:.1f} s to end"
            if status == "stopped" and written != Stopped.exit_code:
                yield f"stopped, the run says {written}"
        else:
            yield from self.wrong_failure(status, written, done)
        if self.struck.said.count("Traceback"):
            yield "it printed a traceback"

    def wrong_failure(self, status: str | None, written: int | None, done: bool) -> Iterator[str]:
        """Where the server or a session went away: done and 0, or not done and a code that says to come again."""
        code = self.struck.code
        if done != (code == 0):
            yield f"it ended with {code}, and its run is {status}"
        if not done and code not in (DatabaseUnavailable.exit_code, TryAgain.exit_code):
            yield f"it ended with {code}"
        if status not in (None, "succeeded", "failed"):
            yield f"its run is {status}"
        if status == "failed" and written != code:
            yield f"it ended with {code}, and its run says {written}"

    def repeat(self, database: str) -> None:
        """The same again, as the scheduler or an operator does, and what it comes to."""
        with self.ground.server.connect(database) as session:
            runs = invariants.runs_since(session, self.undisturbed.before.last_run)
            committed = any(run[1:3] == (self.scenario.kind, "succeeded") for run in runs)
            again = (committed and self.scenario.committed) or self.scenario.again
            done = run_segjob(self.ground.folder, self.ground.server.url_of(database), *again)
            if done.returncode:
                self.broken.append(f"I4: the repetition ended with {done.returncode}: {done.stderr.strip()[-300:]}")
                return
            self.broken += invariants.converged(look(session), self.undisturbed.ended)
            self.broken += invariants.nothing_is_left(session)
            self.broken += self.check_whole(session)
            self.broken += self.lost(invariants.runs_since(session, self.undisturbed.before.last_run), runs)

    def lost(self, now: Sequence[tuple[Any, ...]], then: Sequence[tuple[Any, ...]]) -> list[str]:
        """I6: who was killed without a word is marked by the next."""
        left: Mapping[int, str] = {run[0]: run[2] for run in now}
        running = [run[0] for run in then if run[2] == "running"]
        return [f"I6: run {run_id} is {left[run_id]}" for run_id in running if left[run_id] != "lost"]

    def check_reader(self, read: Read) -> None:
        if not read.n_looks:
            self.broken.append("I2: the reader saw nothing at all")
        self.broken += invariants.reader_saw_nothing_else(read, self.allowed, self.fault.ends_server)

    @cached_property
    def allowed(self) -> set[Seen]:
        return set(self.undisturbed.seen)

    def report(self) -> str:
        """Everything that a person needs to see it again."""
        said = "\n    ".join(self.struck.said.strip().splitlines()[-6:])
        head = f"{self.scenario.name}, {self.fault.name} at `{self.point}` (exit code {self.struck.code})"
        return "\n  ".join([head, *self.broken, f"said: {said}"])
