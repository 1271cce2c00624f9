"""Labels, distances and the silhouette that every customer gets."""

from __future__ import annotations

import numpy as np
import pytest

from segjob.clustering.labels import label
from tests.unit.clustering.conftest import blobs

CENTERS = np.array([[0, 0], [10, 0], [0, 40]])


def labelled(rows: object, centers: np.ndarray = CENTERS, unit: float = 1.0, ids: tuple[int, ...] = (1, 4, 7)):
    return label(centers, np.asarray(rows, np.float32), unit, ids, "cpu")


def test_a_customer_gets_the_nearest_segment_the_next_one_and_the_distance() -> None:
    found = labelled([[1, 0], [8, 0], [0, 37]], unit=0.5)
    assert found.segment_id.tolist() == [1, 4, 7]
    assert found.runner_up_segment_id.tolist() == [4, 1, 1]
    assert found.distance.tolist() == [0.5, 1.0, 1.5]
    assert found.simplified_silhouette.tolist() == np.array([1 - 1 / 9, 1 - 2 / 8, 1 - 3 / 37], np.float32).tolist()


def test_a_tie_goes_to_the_lowest_id_and_has_silhouette_zero() -> None:
    found = labelled([[5, 0]])
    assert (found.segment_id[0], found.runner_up_segment_id[0], found.simplified_silhouette[0]) == (1, 4, 0.0)


def test_on_two_equal_centres_both_distances_are_zero_and_so_is_the_silhouette() -> None:
    found = labelled([[3, 3]], np.array([[3, 3], [3, 3]]), ids=(2, 5))
    assert (found.segment_id[0], found.distance[0], found.simplified_silhouette[0]) == (2, 0.0, 0.0)


def test_on_its_centre_a_customer_has_silhouette_one() -> None:
    assert labelled([[10, 0]]).simplified_silhouette[0] == 1.0


def test_one_segment_has_no_runner_up_and_no_silhouette() -> None:
    found = labelled([[3, 4], [0, 0]], CENTERS[:1], ids=(3,))
    assert found.segment_id.tolist() == [3, 3]
    assert found.runner_up_segment_id.tolist() == [0, 0]
    assert found.distance.tolist() == [5.0, 0.0]
    assert np.isnan(found.simplified_silhouette).all()


def test_the_types_are_those_of_the_label_table() -> None:
    found = labelled(np.empty((0, 2)))
    assert found.segment_id.dtype == found.runner_up_segment_id.dtype == np.int32
    assert found.distance.dtype == np.float64
    assert found.simplified_silhouette.dtype == np.float32


@pytest.mark.parametrize("chunk", [1, 7, 1_000])
def test_a_customer_gets_the_same_bits_alone_and_among_others(chunk: int) -> None:
    matrix = np.rint(blobs(1_000, 2, 3)[0] * 1000).astype(np.float32)
    centers = np.rint(matrix[:5]).astype(np.int64)
    whole = labelled(matrix, centers, 0.001, (1, 2, 3, 4, 5))
    for first in range(0, 1_000, max(chunk, 50)):
        part = labelled(matrix[first : first + chunk], centers, 0.001, (1, 2, 3, 4, 5))
        rows = slice(first, first + chunk)
        np.testing.assert_array_equal(part.segment_id, whole.segment_id[rows])
        np.testing.assert_array_equal(part.distance, whole.distance[rows])
        np.testing.assert_array_equal(part.simplified_silhouette, whole.simplified_silhouette[rows])
