"""What was published when, and what there is of a version that somebody wants to publish."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from segjob.postgres.listing import no_version
from segjob.postgres.publishing.versions import unfinished_versions
from segjob.postgres.tables import publication, version


@dataclass(frozen=True)
class Candidate:
    """A version that may be published. `gated` tells whether the gates were ever asked about it."""

    version_id: int
    parent_version_id: int | None
    status: str
    gated: bool


def candidate(connection: Connection, segmentation: str, version_id: int) -> Candidate:
    """Look up one version.

    Raises
    ------
    DataError
        There is no such version.
    """
    c = version.c
    wanted = select(c.version_id, c.parent_version_id, c.status, c.gated)
    row = connection.execute(wanted.where(c.segmentation == segmentation, c.version_id == version_id)).one_or_none()
    if row is None:
        raise no_version(segmentation, version_id)
    return Candidate(*row)


def is_overtaken(connection: Connection, segmentation: str, version_id: int) -> bool:
    """Whether an unfinished run left it, and a version that it could not know was published since."""
    ours, later = version.alias("ours"), version.alias("later")
    unknown = later.c.version_id > func.coalesce(ours.c.parent_version_id, 0)
    since = (later.c.version_id != ours.c.version_id) & (later.c.published_at > ours.c.created_at)
    wanted = select(later.c.version_id).where(
        ours.c.segmentation == segmentation,
        later.c.segmentation == segmentation,
        ours.c.version_id == version_id,
        ours.c.version_id.in_(unfinished_versions(segmentation)),
        unknown & since,
    )
    return connection.execute(wanted.limit(1)).first() is not None


def version_before(connection: Connection, segmentation: str) -> int | None:
    """Where a rollback goes; None if there was nothing before, or nothing of it is left."""
    both = (version.c.segmentation == publication.c.segmentation) & (version.c.version_id == publication.c.version_id)
    log = select(publication.c.kind, publication.c.version_id, version.c.status).join(version, both)
    log = log.where(publication.c.segmentation == segmentation).order_by(publication.c.publication)
    return before_the_last([(row.kind, row.version_id, row.status == "pruned") for row in connection.execute(log)])


def before_the_last(log: Iterable[tuple[str, int, bool]]) -> int | None:
    """The version that was published before the one that is published now.

    A rollback takes back publications, so that a second one goes further back, and not forward again.

    Parameters
    ----------
    log : kind, version and whether it is pruned, of each publication in its order
    """
    stack: list[int] = []
    pruned: set[int] = set()
    for kind, version_id, is_pruned in log:
        pruned |= {version_id} if is_pruned else set()
        if kind == "rollback" and version_id in stack:
            while stack[-1] != version_id:
                stack.pop()
        elif stack[-1:] != [version_id]:
            stack.append(version_id)
    current = stack[-1:]
    return next((one for one in reversed(stack[:-1]) if [one] != current and one not in pruned), None)
