"""Numbers that are none in the space that is clustered: noticed before anything is written."""

from __future__ import annotations

from tests.faults.inputs.conftest import Mall

NOT_A_NUMBER = """
import numpy
from segjob.clustering.plan import FeaturePlan

whole = FeaturePlan.prepare


def prepare(plan, rows):
    matrix = whole(plan, rows)
    matrix[len(matrix) // 2, 0] = numpy.nan
    return matrix


FeaturePlan.prepare = prepare
"""


def test_a_coordinate_that_is_not_a_number(published: Mall) -> None:
    before = published.seen()
    done = published.altered(NOT_A_NUMBER, "run", "mall")
    assert done.returncode == 70
    assert "a customer's coordinate is not a number; nothing was written" in done.stderr.splitlines()[-1]
    assert published.last_run()[1:3] == ("failed", 70)
    assert published.seen() == before


def test_a_weight_that_leaves_what_a_number_can_be(published: Mall) -> None:
    heavy = {"column": "annual_income", "weight": 1e200}
    published.configure(features=[heavy, "spending_score"])
    published.refused(65, "column annual_income reaches beyond 1e+150 after scale and weight", row="failed")
    published.configure(features=[{**heavy, "weight": 1e308}, "spending_score"])
    published.refused(65, "column annual_income", "smaller weight", row="failed")
