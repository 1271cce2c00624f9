"""A fit with its centres in another order, in which it has to hold as it did in its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from segjob.clustering.kmeans import Fit
from segjob.clustering.nearest import as_rows, resolve_device
from segjob.clustering.passes import exact_passes
from segjob.clustering.tournament import START_ROWS
from segjob.records.population import Population


def reordered(
    found: Fit, order: Sequence[int], sample: np.ndarray, population: Population[np.ndarray], unit: float, device: str
) -> Fit:
    """The same centres in an order of their positions.

    Rows that are as far from two centres go to the first. Where the order changes, exact passes begin again from
    there, so that a rerun, which begins with these centres in this order, changes nothing.
    """
    if list(order) == sorted(order):
        return found
    positions = np.array(order)
    rows = as_rows(sample, resolve_device(device)[0])[:START_ROWS]
    settled = exact_passes(rows, population, found.centers[positions], rows.device.type)
    *stages, last = found.stages
    return replace(
        found,
        tally=settled.tally,
        stages=(*stages, replace(last, steps=last.steps + settled.n_passes, inertia_after=settled.inertia * unit**2)),
        n_full_passes=found.n_full_passes + settled.n_passes,
        parents=None if found.parents is None else found.parents[positions],
    )
