"""Any sequence of commands, disturbed anywhere: what is stored is always what the commands that took effect come to.

`expected_shop.py` says what that is. SEGJOB_TEST_SEQUENCES sets how many sequences are walked; with SEGJOB_TEST_SEED,
others than always.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from psycopg.conninfo import conninfo_to_dict

from segjob.job import forgetting, publishing, republishing, scoring
from segjob.postgres import patience
from segjob.postgres.removing import retention
from tests import servers
from tests.faults.expected_shop import (
    Command,
    Fit,
    Forget,
    Labels,
    Prune,
    Republish,
    Rewrite,
    Score,
    Shop,
    Stored,
)
from tests.faults.interruptions import Interruption, Interruptions
from tests.faults.outcomes import Outcome, disturbed, interleaved, undisturbed
from tests.faults.server import MortalServer
from tests.faults.shop import FAITHFUL, Actual, customers, prepare, settings_of
from tests.waiting import wait_until

N_SEQUENCES = int(os.environ.get("SEGJOB_TEST_SEQUENCES", "8"))
SEED = os.environ.get("SEGJOB_TEST_SEED")
N_STEPS = 10
N_POINTS: dict[Any, int] = {
    Fit: 220,
    Score: 230,
    Republish: 140,
    Forget: 250,
    Prune: 50,
}  # about how often each speaks to the server
N_COMMITS: dict[Any, int] = {Fit: 25, Score: 20, Republish: 16, Forget: 8, Prune: 6}
RETRYABLE = (69, 75)

others: st.SearchStrategy[Labels] = st.dictionaries(
    st.integers(21, 40), st.sampled_from([0, 1, 2, 3, None]), max_size=12
)
crowds: st.SearchStrategy[Labels] = st.just({one: one % 4 for one in range(21, 60)})
sources = st.one_of(others, others, others, crowds).map(customers)
percents = st.integers(0, 99)
numbers = st.integers(1, 6)
forgotten = st.lists(st.integers(21, 40), min_size=1, max_size=3, unique=True).map(tuple)


@dataclass(frozen=True)
class Maker:
    """A command that can be given more than once."""

    kind: Callable[..., Command]
    arguments: tuple[Any, ...] = ()

    def __call__(self) -> Command:
        return self.kind(*self.arguments)


def to(kind: Callable[..., Command], *arguments: Any) -> Maker:
    return Maker(kind, arguments)


fits = st.sampled_from([True, True, False]).map(lambda publish: to(Fit, publish))
makers: st.SearchStrategy[Maker] = st.one_of(
    fits,
    fits,
    st.just(to(Score)),
    st.just(to(Republish, None)),
    st.builds(lambda number, force: to(Republish, number, force), numbers, st.booleans()),
    st.just(to(Prune)),
    forgotten.map(lambda ones: to(Forget, ones)),
)


BEGINNING: tuple[Maker, ...] = (
    to(Rewrite, customers({21: 0, 22: 1, 23: None})),
    to(Fit, True),
    to(Rewrite, customers({21: 2, 22: 1, 24: 3})),
    to(Fit, True),
)


def beginning() -> Shop:
    """Where every sequence begins: two versions were published."""
    shop = Shop({})
    for command in BEGINNING:
        (after,) = undisturbed(shop, command, hindered=False)
        shop = after.shop
    return shop


@dataclass(frozen=True)
class Ground:
    """Where sequences are walked: a server with a database to copy."""

    url: str
    server: psycopg.Connection
    template: str
    folder: Path


@pytest.fixture(scope="module")
def ground(mortal: MortalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("shop")
    with mortal.connect() as server, servers.fresh_database(mortal.url, server) as url:
        prepare(folder, url)
        with psycopg.connect(url, autocommit=True) as admin:
            actual = Actual(admin, settings_of(folder, url, watermark=False))
            for command in BEGINNING:
                assert actual.execute(command()) == 0
        yield Ground(mortal.url, server, str(conninfo_to_dict(url)["dbname"]), folder)


@pytest.fixture(scope="module", autouse=True)
def impatience() -> Iterator[None]:
    """Who has to wait for somebody who waits for us gives up soon."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (publishing, "PATIENCE"),
            (scoring, "PATIENCE"),
            (republishing, "PATIENCE"),
            (retention, "LOCK_DEADLINE"),
            (patience, "LOCK_DEADLINE"),
            (forgetting, "SNAPSHOT_DEADLINE"),
        ):
            patch.setattr(module, name, 0.2)
        yield


def brief(labels: Labels) -> Labels:
    """Without those who are always there."""
    return {one: corner for one, corner in sorted(labels.items()) if one not in FAITHFUL}


def in_brief(stored: Stored) -> str:
    versions, log = stored
    shortened = {n: (*facts, labels and brief(labels)) for n, (*facts, labels) in sorted(versions.items())}
    return f"{shortened}, {[(kind, number, brief(labels)) for kind, number, labels in log]}"


def made(makers: Iterable[Maker]) -> list[Command]:
    return [make() for make in makers]


class AnySequence(RuleBasedStateMachine):
    """One segmentation, its source, and whoever does something to them."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.stack = ExitStack()
        url = self.stack.enter_context(servers.fresh_database(ground.url, ground.server, ground.template))
        self.url, self.folder = url, ground.folder
        self.admin = self.stack.enter_context(psycopg.connect(url, autocommit=True))
        self.interruptions = Interruptions(self.admin)
        self.interruptions.on_commit = self.look
        self.stack.enter_context(self.interruptions.installed())
        self.actual = Actual(self.admin, settings_of(ground.folder, url, watermark=False))
        self.shop = beginning()
        self.reader: psycopg.Connection | None = None
        self.read: Labels = {}
        self.seen: list[Labels] = []
        self.as_expected = True

    def teardown(self) -> None:
        try:
            self.close_reader()
            if self.as_expected:
                self.converge()
        finally:
            self.stack.close()

    # What is done

    @rule(source=sources)
    def rewrite(self, source: Labels) -> None:
        self.actual.execute(Rewrite(source))
        self.shop.source = dict(source)

    @rule(watermark=st.booleans())
    def configure(self, watermark: bool) -> None:
        self.actual = Actual(self.admin, settings_of(self.folder, self.url, watermark))

    @rule(make=makers)
    def undisturbed(self, make: Maker) -> None:
        exit_code = self.execute(make, None)
        allowed = undisturbed(self.shop, make, hindered=self.reader is not None)
        self.settle(self.unless_read(allowed), self.excuses(make), exit_code)

    @rule(make=makers, kind=st.sampled_from(["die", "cut before", "cut after", "lose a commit"]), percent=percents)
    def disturbed(self, make: Maker, kind: Any, percent: int) -> None:
        counted = N_COMMITS if kind == "lose a commit" else N_POINTS
        due = Interruption(kind, counted[make.kind] * percent // 100)
        exit_code = self.execute(make, due)
        excuses = {*self.excuses(make), *((69, 75) if due.happened else ())}
        self.settle(disturbed(self.shop, make), excuses, exit_code)

    @rule(make=makers, other=makers, source=st.none() | sources, percent=percents)
    def meanwhile(self, make: Maker, other: Maker, source: Labels | None, percent: int) -> None:
        rewrites: list[Maker] = [] if source is None else [to(Rewrite, source)]
        codes: list[int] = []
        due = Interruption("meanwhile", N_POINTS[make.kind] * percent // 100)
        due.act = lambda: codes.extend(self.actual.execute(one()) for one in [*rewrites, other])
        excuses = self.excuses(make)
        exit_code = self.execute(make, due)
        note(f"codes meanwhile: {codes}")
        possible = [[*rewrites, other]] if codes else [[]]
        possible += [rewrites] if codes and codes[-1] in RETRYABLE else []
        allowed = (one for inner in possible for one in interleaved(self.shop, make, partial(made, inner)))
        self.settle(self.unless_read(allowed), excuses, exit_code)
        if codes and source is not None:
            self.shop.source = dict(source)

    @precondition(lambda self: self.reader is None)
    @rule()
    def open_reader(self) -> None:
        """A report that somebody has left open."""
        self.reader = psycopg.connect(self.url)
        self.reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self.read = Actual(self.reader, self.actual.settings).visible

    @precondition(lambda self: self.reader is not None)
    @rule()
    def close_reader(self) -> None:
        if self.reader is not None:
            assert Actual(self.reader, self.actual.settings).visible == self.read
            self.reader.close()
            self.reader = None

    def converge(self) -> None:
        """Nothing that happened is in the way of who comes next, and nothing of it is left."""
        for make in (to(Fit, True), to(Score), to(Prune), to(Forget, (99,))):
            self.undisturbed(make)
        assert self.actual.leftovers(self.shop) == []

    # What has to hold

    def execute(self, make: Maker, due: Interruption | None) -> int | None:
        """Do it, with somebody who looks on; returns the exit code, or None from somebody who died."""
        self.seen, exit_code, self.as_expected = [], None, False
        with self.interruptions.interrupted(due):
            exit_code = self.actual.execute(make())
        wait_until(lambda: self.interruptions.n_open() == 0)
        note(f"exit code {exit_code}; {due}")
        return exit_code

    def look(self) -> None:
        """A reader of whom nobody knows."""
        visible = self.actual.visible
        if visible not in self.seen:
            self.seen.append(visible)

    def unless_read(self, allowed: Iterable[Outcome]) -> Iterator[Outcome]:
        """A long reader keeps what was erased on disk, so that to forget is not done yet."""
        for one in allowed:
            yield one
            if self.reader is not None and one.lasting:
                yield replace(one, exit_code=None)

    def excuses(self, make: Maker) -> set[int]:
        """Exit codes with which a command may give up, as long as it has not done what it is for."""
        excuses = {75} if self.reader is not None and make.kind is Forget else set()
        return excuses | ({65} if make.kind is Republish and self.actual.half_detached() else set())

    def settle(self, allowed: Iterable[Outcome], excuses: Container[int], exit_code: int | None) -> None:
        """What is stored is what one of the outcomes says; that is where the next command begins."""
        stored, nearly = self.actual.stored, []
        for one in allowed:
            if one.shop.stored != stored:
                continue
            told = exit_code in (None, one.exit_code) or (one.exit_code is None and exit_code in excuses)
            if told and all(seen in one.seen for seen in self.seen):
                self.shop, self.as_expected = one.shop, True
                self.shop.unfinished = self.actual.of_runs("failed", "stopped", "lost")
                self.shop.hanging = self.actual.of_runs("running")
                return
            nearly.append(f"exit code {one.exit_code}, seen {[*map(brief, one.seen)]}")
        was = f"before: {in_brief(self.shop.stored)}, now: {in_brief(stored)}"
        raise AssertionError(f"exit code {exit_code}, seen {[*map(brief, self.seen)]}, {was}, nearly: {nearly[:3]}")

    @invariant()
    def the_books_are_right(self) -> None:
        self.actual.check_books()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_any_sequence_of_commands_comes_to_what_those_of_effect_come_to(ground: Ground) -> None:
    """Who dies closes nothing, so that nobody is warned of it."""
    chosen = settings(
        max_examples=N_SEQUENCES,
        stateful_step_count=N_STEPS,
        derandomize=SEED is None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    class OnGround(AnySequence):
        def __init__(self) -> None:
            super().__init__(ground)

    run_state_machine_as_test(seed(int(SEED))(OnGround) if SEED else OnGround, settings=chosen)
