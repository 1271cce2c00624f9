"""A model as a function in SQL: the same coordinates, squared distances and segments as in Python, and no errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any
from warnings import catch_warnings

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from sqlalchemy import literal_column

from segjob.clustering.features import grid_matrix, select_rows, specs_of, split_excluded
from segjob.clustering.labels import nearest_two
from segjob.clustering.model_arrays import source_bounds, turning_point
from segjob.errors import DataError
from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading.columns import as_sql
from segjob.postgres.reading.expressions import feature_expression
from segjob.records.model import Model, ModelColumn
from segjob.records.population import Chunk
from segjob.records.source import FeatureColumn, FeatureFamily, FeatureSpec
from tests.integration.models_by_hand import (
    DOUBLE,
    TEXT,
    make_functions,
    model_of,
    plain,
    publish,
    segment,
)
from tests.unit.clustering.conftest import customers, plan_of

pytestmark = pytest.mark.long

NO_KEYS = pa.RecordBatch.from_arrays([], names=[])
LARGEST = 1.7976931348623157e308
ODD = [0.0, -0.0, 5e-324, -5e-324, 1e-308, 1e-200, 1e-16, -1e-16, -0.9999999999999999, -1.0, -1.0000000000000002,
       0.5, 1.5, 2.5, 1e9, 1e150, -1e150, 1e200, -1e200, LARGEST, -LARGEST, math.inf, -math.inf, math.nan]  # fmt: skip


def in_python(model: Model, numbers: Sequence[Sequence[float]], categories: Sequence[pa.Array] = ()) -> list[Any]:
    """Segment, squared distance and coordinates of customers, or None, as `score` and `predict` find them."""
    matrix = np.array(numbers, np.float64).reshape(len(numbers), -1)
    chunk = Chunk(NO_KEYS, matrix, tuple(categories))
    included, _ = split_excluded(specs_of(model.columns), chunk)
    grid = grid_matrix(model.columns, model.grid_exponent, matrix, categories, clamp=True)
    found = nearest_two(model.centers, grid[included], "cpu")
    ids = np.array(model.segment_ids)[found.index]
    rows = zip(ids.tolist(), found.squared.tolist(), grid[included].astype(int).tolist(), strict=True)
    return [next(rows) if one else None for one in included]


def in_sql(connection: psycopg.Connection, name: str, values: Sequence[float]) -> list[Any]:
    """The same of one double precision feature, by name; coordinates through our own function over JSON."""
    rows = connection.execute(
        f"SELECT segments.mall_assign({name} => v), segjob.placed_mall(jsonb_build_object('{name}', v))"
        " FROM unnest(%s::double precision[]) WITH ORDINALITY AS u (v, place) ORDER BY place".encode(),
        [list(values)],
    ).fetchall()
    assert [by_name for by_name, _ in rows] == [placed and placed["segment_id"] for _, placed in rows]
    keys = ("segment_id", "squared_distance", "coordinates")
    return [placed and tuple(placed[key] for key in keys) for _, placed in rows]


# The arithmetic


def test_half_grid_points_go_to_the_even_step_and_ties_to_the_lowest_segment(
    database: Database, connection: psycopg.Connection
) -> None:
    make_functions(database, [DOUBLE])
    model = model_of([plain("x", origin=3.0)], [[-40], [0], [0], [40], [41]])
    publish(database, connection, model)
    values = [3.0 + half / 2 * model.unit for half in range(-200, 201)]
    assert in_sql(connection, "x", values) == in_python(model, [[value] for value in values])
    assert segment(connection, "segments.mall_assign(3.0)") == 2
    assert segment(connection, "segments.mall_assign(%s::float8)", 3.0 - 20 * model.unit) == 1


CONSTANTS: list[dict[str, Any]] = [
    {},
    {"transform": "log1p", "center": 2.0, "scale": 0.3, "impute_value": 7.0},
    {"transform": "log1p", "scale": 1e-300, "impute_value": 1e-300},
    {"clip_low": -2.0, "clip_high": 2.0, "impute_value": 5.0},
    {"impute_value": None, "impute": "exclude"},
    {"center": 1e150, "scale": 1e149},
    {"center": 1e-290, "scale": 1e149, "weight": 1e-140},
    {"scale": 1e-300, "weight": 1e6},
    {"scale": 1e200, "weight": 1e200, "origin": 1e-200},
    {"center": 5e-324, "scale": 5e-324},
    {"weight": 1e-300},
    {"center": 1.8e9, "scale": 1e-7, "origin": 12345.678},
]


@pytest.mark.parametrize("exponent", [-400, -3, 0, 480])
def test_no_value_is_an_error_and_all_land_where_python_puts_them(
    exponent: int, database: Database, connection: psycopg.Connection
) -> None:
    make_functions(database, [DOUBLE])
    for version_id, constants in enumerate(CONSTANTS, 1):
        model = model_of([plain("x", **constants)], [[-5], [3], [2**20]], exponent)
        publish(database, connection, model, version_id)
        low, high = source_bounds(model.columns[0], model.unit)
        near = [math.nextafter(end, toward) for end in (low, high) for toward in (-math.inf, math.inf)]
        values = [*ODD, low, high, *near]
        assert in_sql(connection, "x", values) == in_python(model, [[value] for value in values]), constants


specs = st.builds(
    FeatureSpec,
    st.just("x"),
    transform=st.sampled_from(["none", "log1p"]),
    scale=st.sampled_from(["standard", "robust", "minmax", "none"]),
    impute=st.sampled_from(["median", "mean", "zero", "exclude"]),
    clip=st.sampled_from([None, (0.1, 0.9)]),
    weight=st.floats(1e-30, 1e30),
)
columns_of_numbers = st.lists(st.floats(-1e150, 1e150) | st.sampled_from(ODD[:14]), min_size=2, max_size=12)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=[Phase.generate])
@given(spec=specs, seen=columns_of_numbers, others=st.floats(1e-100, 1e100), values=st.lists(st.floats(), max_size=20))
def test_whatever_customers_a_model_is_made_of_no_value_is_an_error(
    spec: FeatureSpec,
    seen: list[float],
    others: float,
    values: list[float],
    database: Database,
    connection: psycopg.Connection,
) -> None:
    """A second feature, whose values lie `others` apart, sets a grid that may not suit the first at all."""
    if not segment(connection, "to_regprocedure('segments.mall_assign(jsonb)') IS NOT NULL"):
        make_functions(database, [DOUBLE, FeatureColumn("y", "double precision", "number")])
    everyone = customers([[x, others * place] for place, x in enumerate(seen)])
    chosen = [spec, FeatureSpec("y", scale="none")]
    kept = select_rows(everyone, split_excluded(chosen, everyone)[0])
    if not kept.n_rows:
        return
    with np.errstate(all="ignore"), catch_warnings(action="ignore"):
        try:
            plan = plan_of(chosen, kept)
        except DataError:  # no float8 holds the squares of such values
            reject()
        model = Model(plan.columns, plan.grid_exponent, (1, 2), plan.transform(kept)[[0, -1]].astype(np.int64))
    publish(database, connection, model, segment(connection, "1 + coalesce(max(version_id), 0) FROM segjob.version"))
    given = [*values, *seen, *ODD, *source_bounds(plan.columns[0], plan.unit)]
    expected = in_python(model, [[value, math.nan] for value in given])
    for value, found, wanted in zip(given, in_sql(connection, "x", given), expected, strict=True):
        assert (found and found[:2]) == (wanted and wanted[:2]), value


def test_turning_points_are_neighbours_of_one_another() -> None:
    assert turning_point(lambda x: x >= 0.1, -1e308, 1e308) == (np.nextafter(0.1, 0.0), 0.1)
    assert turning_point(lambda x: x > -0.0, -1e308, 1e308) == (0.0, 5e-324)
    assert turning_point(lambda x: x >= -2.5, -1e308, 1e308) == (np.nextafter(-2.5, -3.0), -2.5)
    assert turning_point(lambda x: x < 2.0, 0.0, 1.0) == (0.0, 0.0)
    assert turning_point(lambda x: x > 2.0, 0.0, 1.0) == (1.0, 1.0)


# Categories


def onehot(name: str, categories: Sequence[str], first: int, **constants: Any) -> list[ModelColumn]:
    """The columns of a one-hot feature, `other` last."""
    weight = 1 / math.sqrt(2)
    prototype = replace(ModelColumn("", name, 0, "text", weight=weight), **constants)
    origins = zip([*categories, "other"], cycle([0.0, weight, weight / 2]), strict=False)
    return [
        replace(prototype, feature=f"{name}={category}", position=first + place, category=category, origin=origin)
        for place, (category, origin) in enumerate(origins)
    ]


def test_categories_of_several_features_are_told_apart(database: Database, connection: psycopg.Connection) -> None:
    features = [FeatureColumn("size", "character(3)", "text"), DOUBLE, FeatureColumn("color", "text", "text")]
    make_functions(database, features)
    columns = [*onehot("size", ["S", "red"], 0), plain("x", 3), *onehot("color", ["red", "blue", "S"], 4)]
    rng = np.random.default_rng(3)
    model = model_of(columns, rng.integers(-60_000, 60_000, (6, 8)).tolist())
    publish(database, connection, model)
    sizes, colors = ["S", "red", "L", "blue", None], ["red", "blue", "S", "other", "", "ä", None]
    everyone = [(size, color) for size in sizes for color in colors]
    expected = in_python(model, [[0.25]] * len(everyone), [pa.array(column) for column in zip(*everyone, strict=True)])
    for (size, color), (segment_id, squared, _) in zip(everyone, expected, strict=True):
        row = Jsonb({"size": size and size.ljust(3), "color": color, "x": 0.25})
        placed = segment(connection, "segjob.placed_mall(%s)", row)
        assert (placed["segment_id"], placed["squared_distance"]) == (segment_id, squared)
        assert segment(connection, "segments.mall_assign(%s, 0.25, %s)", size, color) == segment_id
        assert segment(connection, "segments.mall_assign(%s)", row) == segment_id


def test_a_required_category_and_a_required_number_leave_a_customer_out(
    database: Database, connection: psycopg.Connection
) -> None:
    make_functions(database, [TEXT, DOUBLE])
    columns = [*onehot("gender", ["f"], 0, impute="exclude"), plain("x", 2, impute="exclude", impute_value=None)]
    publish(database, connection, model_of(columns, [[0, 0, 0]]))
    given = ["gender => 'f', x => 1", "gender => 'new', x => 1", "x => 1", "gender => 'f'", "gender => 'f', x => 'NaN'"]
    assert [segment(connection, f"segments.mall_assign({one})") for one in given] == [1, 1, None, None, None]


def test_a_constant_column_weighs_nothing_but_may_still_exclude(
    database: Database, connection: psycopg.Connection
) -> None:
    make_functions(database, [DOUBLE, FeatureColumn("y", "bigint", "number")])
    constant = plain("x", None, impute="exclude", impute_value=None, origin=7.0)
    publish(database, connection, model_of([constant, plain("y", 0)], [[0], [2**16 * 4]]))
    values = ["1e308, 4", "-1e308, 0", "NULL, 4", "7, NULL"]
    assert [segment(connection, f"segments.mall_assign({one})") for one in values] == [2, 1, None, 1]


# JSON


SOURCE_TYPES: dict[str, tuple[FeatureFamily, list[str]]] = {
    "smallint": ("number", ["32767", "-32768"]),
    "bigint": ("number", ["9007199254740993", "-9223372036854775808"]),
    "numeric(40,30)": ("number", ["0.123456789012345678901234567891", "NaN"]),
    "numeric": ("number", ["1e5000", "-1e5000", "1e-320", "1e-5000", "Infinity", "1.7976931348623158e308"]),
    "real": ("number", ["0.1", "1e-45", "3.4028235e38", "-3.4028235e38", "NaN", "Infinity"]),
    "double precision": ("number", ["0.1", "5e-324", "1.7976931348623157e308", "-Infinity", "NaN"]),
    "boolean": ("boolean", ["true", "false"]),
    "date": ("date", ["1970-01-01", "2024-02-29", "1900-02-28", "0044-03-15 BC", "4714-11-24 BC", "0001-12-31 BC",
                      "12345-06-07", "5874897-12-31", "infinity", "-infinity"]),
    "timestamp without time zone": ("timestamp", ["2026-01-02 03:04:05.678901", "0044-03-15 12:00:01.5 BC",
                                                  "290000-12-31 23:59:59.999999", "4714-11-24 00:00 BC", "infinity"]),
    "timestamp with time zone": ("timestamp", ["2026-01-02 03:04:05.678901+05:30", "1850-01-01 00:00:00+00",
                                               "0044-03-15 12:00:01.5+00 BC", "290000-12-31 23:59:59+00", "-infinity"]),
}  # fmt: skip


def test_a_row_as_json_holds_the_number_that_the_job_reads(database: Database, connection: psycopg.Connection) -> None:
    """Each value is the center, and the scale its last digit: another number would lie steps away."""
    version_id = 0
    for declared, (family, literals) in SOURCE_TYPES.items():
        make_functions(database, [FeatureColumn("x", declared, family)])
        expression = as_sql(feature_expression(literal_column("x"), declared.partition("(")[0]))
        for literal in literals:
            version_id += 1
            source = f"(SELECT '{literal}'::{declared} AS x) AS c"
            number = segment(connection, f"{expression} FROM {source}")
            is_missing = number is None or not math.isfinite(number)
            center, digit = (0.0, 1.0) if is_missing else (number, math.ulp(number))
            column = plain("x", family=family, center=center, scale=digit, impute_value=center + 7 * digit)
            publish(database, connection, model_of([column], [[0], [7 * 2**16]]), version_id)
            for zone in ("Asia/Kolkata", "Europe/Amsterdam"):
                connection.execute(f"SET TimeZone = '{zone}'; SET DateStyle = 'SQL, DMY'".encode())
                placed = segment(connection, f"segjob.placed_mall(to_jsonb(c)) FROM {source}")
                assert placed["coordinates"] == [7 * 2**16 if is_missing else 0], (declared, literal, zone)
                assert segment(connection, f"segments.mall_assign(x) FROM {source}") == 1 + is_missing, literal


NONSENSE = [
    "null", "[]", "{}", '"x"', "5", "true", '{"x": []}', '{"x": "5"}', '{"x": {"x": 1}}', '{"x": null}', '{"x": true}',
    '{"x": 1e400}', '{"x": -1e100000}', '{"x": 1e-16000}', '{"d": "2023-02-29"}', '{"d": "2024-02-30"}',
    '{"d": "00-01-01"}', '{"d": "2024-13-01"}', '{"d": "2024-01-01T24:00:00"}', '{"d": "2024-01-01T00:00:60"}',
    '{"d": "today"}', '{"d": "²⁰²⁴-01-01"}', '{"d": 20240101}', '{"f": "true"}', '{"f": 1}', '{"g": 1}', '{"g": [1]}',
]  # fmt: skip
MIXED = [
    DOUBLE,
    FeatureColumn("d", "timestamp with time zone", "timestamp"),
    FeatureColumn("e", "date", "date"),
    FeatureColumn("f", "boolean", "boolean"),
    FeatureColumn("g", "text", "text"),
    FeatureColumn("r", "real", "number"),
    FeatureColumn("n", "numeric", "number"),
]


@pytest.fixture
def mixed(database: Database, connection: psycopg.Connection) -> psycopg.Connection:
    """A model with a feature of each kind, in whose centre lies who has no value at all."""
    make_functions(database, MIXED)
    columns = [
        plain(one.name, place, family=one.family)
        for place, one in enumerate(feature for feature in MIXED if feature.name != "g")
    ]
    center = [0] * len(columns)
    publish(database, connection, model_of([*columns, *onehot("g", ["a"], 6)], [[*center, 0, 0], [*center, 0, 2**16]]))
    return connection


def test_nonsense_in_json_is_missing_and_no_error(mixed: psycopg.Connection) -> None:
    nothing = segment(mixed, "segjob.placed_mall('{}')")
    for row in NONSENSE:
        assert segment(mixed, "segjob.placed_mall(%s::jsonb)", row) == nothing, row
        assert segment(mixed, "segments.mall_assign(%s::jsonb)", row) == 1
    for row in ('{"d": "9999999-12-31T23:59:59Z"}', '{"n": 1e300}', '{"x": -1e308}'):
        assert segment(mixed, "segments.mall_assign(%s::jsonb)", row) == 1


json_values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.from_regex(r"\A[0-9]{4,7}-[01][0-9]-[0-3][0-9](T([0-9]{2}:){2}[0-9]{2}([+-][0-9]{2}(:[0-9]{2})?)?)?( BC)?\Z"),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.lists(st.integers(), max_size=2),
)  # fmt: skip


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=[Phase.generate])
@given(row=st.dictionaries(st.sampled_from([one.name for one in MIXED]), json_values))
def test_no_row_is_an_error(row: dict[str, Any], mixed: psycopg.Connection) -> None:
    assert segment(mixed, "segments.mall_assign(%s)", Jsonb(row)) in (1, 2)
