"""Where a rollback goes, as the log of the publications decides."""

from __future__ import annotations

import pytest

from segjob.postgres.publishing.publications import before_the_last


def log(text: str) -> list[tuple[str, int, bool]]:
    """`1 2 <1 3x`: runs, a rollback to 1, a version that is pruned by now."""
    words = text.split()
    return [("rollback" if "<" in word else "run", int(word.strip("<x")), "x" in word) for word in words]


@pytest.mark.parametrize(
    ("publications", "version_id"),
    [
        ("", None),
        ("1", None),
        ("1 2", 1),
        ("1 2 3", 2),
        ("1 2 2 3", 2),
        ("1 2 3 3", 2),
        ("1 2 3 <2", 1),
        ("1 2 3 <2 <1", None),
        ("1 2 3 <2 3", 2),
        ("1 2 <1 2 <1", None),
        ("1 2 3 1", 3),
        ("1 2 <1 3", 1),
        ("1 2x 3", 1),
        ("1x 2", None),
        ("1 2 1 2 <1", 2),
    ],
)
def test_a_rollback_goes_to_what_was_published_before_and_takes_publications_back(
    publications: str, version_id: int | None
) -> None:
    assert before_the_last(log(publications)) == version_id
