"""That the server of the faults does what the tests of the faults rely on."""

from __future__ import annotations

import psycopg
import pytest

from tests.faults.server import MortalServer


def test_after_an_immediate_restart_what_was_committed_is_there_and_nothing_else(mortal: MortalServer) -> None:
    with mortal.connect() as session:
        session.execute("CREATE TABLE kept (n integer); INSERT INTO kept VALUES (1)")
        session.execute("BEGIN; INSERT INTO kept VALUES (2)")
        mortal.restart_at_once()
        with pytest.raises(psycopg.OperationalError):
            session.execute("COMMIT")
    with mortal.connect() as session:
        assert session.execute("SELECT n FROM kept").fetchall() == [(1,)]
