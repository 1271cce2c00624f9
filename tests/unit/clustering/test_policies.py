"""What the policies did is told with counts, and nothing where nobody was touched."""

from __future__ import annotations

from segjob.clustering.policies import touched
from segjob.records.model import ModelColumn

N_ROWS = 200


def number(name="visits", position=0, **changes):
    return ModelColumn(name, name, position, "number", **changes)


def category(name, share, position=0, n_missing=0):
    return ModelColumn(
        f"kind={name}", "kind", position, "text", category=name, n_missing=n_missing, population_mean=share
    )


def test_missing_values_are_counted_with_what_stands_in_for_them():
    said = [touched([number(impute=impute, n_missing=7)], N_ROWS) for impute in ("median", "mean", "zero")]
    assert said == [
        [f"column visits: 7 of 200 customers lack a value and count as {stand_in}"]
        for stand_in in ("the median", "the mean", "zero")
    ]


def test_values_that_were_clipped_are_counted():
    both = number(n_missing=7, n_clipped=2)
    assert touched([both], N_ROWS)[1:] == ["column visits: 2 of 200 values were cut to the quantiles of `clip`"]


def test_who_counts_as_other_is_counted_by_why():
    group = [category("red", 0.6, n_missing=20), category("other", 0.4, n_missing=20)]
    assert touched(group, N_ROWS) == [
        "column kind: 80 of 200 customers count as `other`, 20 of them without a value and 60 with a rare one"
    ]


def test_nothing_is_said_where_nobody_was_touched():
    untouched = [number(), category("red", 0.6), category("blue", 0.4), category("other", 0.0)]
    assert touched(untouched, N_ROWS) == []


def test_nothing_is_said_of_a_column_that_was_left_out():
    assert touched([number(position=None, n_missing=200)], N_ROWS) == []
