"""From a configured segmentation to what is read of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from segjob.postgres.reading.columns import ReadPlan, plan_read
from segjob.postgres.reading.partial import Watermark, watermark_of
from segjob.postgres.reading.source import describe
from segjob.postgres.shapes import Shape

if TYPE_CHECKING:
    from segjob.config.segmentation import Segmentation


def plan_source(connection: Connection, segmentation: Segmentation, params: Mapping[str, str]) -> ReadPlan:
    """Decide what is read, once the columns and their types are known to be right."""
    description = describe(connection, segmentation.source_spec(params))
    return plan_read(description, segmentation.key, segmentation.feature_specs())


def shape_of(name: str, plan: ReadPlan) -> Shape:
    """What the objects of the segmentation in the database depend on."""
    return Shape(name, plan.keys, plan.features)


def watermark_column(connection: Connection, segmentation: Segmentation, params: Mapping[str, str]) -> Watermark | None:
    """The column that tells what changed lately, if the configuration names one."""
    if segmentation.watermark is None:
        return None
    return watermark_of(describe(connection, segmentation.source_spec(params)), segmentation.watermark)
