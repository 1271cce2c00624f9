"""A fit takes hours, `score` seconds: whom that labelled meanwhile, the fit labels itself before it publishes."""

from __future__ import annotations

from sqlalchemy import Connection

from segjob.clustering.model_features import answers_for
from segjob.job.recording import Record
from segjob.job.relabelling import Asked, labelled, read_asked
from segjob.job.task import Task
from segjob.postgres.publishing.scoring import Scored, apply_to_staged, has_touched, touched_keys
from segjob.postgres.publishing.versions import load_version
from segjob.postgres.reading.columns import ReadPlan
from segjob.postgres.reading.partial import only_these, only_those_in
from segjob.postgres.writing.write import Part
from segjob.records.model import Model
from segjob.records.version import Version


def catch_up(task: Task, part: Part, version: Version, record: Record) -> None:
    """Read again whom `score` has labelled since our snapshot, and label them with our model; who left, leaves.

    Only under the lock of publishing, so that nobody can be missed between this and the move of the pointer.
    """
    scored = Scored(task.names, part.version_id, part.keys, "caught")
    with task.database.begin() as connection:
        if not has_touched(connection, scored):
            return
        parent = parent_model(connection, task, version)
        plan = plan_touched(connection, task, scored)
    asked = Asked(version.model, scored, plan, parent)
    spooled = read_asked(task, asked)
    with labelled(task, asked, spooled), task.database.begin() as connection:
        changes = apply_to_staged(connection, scored)
    if changes.n_touched:
        sentence = f"{changes.n_touched} customers whom `score` labelled meanwhile were labelled with the new model"
        record.warnings += task.warned([sentence])


def plan_touched(connection: Connection, task: Task, scored: Scored) -> ReadPlan:
    """What to read for whom `score` touched; another server has no table of them and is sent their keys."""
    if task.database.source is None:
        return only_those_in(task.plan, scored.names.scratch("touched"), scored.key_names)
    keys = touched_keys(connection, scored)
    return task.plan if keys is None else only_these(task.plan, keys)


def parent_model(connection: Connection, task: Task, version: Version) -> Model | None:
    """The model that tells whether their features moved them or the new model; None where it has other features."""
    if version.parent_version_id is None:
        return None
    model = load_version(connection, task.name, version.parent_version_id).model
    families = [column.family for column in task.plan.features]
    return model if answers_for(model, task.segmentation.feature_specs(), families) else None
