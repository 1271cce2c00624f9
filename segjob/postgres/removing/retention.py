"""Old versions out of the way: detached when nobody is to see them, and later without their labels.

The planner sees every attached version before it knows which one the pointer means, so its estimates grow with their
number. Detached ones wait as plain tables; nobody's query is disturbed by it. When there are too many, the oldest are
dropped: what remains of them is their row, their segments and their centroids.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, text, update

from segjob.errors import TryAgain
from segjob.postgres.connecting.connect import Database
from segjob.postgres.locks import hold_lock
from segjob.postgres.publishing.publications import version_before
from segjob.postgres.publishing.versions import unfinished_versions
from segjob.postgres.queries import Names, query, quote, sql
from segjob.postgres.tables import published, sample_row, version

LOCK_DEADLINE = 10.0  # seconds that a publication beside us may take until we give up


@dataclass(frozen=True)
class Attached:
    """A partition of the label table; `pending` when an earlier detach did not come to its end."""

    table: str
    version_id: int
    pending: bool


@dataclass(frozen=True)
class Pruned:
    """What a round of pruning came to: the versions that lost their labels, and why others kept theirs for now."""

    versions: tuple[int, ...]
    warnings: tuple[str, ...]


def prune(database: Database, names: Names, keep_versions: int) -> Pruned:
    """Detach what nobody is to see, and drop the labels of versions beyond the newest few.

    Whatever is in the way makes a sentence and no error; the next round finishes. The publishing lock is held for each
    step and never longer, so that a rollback at the same moment finds its version whole, or not at all.

    Raises
    ------
    TryAgain
        Somebody publishes for longer than we wait.
    """
    with hold_lock(database, names.segmentation, "publish", LOCK_DEADLINE):
        with database.begin() as connection:
            shown = visible_versions(connection, names.segmentation)
            candidates = surplus_versions(connection, names.segmentation, keep_versions)
        warnings = detach_old(database, names, shown)
    dropped = []
    for version_id in candidates:
        try:
            with hold_lock(database, names.segmentation, "publish", LOCK_DEADLINE):
                dropped += [version_id] if drop_labels(database, names, version_id, keep_versions) else []
        except TryAgain as error:
            warnings.append(f"the labels of version {version_id} could not be dropped yet: {error}")
    return Pruned(tuple(dropped), tuple(warnings))


# Which versions


def visible_versions(connection: Connection, segmentation: str) -> set[int]:
    """The published version, and the one that a rollback would go to."""
    pointer = select(published.c.version_id).where(published.c.segmentation == segmentation)
    current = connection.execute(pointer).scalar()
    return {one for one in (current, version_before(connection, segmentation)) if one is not None}


def surplus_versions(connection: Connection, segmentation: str, keep_versions: int) -> list[int]:
    """Versions that are to lose their labels, the oldest first; staged and rejected ones count like any other.

    What an unfinished run left is kept no longer than until a later version is published.
    """
    labelled = select(version.c.version_id).where(version.c.segmentation == segmentation, version.c.status != "pruned")
    newest_first = connection.execute(labelled.order_by(version.c.version_id.desc())).scalars().all()
    shown = visible_versions(connection, segmentation)
    unfinished = set(connection.execute(unfinished_versions(segmentation)).scalars())
    overtaken = {version_id for version_id in unfinished if version_id < max(shown, default=0)}
    kept = [version_id for version_id in newest_first if version_id not in overtaken][:keep_versions]
    return [version_id for version_id in reversed(newest_first) if version_id not in {*shown, *kept}]


# What is done to them


def detach_old(database: Database, names: Names, keep: set[int]) -> list[str]:
    """Detach all versions but some, and finish with those that are half detached; returns why not, if a reader waits.

    The next call finishes what this one could not: an interrupted detach has left the label table already, and only
    waits for whoever may still read it. There can be one such at a time, so the first that has to wait ends the round.
    """
    with database.autocommit() as connection:
        found = connection.execute(query("attached_parts"), {"label": names.label, "prefix": names.part_prefix}).all()
    attached = [Attached(*row) for row in found]
    for part in (one for one in attached if one.pending or one.version_id not in keep):
        try:
            detach(database, names, part)
        except TryAgain:
            return [f"a long transaction keeps version {part.version_id} attached; the next run detaches it"]
    return []


def detach(database: Database, names: Names, part: Attached) -> None:
    """Detach one partition outside of any transaction, without waiting long."""
    table = f"{quote(names.schemas.private)}.{quote(part.table)}"
    step = "finish_detach" if part.pending else "detach_part"
    with database.autocommit() as connection:
        connection.execute(text(sql("session_lock_timeout")[0]))
        connection.execute(text(sql(step, label=names.label, part=table)[0]))


def drop_labels(database: Database, names: Names, version_id: int, keep_versions: int) -> bool:
    """Drop the labels and the sample of one version; its row, segments and centroids stay.

    Only under the publishing lock. Nothing happens to a version that was published meanwhile, or is still attached.
    """
    ours = {"segmentation": names.segmentation, "version_id": version_id}
    with database.begin() as connection:
        connection.execute(query("lock_timeout"))
        tables = {"label": names.label, "part": names.part(version_id)}
        if version_id not in surplus_versions(connection, names.segmentation, keep_versions):
            return False
        if connection.execute(query("is_attached"), tables).scalar_one():
            return False
        connection.execute(text(sql("drop_part", part=tables["part"])[0]))
        connection.execute(delete(sample_row).filter_by(**ours))
        connection.execute(update(version).filter_by(**ours).values(status="pruned"))
    return True
