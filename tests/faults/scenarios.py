"""Which commands are walked, and from which state of the database each begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.acceptance.conftest import write_configuration
from tests.command import run_segjob
from tests.faults.server import MortalServer
from tests.faults.state import NAME

SHOP = {
    "source": "public.customer",
    "key": "customer_id",
    "features": ["income", {"column": "orders", "impute": "exclude"}],
    "n_clusters": 3,
    "seed": 1,
    "watermark": "updated_at",
    "keep_versions": 1,
    "gates": {"max_label_churn": {"refuse": 0.9}},
}
CUSTOMERS = """
CREATE TABLE public.customer (
    customer_id integer PRIMARY KEY,
    income double precision,
    orders integer,
    updated_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO public.customer
SELECT n, (n % 3) * 100 + n % 7, CASE WHEN n % 20 <> 0 THEN (n % 3) * 10 + n % 5 END FROM generate_series(1, 60) AS n
"""
SOME_CHANGE = """
UPDATE public.customer SET income = 350 - income, updated_at = now() WHERE customer_id %% 10 = %(digit)s;
DELETE FROM public.customer WHERE customer_id = %(digit)s + 50;
INSERT INTO public.customer VALUES (%(digit)s + 70, 105, 12), (%(digit)s + 80, 3, NULL)
"""
READER = "segjob_faults_reader"


@dataclass(frozen=True)
class Scenario:
    """A command, the state that it begins with, and what an operator calls after it failed.

    Attributes
    ----------
    begins : the template of its database
    again : after a failure before the command's own commit
    committed : after a failure behind it; None for `again`
    makes_version : so that a repetition may make another one with the same contents
    """

    name: str
    begins: str
    arguments: tuple[str, ...]
    again: tuple[str, ...]
    committed: tuple[str, ...] | None = None
    makes_version: bool = False

    @property
    def kind(self) -> str:
        """Of its row in segments.run."""
        return self.arguments[0]


RUN, SCORE = ("run", NAME), ("score", NAME)
FORGET = ("forget", NAME, "3", "58")
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("first run", "migrated", RUN, RUN, makes_version=True),
        Scenario("next run", "two", RUN, RUN, makes_version=True),
        Scenario("score", "two", SCORE, SCORE),
        Scenario("rollback", "two", ("rollback", NAME), ("rollback", NAME), SCORE),
        Scenario("prune", "three", ("prune", NAME), ("prune", NAME)),
        Scenario("forget", "two", FORGET, FORGET),
    )
}


SET_SEQUENCES = """
SELECT setval(s.oid::regclass, coalesce(pg_sequence_last_value(s.oid), 1), pg_sequence_last_value(s.oid) IS NOT NULL)
FROM pg_class AS s WHERE s.relkind = 'S'
"""


def copy_template(server: MortalServer, name: str, template: str) -> None:
    """A copy whose sequences survive a crash: copied ones believe that their next numbers are in the log."""
    server.make_database(name, template)
    with server.connect(name) as session:
        session.execute(SET_SEQUENCES)


def make_templates(server: MortalServer, folder: Path) -> None:
    """The states: the schema alone; two versions and a source that went on; three versions and nothing pruned."""
    write_configuration(folder, {NAME: SHOP}, analysts=[READER])
    with server.connect() as session:
        session.execute(f"CREATE ROLE {READER} LOGIN".encode())
    step(server, folder, "migrated", "template1", lambda session: session.execute(CUSTOMERS), ("migrate",))
    step(server, folder, "one", "migrated", change(1), ("run", NAME), after=True)
    step(server, folder, "two", "one", change(2), ("run", NAME, "--no-prune"), after=True)
    step(server, folder, "three", "two", change(3), ("run", NAME, "--no-prune"), after=True)


def change(digit: int) -> Callable[[psycopg.Connection], object]:
    """Some customers come, some change so much that their segment is another, one leaves."""
    return lambda session: [session.execute(one, {"digit": digit}) for one in SOME_CHANGE.split(";\n")]


def step(
    server: MortalServer,
    folder: Path,
    name: str,
    before: str,
    write: Callable[[psycopg.Connection], object],
    command: tuple[str, ...],
    *,
    after: bool = False,
) -> None:
    """A database that is as another one but for what is written and what a command does, in either order."""
    copy_template(server, name, before)
    if after:
        succeed(server, folder, name, command)
    with server.connect(name) as session:
        write(session)
    if not after:
        succeed(server, folder, name, command)


def succeed(server: MortalServer, folder: Path, database: str, command: tuple[str, ...]) -> None:
    done = run_segjob(folder, server.url_of(database), *command)
    assert done.returncode == 0, done.stderr + done.stdout
