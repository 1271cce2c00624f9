"""The model laid out for a function in SQL, where every operation costs and an overflow or underflow is an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from segjob.clustering.features import clip, log1p, number_columns, onehot_groups, scale
from segjob.clustering.grid import LIMIT, to_grid
from segjob.records.model import Model, ModelColumn

LARGEST = float(np.finfo(np.float64).max)
BEYOND = 2.0 * LIMIT  # no rounding on the way from here gets back within the edge
TINY = 2.0**-60  # grid steps: too little to move any coordinate, even one that lies half way between two
FANOUT = 256
SIGN = 2**63


def model_arrays(model: Model) -> dict[str, Any]:
    """Lay out a model: the columns of the table `model`, in which numeric features, and one-hot ones, go by name.

    Returns
    -------
    unit : of the grid
    above, low, high, imputed, logarithmic, center, scale, weight, negligible, origin : one element a numeric feature;
        `imputed` is NaN where a missing value excludes, `negligible` the difference from the center that moves nothing
    required, first_column, last_column : one element a one-hot feature: whether NULL excludes, and which of
        `categories` are its own, from 1; the last one is `other`
    categories, category_squares : one element a one-hot column; the own square of a customer of this category
    category_scores : (k, one-hot columns), what being of a category adds to the squared distance
    factors : (k, numeric features), -2 x centre
    squares, segment_ids : (k,), of the centres
    """
    numbers = sorted(number_columns(model.columns), key=lambda column: column.column)
    groups = sorted(onehot_groups(model.columns), key=lambda group: group[0].column)
    bounds = [source_bounds(column, model.unit) for column in numbers]
    last = np.cumsum([len(group) for group in groups], dtype=np.int64)
    scores = [category_scores(group, model) for group in groups]
    return {
        "unit": model.unit,
        "above": [-1.0 if column.transform == "log1p" else -np.inf for column in numbers],
        "low": [low for low, _ in bounds],
        "high": [high for _, high in bounds],
        "imputed": [imputed(column, *ends) for column, ends in zip(numbers, bounds, strict=True)],
        "logarithmic": [column.transform == "log1p" for column in numbers],
        "center": [column.center for column in numbers],
        "scale": [column.scale for column in numbers],
        "weight": [column.weight for column in numbers],
        "negligible": [negligible(column, model.unit) for column in numbers],
        "origin": [0.0 if column.position is None else column.origin for column in numbers],
        "required": [group[0].impute == "exclude" for group in groups],
        "first_column": [int(end) - len(group) + 1 for end, group in zip(last, groups, strict=True)],
        "last_column": last.tolist(),
        "categories": [str(column.category) for group in groups for column in group],
        "category_scores": np.hstack(scores).tolist() if scores else [],
        "category_squares": [square for group in groups for square in category_squares(group, model.unit)],
        "factors": np.array([center_factors(column, model) for column in numbers]).T.tolist(),
        "squares": (model.centers**2).sum(axis=1).astype(np.float64).tolist(),
        "segment_ids": list(model.segment_ids),
    }


def center_factors(column: ModelColumn, model: Model) -> np.ndarray:
    """What a coordinate is multiplied with for each segment (k,): -2 x centre; 0 for a column that is not clustered."""
    return -2.0 * model.centers[:, column.position] if column.position is not None else np.zeros(len(model.centers))


def imputed(column: ModelColumn, low: float, high: float) -> float:
    """What a missing value becomes, clipped as all are; NaN where it excludes the customer."""
    return np.nan if column.impute_value is None else min(max(column.impute_value, low), high)


# One-hot features


def category_coordinates(group: Sequence[ModelColumn], unit: float) -> np.ndarray:
    """The coordinates of a customer of each category (columns, columns): one row a category; 0 where not clustered."""
    found = np.zeros((len(group), len(group)))
    for index, column in enumerate(group):
        if column.position is not None:
            scaled = scale(column, (np.arange(len(group)) == index).astype(np.float64))
            found[:, index] = np.clip(to_grid(scaled, column.origin, unit), -LIMIT, LIMIT)
    return found


def category_scores(group: Sequence[ModelColumn], model: Model) -> np.ndarray:
    """What each category adds to the squared distance from each centre, less its own square, (k, columns)."""
    factors = np.stack([center_factors(column, model) for column in group], axis=1)  # (k, columns)
    return np.asarray(factors @ category_coordinates(group, model.unit).T)


def category_squares(group: Sequence[ModelColumn], unit: float) -> list[float]:
    """The square of a customer of each category, over the columns of the feature."""
    squares: list[float] = (category_coordinates(group, unit) ** 2).sum(axis=1).tolist()
    return squares


# Numeric features: where the arithmetic would leave float64, and what to do instead


def source_bounds(column: ModelColumn, unit: float) -> tuple[float, float]:
    """Between which source values all else happens: the clip bounds, and the values that surely reach the edge."""
    low, high = -np.inf, np.inf
    if column.position is not None:
        least = np.nextafter(-1.0, 0.0) if column.transform == "log1p" else -LARGEST
        steps = partial(unclamped, column, unit)
        low = edge(lambda x: steps(x) > -BEYOND, least, steps, above=False)
        high = edge(lambda x: steps(x) >= BEYOND, least, steps, above=True)
    clipped = clip(column, np.array([low, high])).tolist()
    return clipped[0], clipped[1]


def unclamped(column: ModelColumn, unit: float, source: np.ndarray) -> np.ndarray:
    """Source values in grid steps from the origin, neither rounded nor clamped; infinite where float64 ends."""
    with np.errstate(over="ignore", under="ignore"):
        transformed = log1p(source) if column.transform == "log1p" else source
        return np.asarray((scale(column, transformed) - column.origin) / unit)


def edge(
    holds: Callable[[np.ndarray], np.ndarray], least: float, steps: Callable[[np.ndarray], np.ndarray], *, above: bool
) -> float:
    """Of the neighbours between which a condition begins to hold, the outer one, unless float64 ends between them.

    Parameters
    ----------
    above : whether the larger values are the outer ones
    """
    before, after = turning_point(holds, least, LARGEST)
    outer, inner = (after, before) if above else (before, after)
    return outer if np.isfinite(steps(np.array([outer]))[0]) else inner


def negligible(column: ModelColumn, unit: float) -> float:
    """The largest difference from the center that moves no coordinate; all larger ones scale without underflow."""
    if column.position is None:
        return np.inf

    def counts(difference: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(difference / column.scale * column.weight > TINY * unit)

    return turning_point(counts, 0.0, LARGEST)[0]


def turning_point(holds: Callable[[np.ndarray], np.ndarray], least: float, most: float) -> tuple[float, float]:
    """The neighbouring float64 between which a condition begins to hold that holds for all that is larger.

    If it holds everywhere, or nowhere, both are the end that it does not pass.
    """
    ends = np.array([least, most])
    at_least, at_most = holds(ends).tolist()
    if at_least or not at_most:
        return (least, least) if at_least else (most, most)
    before, after = ordinals(ends)
    while after - before > 1:
        inner = [before + (after - before) * part // FANOUT for part in range(FANOUT + 1)]
        inside = sorted(set(inner))
        first = int(np.argmax(holds(from_ordinals(inside))))
        before, after = inside[first - 1], inside[first]
    found = from_ordinals([before, after]).tolist()
    return found[0], found[1]


def ordinals(values: np.ndarray) -> list[int]:
    """The places of float64 in their order; neighbours differ by 1."""
    bits = values.view(np.int64).tolist()
    return [place if place >= 0 else -(place + SIGN) for place in bits]


def from_ordinals(places: Sequence[int]) -> np.ndarray:
    return np.array([place if place >= 0 else -place - SIGN for place in places], np.int64).view(np.float64)
