"""The benchmarks count what they say they count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from benchmarks.contenders.program import nearest_two
from benchmarks.customers import Customers
from benchmarks.first_query import steps, widest_join
from benchmarks.ground import TOUCH
from benchmarks.model import Point, Size, errors, fit, takeovers
from benchmarks.phases import Sample, Window, burnt, windows
from benchmarks.promises import PROMISES, Limit, limit_lines
from benchmarks.rounds import LAUNCH, Comparison, Measurement
from benchmarks.server import cpu_of_family

BURN = "import time\nwhile time.process_time() < 0.3: pass"
BURN_IN_A_CHILD = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])"


def launched(tmp_path: Path, *arguments: str) -> dict[str, float]:
    """What the launcher writes down about Python with these arguments."""
    report = tmp_path / "report.json"
    subprocess.run([sys.executable, "-I", "-S", str(LAUNCH), str(report), sys.executable, *arguments], check=True)
    taken: dict[str, float] = json.loads(report.read_text())
    return taken


def comparison(**walls: float) -> Comparison:
    measured = {
        name.replace("_", "-"): [Measurement(wall, 0.0, 0.0, 2**31, 0, {"read": wall}) for wall in (seconds, 9.0, 0.1)]
        for name, seconds in walls.items()
    }
    return Comparison(Customers(1000), 8, measured)


def test_a_process_is_charged_with_what_its_children_burn(tmp_path: Path) -> None:
    assert launched(tmp_path, "-c", BURN_IN_A_CHILD)["cpu"] >= 0.3


def test_the_peak_is_that_of_the_process_and_not_of_who_started_it(tmp_path: Path) -> None:
    ballast = np.ones(2**25)  # 256 MiB in this process
    small = launched(tmp_path, "-c", "pass")["peak"]
    large = launched(tmp_path, "-c", "ballast = bytearray(100 * 2**20)")["peak"]
    assert small < ballast.nbytes / 4
    assert large - small == pytest.approx(100 * 2**20, rel=0.1)


def test_the_memory_that_a_machine_is_to_have_is_written_to_and_given_back(tmp_path: Path) -> None:
    few, many = (launched(tmp_path, "-I", "-S", str(TOUCH), str(n_bytes))["peak"] for n_bytes in (1, 100 * 2**20 + 1))
    assert many - few == pytest.approx(100 * 2**20, rel=0.1)


def test_an_exit_code_is_passed_on(tmp_path: Path) -> None:
    assert launched(tmp_path, "-c", "raise SystemExit(3)")["exit_code"] == 3


def test_the_server_is_charged_with_processes_that_have_ended() -> None:
    before = cpu_of_family(os.getpid())
    subprocess.run([sys.executable, "-c", BURN], check=True)
    assert round(cpu_of_family(os.getpid()) - before, 2) >= 0.29


def test_the_server_is_charged_with_processes_that_are_alive() -> None:
    before = cpu_of_family(os.getpid())
    program = f"{BURN}\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert round(cpu_of_family(os.getpid()) - before, 2) >= 0.29


def test_a_limit_is_a_factor_of_another_contender_and_some_seconds() -> None:
    found = comparison(segjob=4.0, psql=2.0, by_hand=5.1)
    assert Limit(1.5, "psql", 5.0).asked(found) == 8.0
    assert Limit(1 / 1.7, "by-hand").asked(found) == pytest.approx(3.0)
    assert Limit(0.0, "", 4.0).asked(found) == 4.0


def test_limits_are_said_in_words() -> None:
    limits = [Limit(1.5, "psql"), Limit(1.5, "psql", 5.0), Limit(1 / 1.7, "by-hand"), Limit(0.0, "", 4.0)]
    assert [str(limit) for limit in limits] == ["1.5 x psql", "1.5 x psql + 5 s", "by-hand / 1.7", "4 s"]


def test_a_missed_limit_says_by_how_much() -> None:
    time, memory = limit_lines(PROMISES["20m"], comparison(segjob=3.0, psql=2.0))
    assert time.endswith("| 1.2 x psql | 2.40 s | 3.00 s | 1.25 times too much |")
    assert memory.endswith("| 1024 MiB | 1024.00 MiB | 2048.00 MiB | 2.00 times too much |")


def test_every_promise_measures_whom_it_is_compared_with() -> None:
    for promise in PROMISES.values():
        assert {limit.against for limit in promise.limits} - {""} <= set(promise.contenders)


def test_the_model_finds_the_law_that_made_the_seconds() -> None:
    sizes = [Size(10.0**power) for power in range(4, 9)] + [Size(1e6, 20), Size(1e6, 40), Size(1e6, 7, 20)]
    laws = {"read": lambda size: 0.1 + 1e-7 * size.rows * size.features, "write": lambda size: 0.5 + 6e-7 * size.rows}
    points = [Point(size, {phase: law(size) for phase, law in laws.items()}) for size in sizes]
    model = fit(points)
    assert max(errors(model, points)) < 1e-6
    assert model.seconds(Size(2e7, 10)) == pytest.approx({"read": 20.1, "write": 12.5}, rel=1e-3)


def test_a_phase_takes_over_where_its_law_says() -> None:
    sizes = [Size(10.0**power) for power in range(4, 9)]
    model = fit([Point(size, {"start-up": 1.0, "read": 1e-6 * size.rows}) for size in sizes])
    assert takeovers(model, [Size(rows) for rows in (1e3, 9e5, 1.1e6, 1e9)]) == [
        (Size(1e3), "start-up"),
        (Size(1.1e6), "read"),
    ]


def test_the_widest_join_of_a_plan_is_judged_and_what_never_ran_is_not() -> None:
    labels = {"Node Type": "Seq Scan", "Relation Name": "label", "Plan Rows": 50, "Actual Rows": 100, "Actual Loops": 1}
    pruned = labels | {"Relation Name": "old", "Actual Loops": 0}
    join = {"Node Type": "Hash Join", "Plan Rows": 250, "Actual Rows": 100, "Actual Loops": 1}
    plan = {"Node Type": "Aggregate", "Plan Rows": 8, "Actual Rows": 8, "Actual Loops": 1}
    plan["Plans"] = [join | {"Plans": [labels, pruned]}]
    assert [step.name for step in steps(plan)] == ["Aggregate", "Hash Join", "Seq Scan label"]
    assert [step.factor for step in steps(plan)] == [1.0, 2.5, 2.0]
    assert widest_join(plan).factor == 2.5


def test_programs_write_the_two_nearest_segments_as_we_do() -> None:
    labels = nearest_two(np.array([[3.0, 1.0, 4.0], [2.0, 2.0, 1.0]]))
    assert labels.segment_id.tolist() == [2, 3]
    assert labels.runner_up_segment_id.tolist() == [1, 1]
    assert labels.distance.tolist() == [1.0, 1.0]
    assert labels.simplified_silhouette.tolist() == pytest.approx([2 / 3, 1 / 2])


def test_phases_are_found_in_the_log_and_what_comes_before_them_is_the_start_up() -> None:
    log = (
        "2026-01-01T00:00:03.000Z [info] read  seconds=2.0 rows=5 segmentation=bench\n"
        "2026-01-01T00:00:04.000Z [warning] not a phase  seconds=1.0\n"
        "2026-01-01T00:00:06.500Z [info     ] fit                            seconds=3.5 segmentation=bench\n"
    )
    midnight = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert windows(log, Window("whole process", midnight, midnight + 8)) == [
        Window("start-up", midnight, midnight + 1),
        Window("read", midnight + 1, midnight + 3),
        Window("fit", midnight + 3, midnight + 6.5),
    ]


def test_a_phase_is_charged_with_its_part_between_two_samples() -> None:
    samples = [Sample(0.0, 0.0, 5.0), Sample(10.0, 10.0, 5.0), Sample(20.0, 10.0, 25.0)]
    assert burnt(samples, Window("fit", 2.0, 15.0)) == pytest.approx((8.0, 10.0))
