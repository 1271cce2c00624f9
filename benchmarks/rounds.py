"""Contenders against each other, interleaved: every round measures each of them once, as whole processes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.contender import Contender
from benchmarks.customers import Customers
from benchmarks.ground import Ground
from benchmarks.server import spent

LAUNCH = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Measurement:
    """One whole process: seconds, bytes, and its own phases."""

    wall: float
    client_cpu: float
    server_cpu: float
    peak: int
    wal: int
    phases: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """What one comparison found: the measurements of each contender, round by round."""

    customers: Customers
    n_clusters: int
    measured: dict[str, list[Measurement]]

    @property
    def title(self) -> str:
        return f"{self.customers}, k = {self.n_clusters}"

    def median(self, contender: str, figure: str) -> float:
        values: list[float] = [getattr(one, figure) for one in self.measured[contender]]
        return statistics.median(values)

    def ratio(self, contender: str, to: str) -> float:
        return self.median(contender, "wall") / self.median(to, "wall")

    def phases(self, contender: str) -> dict[str, float]:
        """The median of every phase."""
        rounds = [one.phases for one in self.measured[contender]]
        return {phase: statistics.median(one.get(phase, 0.0) for one in rounds) for phase in rounds[0]}


def compare(ground: Ground, names: Sequence[str], times: int = 3) -> Comparison:
    """Let every contender run `times` times. Another one begins every round: none always comes after the same."""
    ground.make()
    contenders = [CONTENDERS[name](ground) for name in names]
    measured: dict[str, list[Measurement]] = {name: [] for name in names}
    for turn in range(times):
        ground.prepare(turn)
        first = turn % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            measured[contender.name].append(measure(ground, contender))
            say(f"round {turn + 1}: {contender.name} {measured[contender.name][-1].wall:.2f} s")
    return Comparison(ground.customers, ground.n_clusters, measured)


def measure(ground: Ground, contender: Contender) -> Measurement:
    """Run a contender once, where all is calm, and ask the server what it has spent on it."""
    contender.clean()
    command = contender.command()
    ground.calm()
    before = spent(ground.server)
    printed, taken = launched(command, ground)
    after = spent(ground.server).since(before)
    phases = contender.seconds(printed)
    contender.clean()
    return Measurement(taken["wall"], taken["cpu"], after.cpu, int(taken["peak"]), after.wal, phases)


def launched(command: list[str], ground: Ground) -> tuple[str, dict[str, float]]:
    """Run a command as a process of its own; what it printed, and what it took."""
    report = ground.folder / "taken.json"
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(LAUNCH), str(report), *command],
        check=False,
        cwd=ground.folder,
        env=ground.environment,
        capture_output=True,
        text=True,
    )
    taken: dict[str, float] = json.loads(report.read_text())
    if taken["exit_code"] != 0:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr}")
    return done.stdout, taken


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
