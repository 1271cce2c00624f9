"""What the tests of faults may ask for besides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import configure, mall_project, mall_published, published_mall, succeed
from tests.faults.server import MortalServer, mortal_server

__all__ = ["configure", "mall_project", "mall_published", "published_mall", "succeed"]


@pytest.fixture(scope="session")
def mortal() -> Iterator[MortalServer]:
    """A server that tests may restart in the middle of things; one for each process of pytest."""
    with mortal_server() as server:
        yield server
