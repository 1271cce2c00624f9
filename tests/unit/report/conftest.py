"""Versions to report on, made once a session."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from segjob.records.version import Version
from segjob.report import render
from tests.unit.report.pages import Page, read_page
from tests.unit.report.records_by_hand import mall_version, shop_version

GENERATED_AT = datetime(2026, 10, 31, 4, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def mall_record(mall_csv: Path) -> Version:
    return mall_version(mall_csv)


@pytest.fixture(scope="session")
def single_record(mall_csv: Path) -> Version:
    """One segment only, and so no silhouette."""
    return mall_version(mall_csv, n_clusters=1)


@pytest.fixture(scope="session")
def shop_record() -> Version:
    return shop_version()


@pytest.fixture(scope="session")
def mall_page(mall_record: Version) -> Page:
    return read_page(render(mall_record, generated_at=GENERATED_AT))


@pytest.fixture(scope="session")
def shop_page(shop_record: Version) -> Page:
    return read_page(render(shop_record, generated_at=GENERATED_AT))
