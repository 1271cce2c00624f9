"""What is learnt while reading, and a sample that is put in order beside what comes next."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from segjob.job.surveying import Surveyor
from segjob.records.source import FeatureSpec
from segjob.threads import Pool
from tests.unit.clustering.conftest import customers, cut, survey_of

SPECS = [FeatureSpec("amount"), FeatureSpec("kind", onehot=True)]


@pytest.fixture
def chunks():
    random = np.random.default_rng(4)
    amounts = np.where(random.random(500) < 0.1, np.nan, random.normal(size=500))
    return cut(customers(amounts, [random.choice(["a", "b"], 500).tolist()]), 70)


def test_the_survey_is_there_at_once_and_the_sample_when_it_is_in_order(chunks):
    surveyor, expected = Surveyor(SPECS), survey_of(SPECS, chunks)
    for chunk in chunks:
        surveyor.see(chunk)
    with Pool(1) as thread:
        surveyed = surveyor.finish(thread)
    assert surveyed is not None
    for survey in (surveyed.at_once, surveyed.settled):
        assert survey.n_rows == expected.n_rows
        assert survey.categories == expected.categories
        for name in ("minimum", "maximum", "n_missing"):
            np.testing.assert_array_equal(getattr(survey, name), getattr(expected, name))
    np.testing.assert_array_equal(surveyed.settled.sample.rows.hashes, expected.sample.rows.hashes)
    np.testing.assert_array_equal(surveyed.settled.sample.rows.numbers, expected.sample.rows.numbers)


def test_what_was_not_chosen_is_freed(chunks):
    surveyor = Surveyor(SPECS)
    for chunk in chunks:
        surveyor.see(chunk)
    alive = [weakref.ref(chunk.numbers) for chunk in chunks]
    chunks.clear()
    del chunk
    with Pool(1) as thread:
        surveyed = surveyor.finish(thread)
    gc.collect()
    assert surveyed is not None
    assert surveyed.settled.sample.n_held == 500
    assert [one() for one in alive if one() is not None] == []


def test_of_nobody_nothing_is_learnt():
    with Pool(1) as thread:
        assert Surveyor(SPECS).finish(thread) is None
