"""`segjob run`: one segmentation after the other, and how the results are printed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from segjob import console
from segjob.commands.database import open_database
from segjob.commands.several import each
from segjob.commands.show import print_gates, print_segments, silhouette_sentence
from segjob.config import Settings
from segjob.errors import GateRefused
from segjob.job.gates import refusals
from segjob.job.run import run
from segjob.job.task import Order
from segjob.progress import Progress
from segjob.records.version import GateResult


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    names: tuple[str, ...]
    params: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False
    publish: bool = True
    prune: bool = True


def run_all(settings: Settings, wanted: Wanted) -> tuple[list[dict[str, Any]], int]:
    """Run every segmentation; returns their documents and the highest exit code."""
    database = open_database(settings)
    order = Order(wanted.params, wanted.dry_run, wanted.publish, wanted.prune)

    def step(name: str) -> tuple[dict[str, Any], int]:
        result = run(database, settings, name, order, Progress(name))
        return result, complain_of_refusal(result)

    return each(wanted.names, step)


def complain_of_refusal(result: dict[str, Any]) -> int:
    """Say which gates refused the version, or would have; returns the exit code."""
    found = refusals([GateResult(**gate) for gate in result["gates"]])
    if not found:
        return 0
    name, version_id = result["segmentation"], result["version_id"]
    kept = f"version {version_id} is kept as rejected" if version_id else "a run would be rejected"
    refused = GateRefused(f"segmentation {name}: {kept}, and what was published stays; {found}")
    console.complain(refused)
    return refused.exit_code


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
    print_gates(result["gates"])
    for change in result.get("changes", []):
        print(f"would change: {change}")
