"""The inertia against scikit-learn's best of three times ten, on fewer rows than `python -m benchmarks.quality`."""

from __future__ import annotations

import pytest

from benchmarks.quality import GENERATORS, LIMITS, cells

ROWS = 50_000


@pytest.mark.parametrize("n_clusters", LIMITS)
@pytest.mark.parametrize("generator", GENERATORS)
def test_no_seed_is_much_worse_than_the_best_of_ten(generator: str, n_clusters: int) -> None:
    found = list(cells(generator, ROWS, 8, n_clusters, seeds=(1, 2, 3), cache=None))
    assert [cell for cell in found if not cell.holds] == []
