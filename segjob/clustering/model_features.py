"""Which features a stored model asks for, beside those that are read. No torch: it is asked before the reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segjob.clustering.features import Rows, by_feature, specs_of
from segjob.records.model import Model
from segjob.records.source import FeatureFamily, FeatureSpec


def answers_for(model: Model, specs: Sequence[FeatureSpec], families: Sequence[FeatureFamily]) -> bool:
    """Whether a model can be asked about customers that are read so: it has the same features, in any order.

    A feature by which the model left customers out has to leave out the same ones today.
    """
    today = {spec.column: (family, spec.onehot) for spec, family in zip(specs, families, strict=True)}
    before = {group[0].column: (group[0].family, group[0].category is not None) for group in by_feature(model.columns)}
    excluding = {(spec.column, spec.transform) for spec in specs if spec.impute == "exclude"}
    excluded = {(spec.column, spec.transform) for spec in specs_of(model.columns) if spec.impute == "exclude"}
    return today == before and excluded <= excluding


@dataclass(frozen=True)
class Reordered:
    """The raw features of some customers in the order of another configuration."""

    numbers: np.ndarray
    categories: tuple[object, ...]


def in_order(rows: Rows, specs: Sequence[FeatureSpec], wanted: Sequence[FeatureSpec]) -> Rows:
    """Rows whose features come as `specs` have them, in the order of `wanted`, which has the same columns."""
    columns = [[one.column for one in some if not one.onehot] for some in (specs, wanted)]
    onehot = [[one.column for one in some if one.onehot] for some in (specs, wanted)]
    if columns[0] == columns[1] and onehot[0] == onehot[1]:
        return rows
    numbers = rows.numbers[:, [columns[0].index(name) for name in columns[1]]]
    return Reordered(numbers, tuple(rows.categories[onehot[0].index(name)] for name in onehot[1]))
