"""From raw customers to scores: the reference set, and the laws that hold for any set."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from segjob.clustering.agreement import adjusted_rand_index
from segjob.clustering.cores import use_threads
from segjob.clustering.features import grid_matrix
from segjob.clustering.labels import label
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec
from tests.unit.clustering.conftest import Segmented, blobs, customers, cut, plain, rows_of, segment

ROOT = Path(__file__).parents[3]
NAN = float("nan")


@cache
def mall() -> Chunk:
    beside = ROOT.parent / "shared" / "data" / "mall_customers.csv"
    path = Path(os.environ.get("SEGJOB_TEST_MALL_CSV", beside))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return customers([[float(row["annual_income"]), float(row["spending_score"])] for row in rows])


MALL = [FeatureSpec("annual_income", scale="none"), FeatureSpec("spending_score", scale="none")]


@pytest.mark.parametrize("seed", range(1, 21))
def test_the_mall_falls_into_its_five_known_segments_for_every_seed(seed: int) -> None:
    found = segment(MALL, mall(), 5, seed)
    assert found.inertia == pytest.approx(44448.46, abs=0.5)
    assert found.summary.counts.tolist() == [81, 39, 35, 23, 22]
    assert found.scored.overall.value == pytest.approx(0.5539, abs=0.0005)
    assert found.scored.overall.exact


@pytest.mark.parametrize(("n_clusters", "inertia"), [(3, 106348.37), (4, 73679.79), (6, 37233.81)])
def test_few_segments_of_few_customers_are_the_best_ones_for_every_seed(n_clusters: int, inertia: float) -> None:
    found = [segment(MALL, mall(), n_clusters, seed).inertia for seed in range(1, 7)]
    assert found == pytest.approx([inertia] * 6, rel=1e-5)


def test_a_new_customer_of_the_mall_with_little_income_and_much_spending_joins_those() -> None:
    found = segment(MALL, mall(), 5)
    asked = grid_matrix(found.plan.columns, found.plan.grid_exponent, np.array([[20.0, 60.0]]), [], clamp=True)
    told = label(found.fit.centers, asked, found.plan.unit, (1, 2, 3, 4, 5), "cpu")
    center = found.fit.centers[told.segment_id[0] - 1] * found.plan.unit
    origins = [column.origin for column in found.plan.columns]
    assert (center + origins).tolist() == pytest.approx([25.7, 79.4], abs=0.1)


def mixed(n_rows: int = 1_200) -> tuple[list[FeatureSpec], Chunk]:
    random = np.random.default_rng(8)
    matrix, truth = blobs(n_rows, 3, 4, apart=4.0)
    matrix[:, 0] = np.exp(matrix[:, 0] / 3)
    matrix[random.random(matrix.shape) < 0.05] = NAN
    texts = np.array(["north", "south", "east", "rare"])[np.where(random.random(n_rows) < 0.004, 3, truth % 3)]
    specs = [
        FeatureSpec("amount", "log1p", clip=(0.001, 0.999)),
        FeatureSpec("region", onehot=True, weight=0.7),
        FeatureSpec("visits", scale="robust", impute="mean"),
        FeatureSpec("age", scale="minmax", impute="exclude", weight=3.0),
    ]
    return specs, customers(matrix, [texts.tolist()])


def fingerprint(found: Segmented) -> tuple[object, ...]:
    return (
        found.plan,
        found.fit.centers.tobytes(),
        found.fit.inertia,
        found.fit.stages,
        found.scored.overall,
        found.scored.segments,
        found.summary.distances.tolist(),
    )


@pytest.mark.parametrize("size", [1, 13, 1_000])
def test_chunks_do_not_change_one_bit(size: int) -> None:
    specs, chunk = mixed(300 if size == 1 else 1_200)
    one, other = segment(specs, chunk, 4), segment(specs, cut(chunk, size), 4)
    assert fingerprint(one) == fingerprint(other)
    np.testing.assert_array_equal(one.labels.segment_id, other.labels.segment_id)
    np.testing.assert_array_equal(one.labels.distance, other.labels.distance)


def test_the_order_of_the_rows_does_not_change_one_bit() -> None:
    specs, chunk = mixed()
    specs = [spec for spec in specs if spec.impute != "exclude"]
    chunk = Chunk(chunk.keys, chunk.numbers[:, :2], chunk.categories)
    order = np.random.default_rng(1).permutation(chunk.n_rows)
    one, other = segment(specs, chunk, 4), segment(specs, cut(rows_of(chunk, order), 100), 4)
    assert fingerprint(one) == fingerprint(other)
    np.testing.assert_array_equal(one.labels.segment_id[order], other.labels.segment_id)
    np.testing.assert_array_equal(one.labels.simplified_silhouette[order], other.labels.simplified_silhouette)


def test_the_threads_do_not_change_one_bit() -> None:
    specs, chunk = mixed(4_000)
    one = segment(specs, chunk, 4)
    use_threads(2)
    two = segment(specs, chunk, 4)
    assert fingerprint(one) == fingerprint(two)


def test_running_again_changes_nothing_and_another_seed_only_the_luck() -> None:
    specs, chunk = mixed()
    one = segment(specs, chunk, 4, seed=1)
    assert fingerprint(one) == fingerprint(segment(specs, chunk, 4, seed=1))
    other = segment(specs, chunk, 4, seed=2)
    assert other.plan == one.plan
    assert other.inertia == pytest.approx(one.inertia, rel=0.001)


def test_the_stored_model_labels_every_customer_of_the_fit_alike() -> None:
    specs, chunk = mixed()
    found = segment(specs, chunk, 4)
    kept = ~np.isnan(chunk.numbers[:, 2])
    categories = [chunk.categories[0].filter(kept)]
    matrix = grid_matrix(found.plan.columns, found.plan.grid_exponent, chunk.numbers[kept], categories, clamp=True)
    again = label(found.fit.centers, matrix, found.plan.unit, (1, 2, 3, 4), "cpu")
    np.testing.assert_array_equal(again.segment_id, found.labels.segment_id)
    np.testing.assert_array_equal(again.distance, found.labels.distance)
    np.testing.assert_array_equal(again.runner_up_segment_id, found.labels.runner_up_segment_id)


def test_excluded_customers_are_left_out_of_everything() -> None:
    specs, chunk = mixed()
    found = segment(specs, chunk, 4)
    assert len(found.labels.segment_id) == np.count_nonzero(~np.isnan(chunk.numbers[:, 2]))


def test_separated_clouds_are_found_again() -> None:
    matrix, truth = blobs(3_000, 3, 8, apart=10.0)
    found = segment([FeatureSpec(f"x{index}") for index in range(3)], customers(matrix), 8)
    assert adjusted_rand_index(found.labels.segment_id, truth) == 1.0


def test_the_silhouette_on_the_grid_is_that_of_the_unrounded_values() -> None:
    matrix, _ = blobs(800, 2, 4, apart=3.0)
    found = segment(plain(2), customers(matrix), 4)
    expected = silhouette_score(matrix, found.labels.segment_id)
    assert found.scored.overall.value == pytest.approx(expected, abs=1e-6)


def test_permuting_the_features_permutes_the_centroids() -> None:
    matrix, _ = blobs(1_000, 3, 4, apart=5.0)
    one = segment(plain(3), customers(matrix), 4)
    other = segment(plain(3), customers(matrix[:, [2, 0, 1]]), 4)
    assert one.summary.counts.tolist() == other.summary.counts.tolist()
    np.testing.assert_array_equal(one.labels.segment_id, other.labels.segment_id)


def test_an_outlier_of_1e12_neither_fails_nor_hides_the_others_behind_clip() -> None:
    matrix, truth = blobs(1_000, 1, 2, apart=20.0)
    matrix[7] = 1e12
    found = segment([FeatureSpec("x", clip=(0.01, 0.99))], customers(matrix), 2)
    assert adjusted_rand_index(found.labels.segment_id, truth) > 0.99
    alone = segment([FeatureSpec("x", scale="none")], customers(matrix), 2)
    assert alone.summary.counts.tolist() == [999, 1]
    assert len(alone.plan.warnings) == 1


def test_epoch_seconds_without_scaling_are_told_apart() -> None:
    seconds = 1.7e9 + np.concatenate([np.arange(50), 1_000 + np.arange(50)]) / 10
    found = segment([FeatureSpec("seen_at", scale="none")], customers(seconds), 2)
    assert found.summary.counts.tolist() == [50, 50]
    assert found.inertia == pytest.approx(2 * 50 * np.var(np.arange(50) / 10), rel=1e-6)


@pytest.mark.parametrize("values", [[[4.0, NAN]] * 20, [[NAN, NAN]] * 20, [[0.0, 0.0]] * 20])
def test_equal_customers_are_one_segment_without_a_silhouette(values) -> None:
    found = segment([FeatureSpec("a"), FeatureSpec("b")], customers(values), 3)
    assert found.summary.counts.tolist() == [20]
    assert found.scored.overall.value is None
    assert any("different customers" in warning for warning in found.fit.warnings)


def test_a_single_customer_is_a_segment() -> None:
    found = segment([FeatureSpec("x")], customers([3.0]), 1)
    assert found.labels.segment_id.tolist() == [1]
    assert found.labels.distance.tolist() == [0.0]


READ_BEFORE_TORCH = "agreement categories columns features grid moments profile sample scores summary survey"


def test_what_reading_needs_does_not_import_torch_or_pandas() -> None:
    names = ", ".join(f"segjob.clustering.{name}" for name in READ_BEFORE_TORCH.split())
    script = f"import sys, {names}; print(sorted({{'torch', 'pandas', 'sqlalchemy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_room_imports_nothing_of_it() -> None:
    script = "import sys, segjob.clustering; print([name for name in sys.modules if name.startswith('numpy')])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
