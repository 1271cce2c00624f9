"""What the policies of the features did to how many customers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from segjob.clustering.features import by_feature, missing, numeric_specs
from segjob.records.model import ModelColumn
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec

STAND_IN = {"median": "the median", "mean": "the mean", "zero": "zero"}


def touched(columns: Sequence[ModelColumn], n_rows: int) -> list[str]:
    """One sentence for each policy that changed the value of at least one of `n_rows` customers.

    Of a column that was left out nothing is said: it has a sentence of its own. Nor of `exclude`, which leaves
    customers out before there are any columns.
    """
    groups = [group for group in by_feature(columns) if any(column.position is not None for column in group)]
    return [sentence for group in groups for sentence in sentences(group, n_rows)]


def stood_in_for(specs: Sequence[FeatureSpec], chunk: Chunk) -> dict[str, int]:
    """How many customers of a chunk lack each numeric feature, where something stands in for it."""
    numbers = zip(numeric_specs(specs), chunk.numbers.T, strict=True)
    return {
        spec.column: int(np.count_nonzero(missing(spec, values))) for spec, values in numbers if spec.impute in STAND_IN
    }


def sentences(group: Sequence[ModelColumn], n_rows: int) -> Iterator[str]:
    first, rest = group[0], group[-1]
    name = f"column {first.column}"
    if first.category is not None:
        n_other = round((rest.population_mean or 0.0) * n_rows)
        if n_other:
            yield (
                f"{name}: {n_other} of {n_rows} customers count as `other`, {first.n_missing} of them without a value "
                f"and {n_other - first.n_missing} with a rare one"
            )
        return
    if first.n_missing and first.impute in STAND_IN:
        yield f"{name}: {first.n_missing} of {n_rows} customers lack a value and count as {STAND_IN[first.impute]}"
    if first.n_clipped:
        yield f"{name}: {first.n_clipped} of {n_rows} values were cut to the quantiles of `clip`"
