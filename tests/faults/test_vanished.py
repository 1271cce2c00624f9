"""A machine vanishes with the lock of a run, and neither it nor its network says a word."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.server import MortalServer, mortal_server
from tests.faults.vanishing import Machine, another_machine
from tests.waiting import wait_until

# As the job has it, but for the times: what takes a minute there takes six seconds here.
HOLD = """
import sys, time
from segjob.postgres.connecting import connect
from segjob.postgres import locks
for module, setting, long, short in (
    (connect, "SESSION", "idle = 30", "idle = 3"),
    (connect, "SESSION", "interval = 10", "interval = 1"),
    (locks, "UNANSWERED", "60s", "6s"),
):
    assert long in getattr(module, setting)
    setattr(module, setting, getattr(module, setting).replace(long, short))
with locks.hold_lock(connect.Database(sys.argv[1]), "mall", "fit") as lock:
    print("held", flush=True)
    while True:
        lock.verify()
        time.sleep(float(sys.argv[2]))  # how long the line is silent between two words
"""
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"


@pytest.mark.parametrize("pause", [600.0, 0.0], ids=["silent", "in-the-middle-of-a-word"])
def test_the_lock_of_a_machine_that_vanished_is_free_after_a_while(pause: float) -> None:
    with another_machine() as machine, mortal_server(listen_addresses=machine.here) as server:
        let_in(server)
        with server.connect() as session:
            process = hold_there(machine, pause)
            assert session.execute(LOCKS).fetchone() == (1,)
            time.sleep(0.5)  # for the last receipt
            machine.vanish()
            process.kill()
            process.communicate()
            time.sleep(1)  # what a process that ends in order would have told by then
            assert session.execute(LOCKS).fetchone() == (1,), "it did not vanish without a word"
            wait_until(lambda: session.execute(LOCKS).fetchone() == (0,), seconds=30)


def let_in(server: MortalServer) -> None:
    with server.connect() as session:
        (rules,) = session.execute("SHOW hba_file").fetchone() or ("",)
        with Path(rules).open("a") as file:
            file.write("\nhost all all samenet trust\n")
        session.execute("SELECT pg_reload_conf()")


def hold_there(machine: Machine, pause: float) -> subprocess.Popen[str]:
    url = f"postgresql://postgres@{machine.here}:5432/postgres"
    command = machine.command(sys.executable, "-c", HOLD, url, str(pause))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process
