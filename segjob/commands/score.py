"""`segjob score`: new and changed customers get a segment of the published version, without a fit."""

from __future__ import annotations

from typing import Any

from segjob.commands.database import open_database
from segjob.commands.several import each
from segjob.config import Settings
from segjob.job.scoring import score
from segjob.progress import Progress


def score_all(settings: Settings, names: tuple[str, ...], params: dict[str, str]) -> tuple[list[dict[str, Any]], int]:
    """Score every segmentation; returns their documents and the highest exit code."""
    database = open_database(settings)
    return each(names, lambda name: (score(database, settings, name, params, Progress(name)), 0))


def print_scores(results: list[dict[str, Any]]) -> None:
    for result in results:
        if "error" not in result:
            print_score(result)


def print_score(result: dict[str, Any]) -> None:
    """What a person wants to know."""
    drift = result["drift"]
    print(
        f"{result['segmentation']}, version {result['version_id']}: {result['n_read']:,} customers read, "
        f"{result['n_came']:,} new, {result['n_changed']:,} with another label, {result['n_left']:,} left; "
        f"{result['n_moved']:,} in another segment than before, {result['seconds']['total']:.1f} s"
    )
    due = "; a new fit is due" if result["fit_due"] else ""
    print(f"drift: population stability index {drift['psi']:.3f}, {drift['far_share']:.1%} far from their centre{due}")
