from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo

from segjob.errors import TryAgain
from segjob.postgres.connecting.connect import Database, Schemas
from segjob.postgres.locks import fit_lock, hold_lock


def test_a_second_run_is_told_who_holds_the_lock(database):
    with fit_lock(database, "mall") as lock:
        with pytest.raises(TryAgain) as raised, fit_lock(database, "mall"):
            pass
        assert f"process {lock.session.info.backend_pid}, segjob, connected since 20" in str(raised.value)


def test_the_lock_is_free_as_soon_as_the_block_ends(database):
    for _ in range(20):
        with fit_lock(database, "mall") as lock:
            lock.verify()


def test_a_run_that_fails_frees_the_lock(database):
    with pytest.raises(ZeroDivisionError), fit_lock(database, "mall"):
        raise ZeroDivisionError
    with fit_lock(database, "mall") as lock:
        lock.verify()


def test_segmentations_purposes_and_installations_do_not_hinder_one_another(database, database_url):
    elsewhere = Database(database_url, Schemas("other", "other_private"))
    with (
        fit_lock(database, "mall") as first,
        fit_lock(database, "shop") as second,
        hold_lock(database, "mall", "score") as third,
        fit_lock(elsewhere, "mall") as fourth,
    ):
        for lock in (first, second, third, fourth):
            lock.verify()


def test_of_many_that_start_at_once_one_wins(database):
    n = 12
    start, end = Barrier(n), Barrier(n)

    def run(_: int) -> bool:
        start.wait()
        try:
            with fit_lock(database, "mall") as lock:
                lock.verify()
                end.wait()
                return True
        except TryAgain:
            end.wait()
            return False

    with ThreadPoolExecutor(n) as pool:
        assert sum(pool.map(run, range(n))) == 1


def test_a_session_that_was_killed_has_lost_the_lock(database, connection):
    with fit_lock(database, "mall") as lock:
        connection.execute("SELECT pg_terminate_backend(%s)", [lock.session.info.backend_pid])
        with pytest.raises(TryAgain, match="lost the lock segjob/segjob/mall/fit"):
            lock.verify()


def test_a_lock_that_was_given_away_is_lost(database):
    with fit_lock(database, "mall") as lock:
        lock.session.execute("SELECT pg_advisory_unlock_all()")
        with pytest.raises(TryAgain, match="no longer holds it"):
            lock.verify()


def test_somebody_else_s_lock_is_not_taken_for_ours(database):
    with fit_lock(database, "mall") as lock:
        lock.session.execute("SELECT pg_advisory_unlock_all()")
        with fit_lock(database, "mall"), pytest.raises(TryAgain):
            lock.verify()


def test_no_idle_timeout_ends_the_session(database, connection):
    connection.execute("""
        DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET idle_session_timeout = 300', current_database()); END $$
    """)
    with fit_lock(database, "mall") as lock:
        time.sleep(0.7)  # more than twice the 300 ms after which the timeout would have struck
        lock.verify()


def test_waiting_with_the_lock_holds_no_transaction_open(database, connection):
    with fit_lock(database, "mall") as lock:
        lock.verify()
        row = connection.execute(
            "SELECT state, backend_xmin FROM pg_stat_activity WHERE pid = %s", [lock.session.info.backend_pid]
        ).fetchone()
    assert row == ("idle", None)


def test_a_role_that_may_not_see_others_is_told_less(database, connection, database_url):
    role = f"watcher_{uuid4().hex}"
    connection.execute(f"CREATE ROLE {role}")
    watcher = Database(make_conninfo(database_url, options=f"-c role={role}"))
    try:
        told_less = pytest.raises(TryAgain, match=r"\(process \d+, segjob\)")
        with fit_lock(database, "mall"), told_less, fit_lock(watcher, "mall"):
            pass
    finally:
        connection.execute(f"DROP ROLE {role}")
