"""Gates as rows: what they compare with, what they measured, and a version that they refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from segjob.postgres.runs import finish_run
from segjob.postgres.tables import gate, version
from segjob.records.version import GateResult, Version


@dataclass(frozen=True)
class Basis:
    """What gates need to know of the published version; `scope_hash` tells whether the two can be compared."""

    version_id: int
    n_customers: int
    scope_hash: str


def basis_of(connection: Connection, segmentation: str, version_id: int | None) -> Basis | None:
    """What a new version is compared with; None where there is no version before it."""
    c = version.c
    wanted = select(c.version_id, c.n_customers, c.scope_hash)
    row = connection.execute(wanted.where(c.segmentation == segmentation, c.version_id == version_id)).one_or_none()
    return Basis(*row) if row else None


def store_gates(connection: Connection, judged: Version, label_churn: float | None) -> None:
    """Write down what the gates measured; from now on it is known that they were asked."""
    identity = {"segmentation": judged.segmentation, "version_id": judged.version_id}
    if judged.gates:
        connection.execute(insert(gate), [identity | asdict(result) for result in judged.gates])
    ours = (version.c[name] == value for name, value in identity.items())
    connection.execute(update(version).where(*ours).values(gated=True, label_churn=label_churn))


def load_gates(connection: Connection, segmentation: str, version_id: int) -> tuple[GateResult, ...]:
    columns = [gate.c[name] for name in GateResult.__dataclass_fields__]
    chosen = select(*columns).where(gate.c.segmentation == segmentation, gate.c.version_id == version_id)
    return tuple(GateResult(*row) for row in connection.execute(chosen.order_by(gate.c.gate)))


def reject(connection: Connection, judged: Version, error: str, finished: dict[str, Any]) -> None:
    """The version keeps its labels and is never seen; its run ends as rejected.

    Parameters
    ----------
    finished : columns of the run's row that are known now
    """
    ours = (version.c.segmentation == judged.segmentation, version.c.version_id == judged.version_id)
    connection.execute(update(version).where(*ours).values(status="rejected"))
    finish_run(
        connection, judged.run_id, "rejected", version_id=judged.version_id, exit_code=3, error=error, **finished
    )
