"""What all contenders of a comparison share: the server, the customers, the number of segments, our own objects."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import customers as generated
from benchmarks.customers import Customers
from benchmarks.server import Server
from segjob.config.resources import available_memory

ROOT = Path(__file__).parents[1]
TOUCH = Path(__file__).with_name("touch.py")
TOUCHED = 3 * 2**30  # bytes: more than what any contender takes and the server writes for 5,000,000 customers
TOUCHED_PART = 4  # of the memory; where that is little, one part in so many
SEGJOB = [sys.executable, "-m", "segjob"]
CONFIGURATION = """
database: {{url: "${{DATABASE_URL}}"}}
resources: {{memory: {memory}, spool_dir: {folder}}}
segmentations:
  bench:
    source: {table}
    key: customer_id
    features: [{features}]
    n_clusters: {clusters}
"""


@dataclass(frozen=True)
class Ground:
    """Where a comparison takes place.

    With `least`, segjob chooses the number of segments itself, from there to `n_clusters`.
    """

    server: Server
    customers: Customers
    n_clusters: int = 8
    memory: str = "1GiB"
    least: int | None = None

    @property
    def folder(self) -> Path:
        return self.server.folder

    @property
    def clusters(self) -> str:
        """As the configuration has it."""
        return str(self.n_clusters) if self.least is None else f"{{min: {self.least}, max: {self.n_clusters}}}"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "DATABASE_URL": self.server.url, "PYTHONPATH": str(ROOT)}

    def make(self) -> None:
        generated.make(self.server.connection, self.customers)
        configuration = CONFIGURATION.format(
            memory=self.memory,
            folder=self.folder,
            table=self.customers.table,
            features=", ".join(self.customers.feature_names),
            clusters=self.clusters,
        )
        (self.folder / "segjob.yaml").write_text(configuration)

    def prepare(self, turn: int) -> None:
        """Make every round like the first: no version, or with changing customers one that is published."""
        self.server.execute("DROP SCHEMA IF EXISTS segments, segjob CASCADE")
        self.segjob("migrate")
        if self.customers.changing:
            self.segjob("run", "bench")
            generated.change(self.server.connection, self.customers, turn)

    def calm(self) -> None:
        """What every measurement starts from: a server with nothing to write down, a machine that has its memory."""
        self.server.execute("CHECKPOINT")
        n_bytes = min(TOUCHED, available_memory() // TOUCHED_PART)
        subprocess.run([sys.executable, "-I", "-S", str(TOUCH), str(n_bytes)], check=True)

    def remove(self) -> None:
        """Give the room on the disk back."""
        self.server.execute("DROP SCHEMA IF EXISTS segments, segjob CASCADE")
        generated.drop(self.server.connection, self.customers)
        for file in self.folder.glob("*.labels"):
            file.unlink()

    def segjob(self, *arguments: str) -> None:
        """Run the command where nobody measures it."""
        done = subprocess.run(
            [*SEGJOB, *arguments], check=False, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise SystemExit(f"segjob {' '.join(arguments)} failed: {done.stderr}")
