"""The right number of segments on customers that have so many groups, and no clear one on those that have none."""

from __future__ import annotations

import numpy as np
import pytest

from segjob.clustering.candidates import OneChunk
from segjob.clustering.choice import Choice
from segjob.clustering.choose_k import choose

UNIT = 2.0**-10


def chosen(rows: np.ndarray, numbers: range, seed: int) -> Choice:
    matrix = np.rint(rows / UNIT).astype(np.float32)
    return choose(matrix, OneChunk(matrix), numbers, seed=seed, unit=UNIT, device="cpu")


def scattered_centers(n_clusters: int, n_columns: int, random: np.random.Generator) -> np.ndarray:
    """Centres at least 6 apart, each within 8 of another one, however far the rest."""
    found = [np.zeros(n_columns)]
    while len(found) < n_clusters:
        way = random.normal(size=n_columns)
        center = found[random.integers(len(found))] + way / np.linalg.norm(way) * random.uniform(6.0, 8.0)
        if min(float(np.linalg.norm(center - other)) for other in found) >= 6.0:
            found.append(center)
    return np.array(found)


def groups(n_rows: int, n_clusters: int, n_columns: int, seed: int) -> np.ndarray:
    """Gaussian clouds of standard deviation 1 and of unequal sizes."""
    random = np.random.default_rng(seed)
    centers = scattered_centers(n_clusters, n_columns, random)
    shares = random.dirichlet(np.full(n_clusters, 8.0))
    return centers[random.choice(n_clusters, n_rows, p=shares)] + random.normal(size=(n_rows, n_columns))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_columns", [2, 3, 8])
@pytest.mark.parametrize("n_clusters", [2, 3, 5, 8])
def test_the_right_number_is_found(n_clusters: int, n_columns: int, seed: int) -> None:
    found = chosen(groups(2_000, n_clusters, n_columns, seed), range(2, 11), seed)
    assert found.suggested == n_clusters, found.reason


@pytest.mark.parametrize("n_clusters", [3, 6])
def test_the_right_number_is_found_in_a_large_population(n_clusters: int) -> None:
    found = chosen(groups(100_000, n_clusters, 4, 7), range(2, 11), 1)
    assert found.suggested == n_clusters, found.reason
    assert not found.candidates[0].silhouette.exact


def cloud(kind: str, n_rows: int, n_columns: int, random: np.random.Generator) -> np.ndarray:
    """One round or long Gaussian, or a cube."""
    if kind == "cube":
        return random.random((n_rows, n_columns)) * 4.0
    lengths = np.ones(n_columns)
    lengths[0] = 10.0 if kind == "long" else 1.0
    turn, _ = np.linalg.qr(random.normal(size=(n_columns, n_columns)))
    return np.asarray(random.normal(size=(n_rows, n_columns)) * lengths @ turn)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("n_rows", "n_columns"), [(200, 2), (2_000, 2), (2_000, 5), (30_000, 3)])
@pytest.mark.parametrize("kind", ["round", "long", "cube"])
def test_one_cloud_has_no_clear_number(kind: str, n_rows: int, n_columns: int, seed: int) -> None:
    found = chosen(cloud(kind, n_rows, n_columns, np.random.default_rng(seed)), range(2, 9), seed)
    assert not found.clear, found.reason
    assert found.reason.startswith("no clear k: ")
