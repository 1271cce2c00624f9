"""The model of the version before asked about today's customers, and where its segments have gone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch

from segjob.clustering.features import Rows, grid_matrix, specs_of
from segjob.clustering.kernels import block_rows, nearest_positions
from segjob.clustering.model_features import in_order
from segjob.clustering.nearest import as_rows, resolve_device
from segjob.clustering.plan import BLOCK, FeaturePlan
from segjob.records.model import Model, ModelColumn
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec

FINDINGS = ("n_missing", "n_clipped", "minimum", "maximum", "population_mean", "population_std", "population_median")
"""What a column knows of the customers and does not need to place one of them."""


@dataclass(frozen=True)
class Contingency:
    """How many customers are in each old and each new segment, (old, new) int64; mergeable and exact."""

    shared: np.ndarray

    def merge(self, other: Contingency) -> Contingency:
        return Contingency(self.shared + other.shared)


def cross(old: np.ndarray, new: np.ndarray, n_old: int, n_new: int) -> Contingency:
    """Count customers by their old and their new segment, both (n,) positions."""
    counts = np.bincount(old.astype(np.int64) * n_new + new.astype(np.int64), minlength=n_old * n_new)
    return Contingency(counts.reshape(n_old, n_new))


def nearest(centers: np.ndarray, matrix: np.ndarray, device: str) -> np.ndarray:
    """The position (n,) of the nearest of the centres (k, d), whole numbers; ties go to the lowest."""
    rows = as_rows(matrix, resolve_device(device)[0])
    stacked = torch.from_numpy(centers).to(rows.device, torch.float64)
    found = nearest_positions(rows, stacked, block_rows(2 * centers.shape[1] + len(centers)))
    return np.asarray(found.cpu().numpy())


@dataclass(frozen=True)
class Predecessor:
    """The model of the version before, asked about customers as they are read and prepared today.

    Attributes
    ----------
    specs : today's features; `answers_for` has said that they are the model's
    """

    model: Model
    plan: FeaturePlan
    specs: tuple[FeatureSpec, ...]
    device: str = "auto"

    @cached_property
    def on_the_same_grid(self) -> bool:
        """Whether the plan places every customer where the model does."""
        ours, theirs = (tuple(map(constants, one.columns)) for one in (self.plan, self.model))
        return (ours, self.plan.grid_exponent) == (theirs, self.model.grid_exponent)

    def gives_the_same(self, centers: np.ndarray) -> bool:
        """Whether the model and these centres (k, d) of the plan give every customer the same segment."""
        return self.on_the_same_grid and np.array_equal(centers, self.model.centers)

    def positions(self, chunk: Chunk, matrix: np.ndarray) -> np.ndarray:
        """The position of the segment that the model gives to each customer of a chunk, (n,).

        Parameters
        ----------
        matrix : (n, d) the same customers on the plan's grid
        """
        if self.on_the_same_grid:
            return self.narrow(nearest(self.model.centers, matrix, self.device))
        rows = in_order(chunk, self.specs, specs_of(self.model.columns))
        blocks = [slice(start, start + BLOCK) for start in range(0, chunk.n_rows, BLOCK)]
        return self.narrow(np.concatenate([self.placed(rows, block) for block in blocks]))

    def placed(self, rows: Rows, block: slice) -> np.ndarray:
        categories = [column[block] for column in rows.categories]
        model = self.model
        matrix = grid_matrix(
            model.columns, model.grid_exponent, rows.numbers[block], categories, clamp=True, dtype=np.float32
        )
        return nearest(model.centers, matrix, self.device)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The smallest integers that hold a position."""
        return np.dtype(np.min_scalar_type(len(self.model.centers) - 1))

    def narrow(self, positions: np.ndarray) -> np.ndarray:
        return positions.astype(self.dtype)


def constants(column: ModelColumn) -> tuple[object, ...]:
    """All that places a customer in a column."""
    return tuple(getattr(column, one.name) for one in fields(column) if one.name not in FINDINGS)
