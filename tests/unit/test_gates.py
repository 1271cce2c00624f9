"""Gates: every one at its bound and on both sides of it, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from segjob.config.segmentation import Gate, Gates
from segjob.job.gates import Measured, evaluate, measure, refusals, refused, volume_change, warnings
from segjob.postgres.publishing.gates import Basis
from segjob.records.version import Version
from tests.unit.report.records_by_hand import shop_version

OFF: dict[str, Any] = dict.fromkeys(Gates.model_fields)
LEAST = {"min_customers": 100, "min_silhouette": 0.25, "min_segment_share": 0.01}
MOST = {"max_volume_change": 0.2, "max_label_churn": 0.2}


@pytest.fixture(scope="module")
def version() -> Version:
    return shop_version()


def result_of(name: str, value: float | None, **bounds: float) -> str:
    (found,) = evaluate(Gates(**OFF | {name: Gate(**bounds)}), replace(Measured(), **{name: value}))
    assert (found.gate, found.value) == (name, value)
    return found.result


@pytest.mark.parametrize("name", LEAST)
def test_a_gate_with_a_least_value_is_passed_at_it_and_not_under_it(name: str) -> None:
    bound = LEAST[name]
    assert result_of(name, bound, refuse=bound) == "passed"
    assert result_of(name, bound * 0.999, refuse=bound) == "refused"
    assert result_of(name, bound * 0.999, warn=bound) == "warned"
    assert result_of(name, bound * 0.999, warn=bound, refuse=bound * 0.9) == "warned"
    assert result_of(name, bound * 0.8, warn=bound, refuse=bound * 0.9) == "refused"


@pytest.mark.parametrize("name", MOST)
def test_a_gate_with_a_largest_value_is_not_passed_at_it(name: str) -> None:
    bound = MOST[name]
    assert result_of(name, bound * 0.999, refuse=bound) == "passed"
    assert result_of(name, bound, refuse=bound) == "refused"
    assert result_of(name, bound, warn=bound, refuse=0.5) == "warned"
    assert result_of(name, 0.5, warn=bound, refuse=0.5) == "refused"


@pytest.mark.parametrize("name", Gates.model_fields)
def test_what_can_not_be_measured_is_skipped_and_what_is_off_is_not_there(name: str) -> None:
    assert result_of(name, None, warn=0.0, refuse=0.0) == "skipped"
    for gate in (None, Gate()):
        assert evaluate(Gates(**OFF | {name: gate}), Measured()) == ()


def test_the_defaults_are_those_of_the_contract() -> None:
    found = {one.gate: (one.warn, one.refuse) for one in evaluate(Gates(), Measured())}
    assert found == {"max_volume_change": (0.2, 0.5), "min_silhouette": (0.1, None), "max_label_churn": (0.2, 0.5)}


@pytest.mark.parametrize(("n", "published", "change"), [(120, 100, 0.2), (80, 100, 0.2), (150, 100, 0.5), (7, 7, 0.0)])
def test_the_change_of_volume_is_not_rounded_to_the_wrong_side_of_a_bound(
    n: int, published: int, change: float
) -> None:
    assert volume_change(n, published) == change


def test_a_version_is_measured_beside_the_published_one(version: Version) -> None:
    published = Basis(1, 2 * version.n_customers, version.scope_hash)
    measured = measure(version, published, 0.25)
    assert measured.min_customers == version.n_customers
    assert (measured.max_volume_change, measured.max_label_churn) == (0.5, 0.25)
    assert measured.min_silhouette == version.silhouette.value
    assert measured.min_segment_share == pytest.approx(min(segment.share for segment in version.segments))


def test_a_first_version_and_one_of_other_customers_are_not_compared(version: Version) -> None:
    for published in (None, Basis(1, 10 * version.n_customers, "another scope")):
        measured = measure(version, published, 0.9)
        assert (measured.max_volume_change, measured.max_label_churn) == (None, None)


def test_the_silhouette_of_one_segment_or_of_another_method_is_not_measured(version: Version) -> None:
    for score in (replace(version.silhouette, value=None), replace(version.silhouette, method="squared euclidean")):
        assert measure(replace(version, silhouette=score), None, None).min_silhouette is None


def test_sentences_name_the_gate_the_value_and_the_bound() -> None:
    measured = Measured(min_customers=99, max_volume_change=0.25, min_silhouette=0.05)
    found = evaluate(Gates(min_customers=Gate(refuse=100)), measured)
    assert warnings(found) == [
        "gate max_volume_change: measured 0.25, warns from 0.2",
        "gate min_silhouette: measured 0.05, warns under 0.1",
    ]
    assert refusals(found) == "gate min_customers: measured 99, refuses under 100"
    assert refused(found)
