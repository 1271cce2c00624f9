"""The numbers in the tables are those of the record."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segjob.records.version import Version
from segjob.report import tables
from segjob.report.projection import project
from segjob.report.wording import Day
from tests.unit.report.pages import Page


def test_the_table_of_sizes_is_the_record_s(mall_record: Version, mall_page: Page) -> None:
    table = tables.sizes_table(mall_record)
    assert [row[1:] for row in table.rows] == [
        (segment.n_customers, segment.share, segment.inertia, "new") for segment in mall_record.segments
    ]
    assert mall_page.tables[table.caption][1][:3] == ["1 · Middle of the road", "81", "40.5 %"]


def test_the_table_of_silhouettes_has_the_stored_values_and_the_spread_of_the_sample(mall_record: Version) -> None:
    *segments, everyone = tables.silhouettes_table(mall_record).rows
    assert [row[1] for row in segments] == [segment.silhouette.value for segment in mall_record.segments]
    assert everyone[1] == mall_record.silhouette.value
    assert [row[3] for row in segments] == [segment.squared_silhouette.value for segment in mall_record.segments]
    assert everyone[3:5] == (mall_record.squared_silhouette.value, "Squared euclidean, exact over 200 customers")
    values = [row.silhouette for row in mall_record.sample if row.silhouette is not None]
    assert everyone[5] == 200
    assert everyone[6:9] == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]).tolist())
    assert everyone[9] == pytest.approx(np.mean(np.array(values) < 0))


def test_the_table_of_centroids_is_in_source_units(shop_record: Version, shop_page: Page) -> None:
    table = tables.centroids_table(shop_record)
    expected = {(each.feature, each.segment_id): each.value for each in shop_record.centroids}
    for row in table.rows:
        assert row[3:] == tuple(expected[str(row[0]), segment.segment_id] for segment in shop_record.segments)
    texts = {row[0]: row for row in shop_page.tables[table.caption]}
    assert texts["last_order_on"][3].startswith("2024-")
    assert texts["gender=Female"][3].endswith(" %")


def test_the_tables_of_means_and_differences_agree(shop_record: Version) -> None:
    means, differences = tables.means_table(shop_record), tables.differences_table(shop_record)
    for column, mean, difference in zip(shop_record.model.columns, means.rows, differences.rows, strict=True):
        back = np.array(difference[1:], dtype=float) * (column.population_std or 0) + (column.population_mean or 0)
        assert back == pytest.approx(np.array(mean[1:], dtype=float))


def test_the_table_of_customers_has_the_centroid_and_the_deciles_of_each_axis(mall_record: Version) -> None:
    rows = tables.customers_table(mall_record, project(mall_record)).rows
    incomes = [float(row.values["annual_income"] or 0) for row in mall_record.sample if row.segment_id == 1]
    assert rows[0][1] == 81
    assert rows[0][2] == pytest.approx(55.2963, abs=1e-3)
    assert rows[0][3:5] == pytest.approx(np.quantile(incomes, [0.1, 0.9]).tolist())


def test_a_segment_that_is_not_in_the_sample_has_no_deciles(mall_record: Version) -> None:
    others = replace(mall_record, sample=tuple(row for row in mall_record.sample if row.segment_id != 2))
    assert tables.customers_table(others, project(others)).rows[1][1::3] == (0, None, None)
    assert tables.silhouettes_table(others).rows[1][5:] == (0, None, None, None, None)


def test_how_the_model_was_made_is_told_with_counts_and_constants(shop_record: Version, shop_page: Page) -> None:
    features = {row[0]: row for row in shop_page.tables["Features and how each was prepared"]}
    assert features["monetary"][1:] == ["number", "log1p", "standard", "2", "median", "0", "3"]
    missing = next(column.n_missing for column in shop_record.model.columns if column.feature == "discount_share")
    assert features["discount_share"][6] == str(missing)
    assert features["gender=Male"][3] == "0 or 1"
    constants = {row[0]: row for row in tables.constants_table(shop_record).rows}
    monetary = shop_record.model.columns[2]
    origin = (monetary.center, monetary.scale, 2.0, monetary.origin)
    assert constants["monetary"][1:] == (monetary.impute_value, 1.0, 90_000.0, *origin)


def test_constant_columns_are_told_though_not_clustered(shop_record: Version) -> None:
    columns = (*shop_record.model.columns, replace(shop_record.model.columns[0], feature="country", position=None))
    version = replace(shop_record, model=replace(shop_record.model, columns=columns))
    assert tables.features_table(version).rows[-1][0] == "country (constant, not clustered)"
    assert "country" not in {row[0] for row in tables.centroids_table(version).rows}


def test_the_stages_of_the_fit_have_their_inertia(mall_record: Version, mall_page: Page) -> None:
    table = tables.stages_table(mall_record)
    assert [row[1:] for row in table.rows] == [
        (stage.n_rows, stage.steps, stage.inertia_before, stage.inertia_after) for stage in mall_record.stages
    ]
    assert mall_page.tables[table.caption][1][3] == "–"


def test_a_table_is_a_pandas_frame_too(shop_record: Version) -> None:
    frame = tables.sizes_table(shop_record).frame()
    assert frame["Customers"].sum() == shop_record.n_customers
    assert frame["Share"].sum() == pytest.approx(1)


def test_columns_of_text_are_told_from_columns_of_numbers() -> None:
    table = tables.Table("a table", ("What", "How many", "When"), (("a", 1, Day(3)), ("b", None, Day(4))))
    assert table.numeric == (False, True, True)
