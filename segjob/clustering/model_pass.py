"""Customers are labelled by the model of a stored version, as they are read: between two fits, nobody is fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from segjob.clustering.features import grid_matrix, specs_of
from segjob.clustering.labels import label
from segjob.clustering.model_features import in_order
from segjob.records.model import Labels, Model
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec

BLOCK = 65_536


@dataclass(frozen=True)
class ModelPass:
    """Labels for chunks of customers; those that the fit has seen get what the fit gave them, to the last bit.

    Attributes
    ----------
    specs : the features in the order in which the chunks have them; `answers_for` has said that they are the model's
    device : `auto`, `cpu` or `cuda`
    parent : the model before, if it is to be asked as well; it has the same features
    """

    model: Model
    specs: tuple[FeatureSpec, ...]
    device: str = "auto"
    parent: Model | None = None

    def __call__(self, chunk: Chunk) -> list[tuple[Chunk, Labels]]:
        """The chunk in pieces, each with its labels, so that what is computed on the way takes little memory."""
        blocks = [slice(first, first + BLOCK) for first in range(0, chunk.n_rows, BLOCK)]
        return [(piece, self._labels(piece)) for piece in (part_of(chunk, block) for block in blocks)]

    def _labels(self, piece: Chunk) -> Labels:
        labels = self._asked(self.model, piece)
        if self.parent is None:
            return labels
        return replace(labels, carried_segment_id=self._asked(self.parent, piece).segment_id)

    def _asked(self, model: Model, piece: Chunk) -> Labels:
        rows = in_order(piece, self.specs, specs_of(model.columns))
        matrix = grid_matrix(
            model.columns, model.grid_exponent, rows.numbers, rows.categories, clamp=True, dtype=np.float32
        )
        return label(model.centers, matrix, model.unit, model.segment_ids, self.device)


def part_of(chunk: Chunk, rows: slice) -> Chunk:
    return Chunk(chunk.keys[rows], chunk.numbers[rows], tuple(column[rows] for column in chunk.categories))
