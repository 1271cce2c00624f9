"""How many segments: the scores of every candidate, which one is suggested, and when none is."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import calinski_harabasz_score, silhouette_samples, silhouette_score

from segjob.clustering.candidates import fit_candidates, summarise_candidates
from segjob.clustering.choice import Choice, Grounds
from segjob.clustering.choose_k import Trial, choose, preferred
from segjob.clustering.cores import use_threads
from segjob.clustering.nearest import assign
from segjob.clustering.null_reference import Null, null_silhouette, shape_of
from segjob.clustering.paired_silhouettes import PairedSilhouettes, evaluate, paired_silhouettes
from segjob.clustering.separation import lie_apart
from segjob.clustering.stability import stability
from segjob.errors import DataError
from segjob.records.version import Candidate, Score
from tests.unit.clustering.conftest import ListPopulation, blobs

UNIT = 2.0**-10


def on_grid(values: np.ndarray) -> np.ndarray:
    return np.rint(values / UNIT).astype(np.float32)


def chosen(matrix: np.ndarray, most: int = 6, size: int = 1_000, published: int | None = None) -> Choice:
    chunks = [matrix[first : first + size] for first in range(0, len(matrix), size)]
    return choose(
        matrix, ListPopulation(chunks), range(2, most + 1), seed=3, unit=UNIT, device="cpu", published=published
    )


@pytest.fixture(scope="module")
def four_clouds() -> np.ndarray:
    return on_grid(blobs(600, 2, 4, seed=5)[0])


def test_separated_clouds_are_counted(four_clouds: np.ndarray) -> None:
    found = chosen(four_clouds)
    assert (found.suggested, found.n_clusters, found.clear) == (4, 4, True)
    assert found.reason.startswith("4 segments: the highest silhouette, 0.")
    assert [one.n_clusters for one in found.candidates if one.suggested] == [4]
    assert found.candidates[2].stability == pytest.approx(1.0, abs=0.01)
    inertias = [one.inertia for one in found.candidates]
    assert all(before > after for before, after in pairwise(inertias))


@pytest.mark.parametrize("deviations", [(1.0, 1.0), (8.0, 1.0)])
def test_one_gaussian_cloud_has_no_clear_number(deviations: tuple[float, float]) -> None:
    rows = np.random.default_rng(2).normal(size=(500, 2)) * deviations
    found = chosen(on_grid(rows), 4)
    assert (found.suggested, found.clear) == (None, False)
    assert found.n_clusters in (2, 3, 4)
    assert found.reason.startswith("no clear k: ")
    assert not any(one.suggested for one in found.candidates)


def test_neither_chunks_nor_threads_matter(four_clouds: np.ndarray) -> None:
    found = []
    for n_threads, size in ((1, 600), (1, 7), (3, 600)):
        use_threads(n_threads)
        found.append(chosen(four_clouds, 5, size))
    assert found[0] == found[1] == found[2]


def test_the_scores_of_a_candidate_are_those_of_scikit_learn(four_clouds: np.ndarray) -> None:
    centers = fit_candidates(four_clouds, [2, 3, 4], seed=3, unit=UNIT, device="cpu")
    population = ListPopulation([four_clouds[:100], four_clouds[100:]])
    summaries = summarise_candidates(population, centers, "cpu")
    found = chosen(four_clouds, 4).candidates
    for one, center, summary in zip(found, centers, summaries, strict=True):
        labels = assign(torch.from_numpy(four_clouds), center).index
        squared = np.square(four_clouds.astype(np.float64) - center[labels]).sum(axis=1)
        assert summary.total_inertia == squared.sum()
        assert summary.distances.astype(float) / 2**24 == pytest.approx(np.bincount(labels, np.sqrt(squared)))
        assert (summary.counts == np.bincount(labels)).all()
        assert one.inertia == squared.sum() * UNIT**2
        assert one.smallest_share == np.bincount(labels).min() / 600
        assert one.calinski_harabasz == pytest.approx(calinski_harabasz_score(four_clouds, labels), rel=1e-9)
        assert one.silhouette.value == pytest.approx(silhouette_score(four_clouds.astype(np.float64), labels), abs=1e-9)
        assert (one.silhouette.low, one.silhouette.n_sampled, one.silhouette.exact) == (one.silhouette.value, 600, True)


def test_fewer_customers_than_the_smallest_number_are_told(four_clouds: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"1 customers can not make 2 segments: lower n_clusters\.min"):
        chosen(four_clouds[:1])


def test_numbers_beyond_the_customers_or_their_different_rows_are_left_out() -> None:
    three = on_grid(np.repeat(np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), 4, axis=0))
    assert [one.n_clusters for one in chosen(three).candidates] == [2, 3]
    assert [one.n_clusters for one in chosen(three[::2], 9).candidates] == [2, 3]
    alike = chosen(np.zeros((9, 2), np.float32))
    assert (alike.candidates, alike.n_clusters, alike.clear) == ((), 2, False)
    assert alike.reason == "no clear k: there are only 1 different customers"


# Silhouettes side by side


def test_sampled_silhouettes_are_near_the_exact_ones_and_their_differences_nearer() -> None:
    rows, truth = blobs(24_000, 2, 3, seed=1, apart=4.0)
    matrix = torch.from_numpy(on_grid(rows)).to(torch.float64)
    merged = np.minimum(truth, 1)
    groups = [slice(first, first + 250) for first in range(2_000, 6_000, 250)]
    found = evaluate(matrix, [truth, merged], slice(0, 2_000), groups, exact=False)
    exact = [silhouette_samples(rows[:8_000], labels[:8_000]).mean() for labels in (truth, merged)]
    for place in (0, 1):
        score = found.score(place)
        assert (score.n_sampled, score.exact, score.method) == (2_000, False, "euclidean")
        assert score.low is not None
        assert score.high is not None
        assert score.low < exact[place] < score.high
    apart = found.means[0] - found.means[1]
    assert abs(apart - (exact[0] - exact[1])) < 4 * found.difference_error(0, 1)
    assert found.difference_error(0, 0) == 0


def test_large_populations_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.from_numpy(on_grid(blobs(13_000, 2, 2)[0]))
    index = (rows[:, 0] > rows[:, 0].mean()).long().numpy()
    found = paired_silhouettes(rows, [index, np.zeros_like(index)], 50_000)
    assert found.values.shape == (4_096, 2)
    assert found.deleted.shape == (16, 2)
    assert found.score(1) == Score(None, None, None, "euclidean", 0, exact=False)


# The suggestion


def trial(values: list[float], stabilities: list[float], noise: float = 0.0) -> Trial:
    """Candidates of 2, 3, … segments; with noise, the standard error of every difference is about `noise`."""
    random = np.random.default_rng(0)
    spread = random.normal(size=(400, len(values)))
    each = (spread - spread.mean(axis=0)) * noise * np.sqrt(400 / 2) + np.array(values)
    silhouettes = PairedSilhouettes(each, np.tile(values, (16, 1)), exact=not noise)
    candidates = tuple(
        Candidate(place + 2, 1.0, silhouettes.score(place), stability=one) for place, one in enumerate(stabilities)
    )
    return Trial(candidates, silhouettes)


@pytest.mark.parametrize(
    ("values", "stabilities", "noise", "published", "expected"),
    [
        ([0.50, 0.55, 0.54], [1.0, 1.0, 1.0], 0.0, None, 3),
        ([0.50, 0.55, 0.55], [1.0, 1.0, 1.0], 0.0, None, 3),
        ([0.50, 0.54, 0.55], [1.0, 1.0, 1.0], 0.02, None, 3),
        ([0.50, 0.54, 0.55], [1.0, 0.7, 1.0], 0.02, None, 4),
        ([0.50, 0.54, 0.55], [1.0, 1.0, 1.0], 0.02, 4, 4),
        ([0.50, 0.54, 0.55], [1.0, 1.0, 1.0], 0.02, 2, 3),
        ([0.50, 0.54, 0.60], [1.0, 0.9, 0.7], 0.0, None, 3),
        ([0.50, 0.54, 0.60], [0.7, 0.6, 0.5], 0.0, None, 4),
    ],
    ids=[
        "the best when exact",
        "the smaller of equals",
        "the smallest within one standard error",
        "but a stable one",
        "the published one while it is as good",
        "and no longer",
        "a stable one where the best is not",
        "the best where none is stable",
    ],
)
def test_which_number_the_silhouettes_prefer(
    values: list[float], stabilities: list[float], noise: float, published: int | None, expected: int
) -> None:
    found = trial(values, stabilities, noise)
    best = int(np.argmax(found.silhouettes.means))
    assert found.candidates[preferred(found, best, published)].n_clusters == expected


def test_a_larger_number_whose_segments_lie_apart_is_preferred_if_it_is_stable() -> None:
    found = trial([0.55, 0.54, 0.50, 0.45], [1.0, 1.0, 1.0, 0.5])
    taken = [preferred(replace(found, apart=places), 0, None) for places in ((), (0, 2), (0, 2, 3), (1,))]
    assert taken == [0, 2, 2, 1]
    assert preferred(replace(found, apart=(0, 2)), 0, published=2) == 0


def test_groups_lie_apart_and_parts_of_one_cloud_do_not() -> None:
    random = np.random.default_rng(8)
    one = on_grid(random.normal(size=(600, 3)))
    two = one.copy()
    two[:300, 0] += 6.0 / UNIT
    for rows, expected in ((one, [False, False]), (two, [True, False])):
        centers = fit_candidates(rows, [2, 3], seed=1, unit=UNIT, device="cpu")
        indexes = [assign(torch.from_numpy(rows), center).index for center in centers]
        assert [lie_apart(rows, *pair) for pair in zip(indexes, centers, strict=True)] == expected


def test_near_groups_beside_far_ones_are_counted_one_by_one() -> None:
    random = np.random.default_rng(3)
    centers = np.zeros((4, 8))
    centers[1, 0] = centers[3, 0] = 6.0
    centers[2:, 1] = 14.0
    found = chosen(on_grid(np.repeat(centers, 200, axis=0) + random.normal(size=(800, 8))), 6)
    assert found.suggested == 4
    assert found.reason.startswith("4 segments: the most that all lie apart from one another")


FIVE = Candidate(5, 1.0, Score(0.554, 0.55, 0.56, "euclidean", 200, True), stability=0.97)
SIX = replace(FIVE, n_clusters=6, silhouette=replace(FIVE.silhouette, value=0.556))
BOX = Null("one uniform box", 0.443)


@pytest.mark.parametrize(
    ("grounds", "sentence"),
    [
        (
            Grounds(FIVE, FIVE, 0.0, BOX, stable=True, published=False),
            "5 segments: the highest silhouette, 0.554; one uniform box of the same shape gives at most 0.443",
        ),
        (
            Grounds(FIVE, SIX, 0.003, BOX, stable=True, published=True),
            "5 segments: as published, with a silhouette of 0.554, which is within one standard error (0.0030) of the "
            "highest, 0.556 at 6 segments; one uniform box of the same shape gives at most 0.443",
        ),
        (
            Grounds(FIVE, SIX, 0.001, BOX, stable=True, published=False),
            "5 segments: the most that all lie apart from one another, with a silhouette of 0.554 (the highest is "
            "0.556 at 6 segments); one uniform box of the same shape gives at most 0.443",
        ),
        (
            Grounds(FIVE, FIVE, 0.0, Null("one Gaussian cloud", 0.56), stable=True, published=False),
            "no clear k: the best silhouette, 0.554 at 5 segments, is no better than what one Gaussian cloud of the "
            "same shape gives, 0.560",
        ),
        (
            Grounds(FIVE, FIVE, 0.0, Null("one Gaussian cloud", 0.54), stable=True, published=False),
            "no clear k: the best silhouette, 0.554 at 5 segments, is hardly better than what one Gaussian cloud of "
            "the same shape gives, 0.540",
        ),
        (
            Grounds(FIVE, replace(SIX, stability=0.61), 0.0, BOX, stable=False, published=False),
            "no clear k: the best silhouette is 0.556 at 6 segments, and other samples of the customers make other "
            "segments (stability 0.61)",
        ),
    ],
)
def test_the_reason_is_told_in_words(grounds: Grounds, sentence: str) -> None:
    assert grounds.sentence == sentence
    assert grounds.clear is not sentence.startswith("no clear k")


# What it is held against


def test_the_clouds_have_the_shape_of_the_customers() -> None:
    random = np.random.default_rng(4)
    turned = random.normal(size=(4_000, 2)) * [3_000, 500] @ np.array([[0.8, 0.6], [-0.6, 0.8]]) + [100, -50]
    shape = shape_of(torch.from_numpy(np.rint(turned)))
    drawn = shape.gaussian(20_000, torch.Generator().manual_seed(1)).numpy()
    assert np.cov(drawn.T) == pytest.approx(np.cov(turned.T), rel=0.05, abs=1e5)
    assert drawn.mean(axis=0) == pytest.approx(turned.mean(axis=0), abs=100)
    box = shape.uniform(20_000, torch.Generator().manual_seed(1)) - shape.mean
    along = (box @ shape.axes).numpy()
    assert along.min(axis=0) == pytest.approx(shape.low.numpy(), rel=0.01)
    assert along.max(axis=0) == pytest.approx(shape.high.numpy(), rel=0.01)


def test_clouds_without_groups_reach_what_is_known_of_them() -> None:
    rows = torch.from_numpy(on_grid(np.random.default_rng(6).random((1_000, 1))))
    assert null_silhouette(rows, 2, seed=1).silhouette == pytest.approx(0.63, abs=0.03)
    assert null_silhouette(rows, 2, seed=1) == null_silhouette(rows, 2, seed=1)


def test_segments_are_stable_where_there_are_clouds_and_not_where_one_is_cut() -> None:
    rows = torch.from_numpy(on_grid(blobs(800, 2, 3, seed=2)[0]))
    three, seven = fit_candidates(rows.numpy(), [3, 7], seed=1, unit=UNIT, device="cpu")
    assert stability(rows, three, seed=1) > 0.99
    assert stability(rows, seven, seed=1) < 0.8
