"""The principal components against scikit-learn's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.decomposition import PCA

from segjob.records.version import Version
from segjob.report.projection import principal_components, project


def test_more_than_two_features_are_seen_through_the_same_components_as_scikit_learns(shop_record: Version) -> None:
    found = project(shop_record)
    scaled = np.array([row.scaled for row in shop_record.sample])
    oracle = PCA(2).fit(scaled)
    assert found.loadings is not None
    signs = np.sign((found.loadings * oracle.components_).sum(axis=1))
    np.testing.assert_allclose(found.points, oracle.transform(scaled) * signs, atol=1e-9)
    np.testing.assert_allclose(found.loadings, oracle.components_ * signs[:, None], atol=1e-9)
    scaled_centers = np.array([centroid.scaled_value for centroid in shop_record.centroids]).reshape(6, 8)
    np.testing.assert_allclose(found.centers, oracle.transform(scaled_centers) * signs, atol=1e-9)
    for axis, ratio in zip(found.axes, oracle.explained_variance_ratio_, strict=True):
        assert f"({100 * ratio:.1f} % of the variance)" in axis.title


def test_two_columns_of_a_category_are_seen_through_components(shop_record: Version) -> None:
    genders = tuple(column for column in shop_record.model.columns if column.category is not None)
    columns = tuple(replace(column, position=index) for index, column in enumerate(genders))
    rows = tuple(replace(row, scaled=row.scaled[-2:]) for row in shop_record.sample)
    found = project(replace(shop_record, model=replace(shop_record.model, columns=columns), sample=rows))
    assert found.loadings is not None
    np.testing.assert_allclose(np.abs(found.loadings[0]), np.sqrt([0.5, 0.5]))


@given(arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 5)), elements=st.floats(-1e3, 1e3)))
def test_components_never_explain_more_than_everything_and_keep_a_direction(rows: np.ndarray) -> None:
    loadings, explained = principal_components(rows - rows.mean(axis=0))
    assert loadings.shape == (2, rows.shape[1])
    assert 0 <= explained.sum() <= 1 + 1e-12
    assert explained[0] >= explained[1]
    for direction in loadings:
        assert direction[np.abs(direction).argmax()] >= 0


def test_customers_who_are_all_alike_lie_on_one_point(shop_record: Version) -> None:
    alike = replace(shop_record, sample=(shop_record.sample[0],) * 3)
    found = project(alike)
    np.testing.assert_allclose(found.points, 0, atol=1e-12)
    assert found.axes[0].title == "Component 1 (0 % of the variance)"


def test_columns_are_taken_in_the_order_of_their_position(mall_record: Version) -> None:
    model = replace(mall_record.model, columns=mall_record.model.columns[::-1])
    assert [axis.name for axis in project(replace(mall_record, model=model)).axes] == [
        "annual_income",
        "spending_score",
    ]


def test_the_centroids_are_projected_with_the_customers(shop_record: Version) -> None:
    found = project(shop_record)
    labels = np.array([row.segment_id for row in shop_record.sample])
    for index, segment in enumerate(shop_record.segments):
        mean = found.points[labels == segment.segment_id].mean(axis=0)
        assert found.centers[index] == pytest.approx(mean, abs=1e-3)
