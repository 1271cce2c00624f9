"""Populations in memory, and the whole way from raw customers to scores, as the job walks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pytest

from segjob.clustering.cores import use_threads
from segjob.clustering.features import select_rows, split_excluded
from segjob.clustering.kmeans import Fit, fit
from segjob.clustering.labels import LabelPass
from segjob.clustering.plan import FeaturePlan, first_pass, plan_features
from segjob.clustering.sample import SampleRows
from segjob.clustering.silhouette import Silhouette, silhouette
from segjob.clustering.squared_silhouette import SquaredTotals
from segjob.clustering.summary import SegmentSummary
from segjob.clustering.survey import Survey, survey_chunk
from segjob.records.model import Labels
from segjob.records.population import Chunk
from segjob.records.source import FeatureFamily, FeatureSpec

C = TypeVar("C")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small sums in several threads only wait for one another, above all while other tests use the cores."""
    use_threads(1)


class ListPopulation(Generic[C]):
    """Chunks in a list; counts the passes made over it."""

    def __init__(self, chunks: Sequence[C]) -> None:
        self.chunks = chunks
        self.n_passes = 0

    @property
    def n_rows(self) -> int:
        return sum(map(size_of, self.chunks))

    def reduce(self, summarise: Callable[[C], Any]) -> Any:
        self.n_passes += 1
        return reduce(lambda merged, other: merged.merge(other), map(summarise, self.chunks))

    def map(self, compute: Callable[[C], Any]) -> Iterator[Any]:
        return map(compute, self.chunks)

    def at_once(self, compute: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return [*map(compute, items)]


def size_of(chunk: Any) -> int:
    return chunk.n_rows if isinstance(chunk, Chunk) else len(chunk)


def customers(numbers: Any = (), categories: Sequence[Sequence[str | None]] = (), first_key: int = 1) -> Chunk:
    """A chunk with consecutive bigint keys; `numbers` is (n, m), or one sequence for a single feature."""
    matrix = np.asarray(numbers, np.float64)
    if matrix.ndim == 1:
        matrix = matrix[:, None] if len(matrix) else np.empty((len(categories[0]), 0))
    keys = pa.array(np.arange(first_key, first_key + len(matrix)), pa.int64())
    columns = tuple(pa.array(column, pa.string()) for column in categories)
    return Chunk(pa.RecordBatch.from_arrays([keys], ["customer_id"]), matrix, columns)


def rows_of(chunk: Chunk, order: np.ndarray) -> Chunk:
    """The customers at these positions, with their keys."""
    positions = pa.array(order)
    categories = tuple(column.take(positions) for column in chunk.categories)
    return Chunk(chunk.keys.take(positions), chunk.numbers[order], categories)


def cut(chunk: Chunk, size: int) -> list[Chunk]:
    return [rows_of(chunk, np.arange(first, min(first + size, chunk.n_rows))) for first in range(0, chunk.n_rows, size)]


def survey_of(specs: Sequence[FeatureSpec], chunks: Sequence[Chunk]) -> Survey:
    return reduce(lambda merged, other: merged.merge(other), [survey_chunk(specs, chunk) for chunk in chunks]).settle()


def plan_of(specs: Sequence[FeatureSpec], chunks: Chunk | Sequence[Chunk]) -> FeaturePlan:
    chunks = [chunks] if isinstance(chunks, Chunk) else chunks
    families: list[FeatureFamily] = ["text" if spec.onehot else "number" for spec in specs]
    return planned(specs, families, survey_of(specs, chunks), ListPopulation(chunks))


def planned(
    specs: Sequence[FeatureSpec], families: Sequence[FeatureFamily], survey: Survey, population: ListPopulation[Chunk]
) -> FeaturePlan:
    """The plan of a survey, after the first pass."""
    return plan_features(specs, families, survey, first_pass(specs, survey, population), population)


@dataclass(frozen=True)
class Segmented:
    """All that the way yields; labels and matrix are in the order of the customers."""

    plan: FeaturePlan
    sample: SampleRows
    matrix: np.ndarray
    fit: Fit
    labels: Labels
    summary: SegmentSummary
    squared: SquaredTotals
    scored: Silhouette

    @property
    def inertia(self) -> float:
        return self.summary.total_inertia * self.plan.unit**2


def segment(
    specs: Sequence[FeatureSpec], chunks: Chunk | Sequence[Chunk], n_clusters: int, seed: int = 42
) -> Segmented:
    """Walk the flow of `segjob.clustering` over customers in memory."""
    chunks = [chunks] if isinstance(chunks, Chunk) else chunks
    chunks = [select_rows(chunk, split_excluded(specs, chunk)[0]) for chunk in chunks]
    plan = plan_of(specs, chunks)
    sample = survey_of(specs, chunks).sample.rows
    matrices = [plan.prepare(chunk) for chunk in chunks]
    sample_matrix = plan.prepare(sample)
    found = fit(sample_matrix, ListPopulation(matrices), n_clusters, seed=seed, unit=plan.unit, device="cpu")
    ids = tuple(range(1, len(found.centers) + 1))
    passed = [
        LabelPass(plan, found.tally, ids, "cpu")(chunk, matrix) for chunk, matrix in zip(chunks, matrices, strict=True)
    ]
    summary, squared = (
        reduce(lambda merged, other: merged.merge(other), each) for each in [*zip(*passed, strict=True)][1:]
    )
    return Segmented(
        plan,
        sample,
        np.concatenate(matrices),
        found,
        joined([labels for labels, *_ in passed]),
        summary,
        squared,
        silhouette(sample_matrix, found.centers, summary.counts, "cpu"),
    )


def joined(parts: Sequence[Labels]) -> Labels:
    names = ("segment_id", "distance", "runner_up_segment_id", "simplified_silhouette")
    return Labels(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def blobs(
    n_rows: int, n_columns: int, n_clusters: int, seed: int = 0, apart: float = 6.0
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian clouds around centres on a lattice, and which cloud each row is of."""
    random = np.random.default_rng(seed)
    centers = random.permutation(np.array(list(np.ndindex(*(3,) * n_columns))))[:n_clusters] * apart
    truth = random.integers(n_clusters, size=n_rows)
    return centers[truth] + random.normal(size=(n_rows, n_columns)), truth


def on_grid(matrix: np.ndarray, steps: float = 10_000) -> np.ndarray:
    """Whole numbers, as the fit takes them."""
    return np.rint(matrix * steps).astype(np.float32)


def plain(n_columns: int) -> list[FeatureSpec]:
    """Features that are clustered as they are."""
    return [FeatureSpec(f"x{index}", scale="none") for index in range(n_columns)]
