"""Online K-Means."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import KMeans

from segjob.clustering.minibatch import MiniBatchKMeans
from tests.unit.clustering.conftest import blobs, on_grid


def test_partial_fit_keeps_the_exact_mean_of_all_it_was_given() -> None:
    matrix = on_grid(blobs(900, 2, 3, apart=20.0)[0])
    model = MiniBatchKMeans(3, seed=5, device="cpu")
    for batch in np.split(matrix, 9):
        model.partial_fit(batch)
    labels = model.predict(matrix)
    assert model.counts_.tolist() == np.bincount(labels).tolist()
    for index, center in enumerate(model.cluster_centers_):
        np.testing.assert_array_equal(center, np.rint(matrix[labels == index].astype(np.float64).mean(axis=0)))


def test_mini_batches_alone_come_close_to_scikit_learn() -> None:
    matrix = on_grid(blobs(8_000, 3, 6, apart=5.0)[0])
    model = MiniBatchKMeans(6, generator=torch.Generator().manual_seed(2), device="cpu")
    for batch in np.split(matrix, 8):
        model.partial_fit(torch.from_numpy(batch))
    inertia = (model.transform(matrix).min(axis=1) ** 2).sum()
    assert inertia <= KMeans(6, n_init=10, random_state=0).fit(matrix).inertia_ * 1.005


def test_transform_gives_distances_and_predict_the_nearest() -> None:
    matrix = on_grid(blobs(200, 2, 3)[0])
    model = MiniBatchKMeans(3, device="cpu").partial_fit(matrix)
    distances = model.transform(matrix)
    expected = np.linalg.norm(matrix[:, None].astype(np.float64) - model.cluster_centers_[None], axis=2)
    np.testing.assert_allclose(distances, expected, rtol=1e-14)
    np.testing.assert_array_equal(model.predict(matrix), expected.argmin(axis=1))


def test_a_seed_is_as_good_as_the_generator_made_of_it() -> None:
    matrix = on_grid(blobs(500, 2, 4, apart=1.0)[0])
    seeded = MiniBatchKMeans(4, seed=9, device="cpu").partial_fit(matrix)
    generated = MiniBatchKMeans(4, generator=torch.Generator().manual_seed(9), device="cpu").partial_fit(matrix)
    np.testing.assert_array_equal(seeded.cluster_centers_, generated.cluster_centers_)
