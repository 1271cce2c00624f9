"""The fit as a whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from segjob.clustering import kmeans, passes
from segjob.clustering.cores import use_threads
from segjob.clustering.kmeans import fit
from segjob.errors import DataError
from tests.unit.clustering.conftest import ListPopulation, blobs, on_grid


def fit_all(matrix: np.ndarray, n_clusters: int, chunk: int = 10**9, seed: int = 1):
    chunks = [matrix[first : first + chunk] for first in range(0, len(matrix), chunk)]
    return fit(matrix, ListPopulation(chunks), n_clusters, seed=seed, unit=1.0, device="cpu")


def predicted(matrix: np.ndarray, centers: np.ndarray) -> np.ndarray:
    squared = ((matrix[:, None].astype(np.float64) - centers[None]) ** 2).sum(axis=2)
    return np.asarray(squared.argmin(axis=1))


@pytest.mark.parametrize("n_clusters", [3, 6, 9])
def test_the_inertia_is_within_a_thousandth_of_scikit_learn(n_clusters: int) -> None:
    matrix = on_grid(blobs(3_000, 3, n_clusters, apart=4.0)[0])
    found = fit_all(matrix, n_clusters)
    oracle = KMeans(n_clusters, n_init=10, tol=1e-6, random_state=0).fit(matrix.astype(np.float64))
    assert found.inertia <= oracle.inertia_ * 1.001


def test_the_inertia_and_counts_are_those_of_the_centres() -> None:
    matrix = on_grid(blobs(1_000, 2, 4)[0])
    found = fit_all(matrix, 4, chunk=300)
    labels = predicted(matrix, found.centers)
    assert found.counts.tolist() == np.bincount(labels).tolist()
    assert found.inertia == ((matrix.astype(np.float64) - found.centers[labels]) ** 2).sum()


def test_segments_come_largest_first() -> None:
    random = np.random.default_rng(0)
    truth = random.choice(4, 2_000, p=[0.1, 0.5, 0.15, 0.25])
    matrix = on_grid(np.array([[0, 0], [30, 0], [0, 30], [30, 30]])[truth] + random.normal(size=(2_000, 2)))
    assert fit_all(matrix, 4).counts.tolist() == sorted(np.bincount(truth).tolist(), reverse=True)


def test_segments_of_one_size_come_in_the_order_of_their_centres() -> None:
    matrix = np.array([[9, 0], [0, 5], [9, 0], [0, 0], [0, 5], [0, 0]], np.float32)
    assert fit_all(matrix, 3).centers.tolist() == [[0, 0], [0, 5], [9, 0]]


def test_chunks_do_not_change_one_bit() -> None:
    matrix = on_grid(blobs(5_000, 4, 5, apart=1.5)[0])
    whole = fit_all(matrix, 5)
    for chunk in (17, 1_000, 4_999):
        found = fit_all(matrix, 5, chunk)
        np.testing.assert_array_equal(found.centers, whole.centers)
        assert (found.inertia, found.stages) == (whole.inertia, whole.stages)


def test_swaps_are_part_of_the_fit_and_the_same_for_any_number_of_threads() -> None:
    matrix = on_grid(blobs(1_500, 4, 8, apart=2.5)[0])
    found = []
    for n_threads in (2, 1):
        use_threads(n_threads)
        found.append(fit_all(matrix, 8))
    assert "swaps" in [stage.stage for stage in found[0].stages]
    assert found[0].stages == found[1].stages
    np.testing.assert_array_equal(found[0].centers, found[1].centers)


def test_the_population_in_another_order_gives_the_same_centres() -> None:
    matrix = on_grid(blobs(4_000, 3, 5, apart=1.5)[0])
    shuffled = np.random.default_rng(0).permutation(matrix)
    one = fit(matrix[:500], ListPopulation([matrix]), 5, seed=3, unit=1.0, device="cpu")
    other = fit(matrix[:500], ListPopulation([shuffled[:77], shuffled[77:]]), 5, seed=3, unit=1.0, device="cpu")
    np.testing.assert_array_equal(one.centers, other.centers)


def test_one_cluster_is_the_mean() -> None:
    matrix = on_grid(blobs(500, 2, 3)[0])
    found = fit_all(matrix, 1)
    np.testing.assert_array_equal(found.centers, np.rint(matrix.astype(np.float64).mean(axis=0, keepdims=True)))


def test_duplicates_count_as_often_as_they_are_there() -> None:
    found = fit_all(np.array([[0], [0], [0], [4], [100]], np.float32), 2)
    assert found.centers.tolist() == [[1], [100]]
    assert found.inertia == 12


def test_fewer_distinct_customers_give_fewer_segments_and_a_word_about_it() -> None:
    matrix = np.array([[1, 1], [2, 2], [3, 3]] * 10, np.float32)
    found = fit_all(matrix, 5)
    assert found.centers.tolist() == [[1, 1], [2, 2], [3, 3]]
    assert found.inertia == 0
    assert found.warnings == ("there are only 3 different customers, so 5 segments became 3",)


def test_equal_customers_make_one_segment() -> None:
    found = fit_all(np.full((50, 3), 7, np.float32), 4)
    assert found.centers.tolist() == [[7, 7, 7]]
    assert found.counts.tolist() == [50]


def test_one_customer_makes_one_segment() -> None:
    assert fit_all(np.array([[5.0, -5.0]], np.float32), 1).centers.tolist() == [[5, -5]]


def test_as_many_segments_as_different_customers_leave_no_inertia() -> None:
    matrix = np.random.default_rng(0).permutation(400)[:30].reshape(-1, 1).astype(np.float32)
    found = fit_all(matrix, 30)
    assert found.inertia == 0
    assert found.counts.tolist() == [1] * 30


def test_fewer_customers_than_segments_are_a_data_error() -> None:
    with pytest.raises(DataError, match="3 customers can not make 4 segments"):
        fit_all(np.zeros((3, 1), np.float32), 4)


def test_a_far_outlier_gets_its_own_segment() -> None:
    matrix = np.append(on_grid(np.random.default_rng(0).normal(size=(500, 1)), 10), [[2.0**20]], axis=0).astype(
        np.float32
    )
    assert fit_all(matrix, 2).counts.tolist() == [500, 1]


def test_a_fit_that_does_not_settle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "MOST_PASSES", 2)
    monkeypatch.setattr(passes, "SMALLEST_GAIN", 10**30)
    matrix = on_grid(blobs(3_000, 3, 8, apart=0.5)[0])
    with pytest.raises(DataError, match="still gained after 2 passes"):
        fit(matrix[:50], ListPopulation([matrix]), 8, seed=1, unit=1.0, device="cpu")


def test_rows_that_the_starts_have_not_seen_are_learnt_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans, "START_ROWS", 1_000)
    monkeypatch.setattr(kmeans, "BATCH_ROWS", 300)
    matrix = on_grid(blobs(3_000, 3, 5, apart=2.0)[0])
    found = fit_all(matrix, 5)
    assert [stage.stage for stage in found.stages] == ["starts", "swaps", "minibatches", "full_passes"]
    batches = found.stages[2]
    assert (found.n_minibatches, batches.n_rows, batches.steps) == (7, 2_000, 7)
    assert batches.inertia_after == pytest.approx(batches.inertia_before, rel=0.05)
    assert found.stages[3].inertia_after == found.inertia
    assert found.stages[3].inertia_after <= found.stages[3].inertia_before


def test_where_customers_are_beyond_the_sample_its_passes_come_before_those_over_everyone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kmeans, "START_ROWS", 1_000)
    matrix = on_grid(blobs(30_000, 3, 12, apart=1.0)[0])
    everybody, some = (
        fit(matrix[:n_rows], ListPopulation([matrix]), 12, seed=1, unit=1.0, device="cpu") for n_rows in (30_000, 6_000)
    )
    assert [stage.stage for stage in everybody.stages] == ["starts", "swaps", "minibatches", "full_passes"]
    assert [stage.stage for stage in some.stages] == ["starts", "swaps", "minibatches", "sample_passes", "full_passes"]
    settled = some.stages[3]
    assert settled.n_rows == 6_000
    assert settled.inertia_before is not None
    assert settled.inertia_after <= settled.inertia_before


def test_the_stages_are_measured_in_the_clustered_space() -> None:
    matrix = on_grid(blobs(400, 2, 3)[0])
    found = fit(matrix, ListPopulation([matrix]), 3, seed=1, unit=0.5, device="cpu")
    assert found.stages[-1].inertia_after == found.inertia * 0.25
    assert found.stages[-1].n_rows == 400
    assert found.stages[-1].steps == found.n_full_passes


def test_a_missing_gpu_is_told_on_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    matrix = np.array([[0], [9]], np.float32)
    found = fit(matrix, ListPopulation([matrix]), 2, seed=1, unit=1.0, device="cuda")
    assert found.warnings == ("there is no CUDA device, so the CPU does the work",)


def test_the_global_random_state_is_neither_read_nor_changed() -> None:
    matrix = on_grid(blobs(300, 2, 3, apart=1.0)[0])
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = fit_all(matrix, 3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    np.testing.assert_array_equal(fit_all(matrix, 3).centers, first.centers)
