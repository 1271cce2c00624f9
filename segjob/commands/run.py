"""`segjob run`: one segmentation after the other, and how the results are printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from segjob import console
from segjob.commands.database import open_database
from segjob.commands.show import print_segments, silhouette_sentence
from segjob.config import Settings
from segjob.errors import SegjobError, Stopped
from segjob.job.run import run
from segjob.job.task import Order
from segjob.progress import Progress


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    names: tuple[str, ...]
    params: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False
    publish: bool = True
    prune: bool = True


def run_all(settings: Settings, wanted: Wanted) -> tuple[list[dict[str, Any]], int]:
    """Run every segmentation; returns their documents and the highest exit code.

    One alone may raise; among several, a failed one leaves its document and the next goes on.
    """
    database = open_database(settings)
    order = Order(wanted.params, wanted.dry_run, wanted.publish, wanted.prune)
    results, exit_code = [], 0
    for name in wanted.names:
        try:
            results.append(run(database, settings, name, order, Progress(name)))
        except SegjobError as error:
            if len(wanted.names) == 1 or isinstance(error, Stopped):
                raise
            console.complain(error)
            results.append({"segmentation": name, **console.failure(error)})
            exit_code = max(exit_code, error.exit_code)
    return results, exit_code


def print_results(results: list[dict[str, Any]]) -> None:
    for result in results:
        if "error" not in result:
            print_result(result)


def print_result(result: dict[str, Any]) -> None:
    """What a person wants to know after a run."""
    version = f"version {result['version_id']} {result['status']}" if result["version_id"] else "dry run"
    without = f", {result['n_unlabelled']:,} without a segment" if result["n_unlabelled"] else ""
    print(
        f"{result['segmentation']}, {version}: {result['n_customers']:,} customers in "
        f"{result['n_segments']} segments{without}, {result['seconds']['total']:.1f} s"
    )
    print(f"inertia {console.number(result['inertia'])}, {silhouette_sentence(result['silhouette'])}")
    print_segments(result["segments"])
    for change in result.get("changes", []):
        print(f"would change: {change}")
