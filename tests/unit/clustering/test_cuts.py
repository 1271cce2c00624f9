"""The best condition on each feature is as good as any that could have been chosen, told from the definition of F1."""

from __future__ import annotations

import numpy as np
import pytest

from segjob.clustering.conditions import Bound
from segjob.clustering.cuts import MISSING_WORTH, WORTH, Cut, NumberBins, Table, binned
from segjob.clustering.rules import learn_rules
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec
from tests.unit.clustering.conftest import customers, plan_of

N_ROWS, N_FEATURES = 400, 6


def some_customers(rng: np.random.Generator) -> tuple[Chunk, np.ndarray]:
    """Features with few and with many different values, with and without missing ones, and three segments."""
    index = rng.integers(0, 3, N_ROWS)
    numbers = rng.normal(index[:, None] * np.arange(N_FEATURES), 1.0)
    numbers[:, 1] = np.rint(numbers[:, 1])
    numbers[:, 2] = numbers[:, 2] > 1.0
    numbers[rng.random(N_ROWS) < 0.3, 3] = np.nan
    numbers[(rng.random(N_ROWS) < 0.8) & (index == 1), 4] = np.nan
    texts = np.array(["a", "b", "c", "d"])[np.minimum(index + rng.integers(0, 2, N_ROWS), 3)]
    return customers(numbers, [texts.tolist()]), index


def f1(found: np.ndarray, member: np.ndarray) -> float:
    return 2.0 * np.count_nonzero(found & member) / (np.count_nonzero(found) + np.count_nonzero(member))


def choices(feature: NumberBins, place: int, chunk: Chunk, held: np.ndarray, member: np.ndarray) -> list[float]:
    """The F1 of every condition on a feature, without those that let missing values in and with."""
    values = chunk.numbers[:, place]
    plain = [found for at in feature.thresholds.values for found in (values >= at, values < at)]
    scores = [f1(found & held, member) for found in plain]
    lenient = [f1((found | np.isnan(values)) & held, member) for found in plain]
    return lenient if max(lenient) >= max(scores) + MISSING_WORTH else scores


@pytest.mark.parametrize("seed", range(12))
def test_a_cut_is_nearly_the_best_there_is_and_as_good_as_it_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chunk, index = some_customers(rng)
    specs = [*(FeatureSpec(f"x{j}", impute="mean") for j in range(N_FEATURES)), FeatureSpec("c", onehot=True)]
    types = [*["double precision"] * N_FEATURES, "text"]
    features = binned(plan_of(specs, chunk).columns, types, chunk, index, 3)
    held = rng.random(N_ROWS) < 0.6
    for member in (index == segment for segment in range(3)):
        cuts = Table(features, member).best(np.flatnonzero(held))
        assert len(cuts) == N_FEATURES + 1
        for place, (cut, feature) in enumerate(zip(cuts, features.features, strict=True)):
            assert isinstance(cut, Cut)
            assert cut.score == pytest.approx(f1(cut.condition.holds(chunk) & held, member), rel=1e-12)
            if isinstance(feature, NumberBins):
                assert isinstance(cut.condition, Bound)
                assert cut.score >= max(choices(feature, place, chunk, held, member)) - WORTH


def test_a_segment_that_is_not_in_the_sample_has_no_rule_however_many_features_there_are() -> None:
    numbers = np.random.default_rng(1).normal(size=(200, 20))
    specs = [FeatureSpec(f"x{j}") for j in range(20)]
    columns = plan_of(specs, customers(numbers)).columns
    index = (numbers[:, 3] > 0.0).astype(np.int64)
    rules = learn_rules(columns, ["double precision"] * 20, customers(numbers), index, (1, 2, 3))
    assert [len(rule.conditions) for rule in rules] == [1, 1, 0]
