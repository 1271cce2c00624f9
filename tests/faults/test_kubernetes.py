"""What a cluster does to runs besides ending them: it leaves some out, and starts others twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import hold_lock
from tests import servers
from tests.acceptance.conftest import MALL, write_configuration
from tests.command import run_segjob
from tests.faults.server import mortal_server
from tests.faults.standing import left_behind, standing
from tests.manifests import action

NIGHTS = (
    "INSERT INTO public.mall_customer VALUES (901, 'Female', 30, 20, 80), (902, 'Male', 40, 90, 15)",
    "UPDATE public.mall_customer SET annual_income = 137, spending_score = 3 WHERE customer_id IN (1, 901)",
    "DELETE FROM public.mall_customer WHERE customer_id IN (2, 902); "
    "INSERT INTO public.mall_customer VALUES (903, 'Male', 50, 55, 50)",
)
MOVES = "SELECT count(*) FROM segments.mall_history WHERE valid_to < '9999-12-31'"
LISTENS = "127.53.9.11"  # an address of this machine's own that nobody else takes

Shop = tuple[psycopg.Connection, Any]
Shops = Callable[[], AbstractContextManager[Shop]]


@pytest.fixture
def shops(server_url: str, server_connection: psycopg.Connection, published_mall: str, tmp_path: Path) -> Shops:
    """The mall, published once, as often as it is asked for: a session on it and the command."""
    write_configuration(tmp_path, {"mall": MALL})

    @contextmanager
    def shop() -> Iterator[Shop]:
        with (
            servers.fresh_database(server_url, server_connection, published_mall) as url,
            psycopg.connect(url, autocommit=True) as connection,
        ):
            yield connection, partial(run_segjob, tmp_path, url)

    return shop


def test_one_score_makes_up_for_those_that_were_missed(shops: Shops) -> None:
    with shops() as (every_night, score_it), shops() as (once, score_at_last):
        for night in NIGHTS:
            every_night.execute(night.encode())
            once.execute(night.encode())
            assert score_it("score", "mall").returncode == 0
        assert standing(once, "mall").labels != standing(every_night, "mall").labels
        assert score_at_last("score", "mall").returncode == 0
        assert standing(once, "mall").labels == standing(every_night, "mall").labels


def test_scores_go_on_though_a_fit_was_missed_and_the_next_fit_takes_everybody(shops: Shops) -> None:
    with shops() as (connection, segjob):
        for night in NIGHTS:
            connection.execute(night.encode())
        assert segjob("score", "mall").returncode == 0
        assert standing(connection, "mall").versions == {1}
        assert segjob("run", "mall").returncode == 0
        seen = standing(connection, "mall")
        assert seen.versions == {2}
        assert {(customer,) for customer, *_ in seen.labels} == {
            *connection.execute("SELECT customer_id FROM public.mall_customer").fetchall()
        }


def test_a_fit_that_is_started_twice_moves_nobody_the_second_time(shops: Shops) -> None:
    with shops() as (connection, segjob):
        before = standing(connection, "mall")
        for _ in range(2):
            assert segjob("run", "mall").returncode == 0
        after = standing(connection, "mall")
        assert after.versions == {3}
        assert {label[:3] for label in after.labels} == {label[:3] for label in before.labels}
        assert connection.execute(MOVES).fetchone() == (0,)
        assert left_behind(connection) == []


def test_the_second_of_two_pods_finds_the_lock_writes_nothing_and_is_attempted_again(shops: Shops) -> None:
    with shops() as (connection, segjob):
        before, runs = standing(connection, "mall"), "SELECT count(*) FROM segments.run"
        n_runs = connection.execute(runs).fetchone()
        with hold_lock(Database(segjob.args[1]), "mall", "fit"):
            second = segjob("run", "mall")
        assert (second.returncode, action(second.returncode)) == (75, "Count")
        assert standing(connection, "mall") == before
        assert connection.execute(runs).fetchone() == n_runs
        assert segjob("run", "mall").returncode == 0


@pytest.fixture(scope="module")
def over_tcp() -> Iterator[str]:
    with mortal_server(listen_addresses=LISTENS):
        yield f"postgresql://postgres@{LISTENS}:5432/postgres"


def test_the_server_asks_every_minute_whether_the_machine_is_still_there(over_tcp: str) -> None:
    """Else it would hold the lock of a machine that vanished for two hours, and every attempt would end with 75."""
    wanted = (
        "SELECT current_setting('tcp_keepalives_' || name)::int FROM unnest('{idle,interval,count}'::text[]) AS name"
    )
    with closing(Database(over_tcp).open()) as session:
        idle, interval, count = (seconds for (seconds,) in session.execute(wanted).fetchall())
    assert idle + interval * count <= 60
