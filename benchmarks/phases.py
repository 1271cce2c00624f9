"""Where the time of a run goes: for each phase, what the client computes, what the server does, and what lies idle."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from benchmarks.ground import SEGJOB, Ground
from benchmarks.server import TICK, cpu_of_family, postmaster, stat

EVERY = 0.05  # seconds between two samples
PHASE_ENDED = re.compile(r"^(?P<at>\S+Z) \[info *\] (?P<name>\w+) +.*\bseconds=(?P<seconds>[0-9.]+)", re.MULTILINE)


@dataclass(frozen=True)
class Sample:
    """CPU seconds so far, at one moment."""

    at: float
    client: float
    server: float


@dataclass(frozen=True)
class Window:
    """A phase of the run by the clock of the wall; phases may overlap."""

    name: str
    begin: float
    end: float


def print_phases(ground: Ground, n_cores: int) -> None:
    """Run segjob once, and tell for each phase of its log who was busy meanwhile."""
    ground.make()
    ground.prepare(0)
    ground.calm()
    samples, log = sampled(ground)
    whole = Window("whole process", samples[0].at, samples[-1].at)
    print(f"\n{ground.customers}, k = {ground.n_clusters}; idle is of {n_cores} cores")
    print(f"{'':14}{'from':>8}{'seconds':>9}{'client CPU':>12}{'server CPU':>12}{'idle':>8}")
    for window in [*windows(log, whole), whole]:
        seconds = window.end - window.begin
        client, server = burnt(samples, window)
        print(
            f"{window.name:14}{window.begin - whole.begin:8.2f}{seconds:9.2f}{client:12.2f}{server:12.2f}"
            f"{max(n_cores * seconds - client - server, 0.0):8.2f}"
        )


def sampled(ground: Ground) -> tuple[list[Sample], str]:
    """The samples from the first moment of the process to its last, and its log."""
    log = ground.folder / "run.log"
    parent = postmaster(ground.server)
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*SEGJOB, "run", "bench"],
            cwd=ground.folder,
            env=ground.environment,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        samples = list(samples_of(process, parent))
    if process.returncode != 0:
        raise SystemExit(f"segjob run failed: {log.read_text()}")
    return samples, log.read_text()


def samples_of(process: subprocess.Popen[bytes], parent: int) -> Iterator[Sample]:
    while True:
        yield Sample(time.time(), sum(stat(process.pid)) / TICK, cpu_of_family(parent))
        if process.poll() is not None:
            return
        time.sleep(EVERY)  # until the next sample


def windows(log: str, whole: Window) -> list[Window]:
    """The phases that the log tells of, in the order in which they began, and what came before the first."""
    found = []
    for line in PHASE_ENDED.finditer(log):
        end = datetime.fromisoformat(line["at"]).timestamp()
        found.append(Window(line["name"], end - float(line["seconds"]), end))
    found.sort(key=lambda window: window.begin)
    return [Window("start-up", whole.begin, min([window.begin for window in found], default=whole.end)), *found]


def burnt(samples: Sequence[Sample], window: Window) -> tuple[float, float]:
    """CPU seconds of client and server within a window, with straight lines between the samples."""
    at = [sample.at for sample in samples]
    spent = []
    for values in ([sample.client for sample in samples], [sample.server for sample in samples]):
        begin, end = np.interp([window.begin, window.end], at, values)
        spent.append(float(end - begin))
    return spent[0], spent[1]
