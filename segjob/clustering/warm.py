"""The centres of a stored version on the grid of another plan, so that a fit can go on from them. No torch."""

from __future__ import annotations

import numpy as np

from segjob.clustering.features import scaled_value
from segjob.clustering.grid import LIMIT, to_grid
from segjob.clustering.plan import FeaturePlan
from segjob.records.model import Model, ModelColumn


def warm_centers(model: Model, plan: FeaturePlan) -> np.ndarray | None:
    """The centres of a model, in its order, where a plan sees them.

    Each coordinate goes back to before scaling and is scaled with the plan's constants; where the constants are the
    same, it is copied bit for bit. What would lie beyond the grid is brought to its edge.

    Returns
    -------
    (k, d) int64, or None where the two do not cluster the same columns in the same places with the same transforms
    """
    if list(map(meaning, model.clustered)) != list(map(meaning, plan.clustered)):
        return None
    centers = np.empty_like(model.centers)
    for old, new in zip(model.clustered, plan.clustered, strict=True):
        centers[:, new.position] = moved(old, new, model.centers[:, old.position], model.unit, plan.unit)
    return centers


def meaning(column: ModelColumn) -> tuple[object, ...]:
    """What must not differ, as opposed to the constants."""
    return column.position, column.feature, column.family, column.transform, column.category


def moved(old: ModelColumn, new: ModelColumn, coordinates: np.ndarray, old_unit: float, new_unit: float) -> np.ndarray:
    """Grid coordinates (k,) of one column from one grid to another; both have the same transform, so it stays on."""
    if (constants(old), old_unit) == (constants(new), new_unit):
        return coordinates
    transformed = scaled_values(old, coordinates, old_unit) / old.weight * old.scale + old.center
    scaled = (transformed - new.center) / new.scale * new.weight
    return np.asarray(np.clip(to_grid(scaled, new.origin, new_unit), -LIMIT, LIMIT), np.int64)


def constants(column: ModelColumn) -> tuple[float, ...]:
    return column.center, column.scale, column.weight, column.origin


def scaled_values(column: ModelColumn, coordinates: np.ndarray, unit: float) -> np.ndarray:
    return np.array([scaled_value(column, coordinate, unit) for coordinate in coordinates.tolist()])
