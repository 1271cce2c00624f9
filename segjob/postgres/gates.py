"""Gates as rows: what they compare with, what they measured, and a version that they refused."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from segjob.postgres.runs import finish_run
from segjob.postgres.tables import gate, published, version
from segjob.records import Basis, GateResult, Version


def published_basis(connection: Connection, segmentation: str) -> Basis | None:
    """What a new version is compared with; None before the first publication."""
    same = (version.c.segmentation == published.c.segmentation) & (version.c.version_id == published.c.version_id)
    wanted = select(version.c.version_id, version.c.n_customers, version.c.scope_hash).join(published, same)
    row = connection.execute(wanted.where(published.c.segmentation == segmentation)).one_or_none()
    return Basis(*row) if row else None


def store_gates(connection: Connection, judged: Version) -> None:
    """Write down what the gates measured, in the place of what they measured of this version before."""
    identity = {"segmentation": judged.segmentation, "version_id": judged.version_id}
    connection.execute(delete(gate).where(*(gate.c[name] == value for name, value in identity.items())))
    if judged.gates:
        connection.execute(insert(gate), [identity | asdict(result) for result in judged.gates])
    ours = (version.c[name] == value for name, value in identity.items())
    connection.execute(update(version).where(*ours).values(gated=True))


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
