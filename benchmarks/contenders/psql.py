"""The floor: one psql that brings the customers out and labels of our columns in, and computes nothing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import ClassVar

from benchmarks.contenders.contender import Contender

PHASES = ("copy out", "create", "default", "copy in", "key", "analyze")
SCRIPT = r"""
\timing on
\copy (SELECT customer_id, {features} FROM {customers}) TO '/dev/null' (FORMAT binary)
CREATE TABLE {labels} (LIKE segjob.label_bench INCLUDING DEFAULTS);
ALTER TABLE {labels} ALTER COLUMN version_id SET DEFAULT 1;
\copy {labels} ({columns}) FROM '{file}' (FORMAT binary)
ALTER TABLE {labels} ADD PRIMARY KEY (version_id, customer_id);
ANALYZE {labels};
"""
COLUMNS = "customer_id, distance, segment_id, runner_up_segment_id, simplified_silhouette"
# Labels as wide as ours are; what they say is of no consequence.
MADE_UP = r"""\copy (
    SELECT
        customer_id,
        (h & 1048575) / 262144.0::float8 AS distance,
        (1 + (h >> 20) % {n_clusters})::integer AS segment_id,
        (1 + (h >> 40) % {n_clusters})::integer AS runner_up_segment_id,
        (((h >> 20) & 1048575) / 1048576.0)::real AS simplified_silhouette
    FROM (
        SELECT customer_id, hashtextextended(customer_id::text, 0) & 9223372036854775807 AS h FROM {customers}
        OFFSET 0
    ) AS drawn
) TO '{file}' (FORMAT binary)"""


class Psql(Contender):
    name: ClassVar[str] = "psql"

    def command(self) -> list[str]:
        script = self.ground.folder / "floor.sql"
        script.write_text(
            SCRIPT.format(
                features=", ".join(self.ground.customers.feature_names),
                customers=self.ground.customers.table,
                labels=self.labels,
                columns=COLUMNS,
                file=self.labels_file(),
            )
        )
        return [*self.psql, "-f", str(script)]

    def seconds(self, printed: str) -> dict[str, float]:
        spent = [float(found) / 1000 for found in re.findall(r"^Time: ([0-9.]+) ms", printed, re.MULTILINE)]
        phases = dict(zip(PHASES, spent, strict=True))
        phases["create"] += phases.pop("default")
        return phases

    @property
    def psql(self) -> list[str]:
        return [str(self.ground.server.psql), self.ground.server.url, "-X", "-q", "-v", "ON_ERROR_STOP=1"]

    def labels_file(self) -> Path:
        """The labels that are copied in, written once for each table of customers."""
        customers = self.ground.customers
        file = self.ground.folder / f"{customers.table}_{self.ground.n_clusters}.labels"
        if not file.exists():
            made_up = MADE_UP.format(n_clusters=self.ground.n_clusters, customers=customers.table, file=file)
            subprocess.run([*self.psql, "-c", " ".join(made_up.split())], check=True)
        return file
