"""What the tests of faults may ask for besides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.server import MortalServer, mortal_server


@pytest.fixture(scope="session")
def mortal() -> Iterator[MortalServer]:
    """A server that tests may restart in the middle of things; one for each process of pytest."""
    with mortal_server() as server:
        yield server
