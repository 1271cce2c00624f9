"""`segjob choose-k`: which numbers of segments are tried, and how the result is printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segjob import console
from segjob.commands.database import open_database
from segjob.config import Settings
from segjob.config.segmentation import ClusterRange
from segjob.errors import UsageError
from segjob.job.choose_k import choose_k as choose
from segjob.progress import Progress

LEAST, MOST = 2, 12
BAR = 20  # characters for the largest inertia


def choose_k(
    settings: Settings, name: str, least: int | None, most: int | None, params: Mapping[str, str]
) -> dict[str, Any]:
    """Try the numbers of segments that the command line names, else those of the configuration, else 2 to 12."""
    configured = settings.segmentation(name).n_clusters
    first, last = (configured.min, configured.max) if isinstance(configured, ClusterRange) else (LEAST, MOST)
    first, last = least or min(first, most or first), most or max(last, least or last)
    if first > last:
        raise UsageError(f"--min {first} is more than --max {last}")
    return choose(open_database(settings), settings, name, range(first, last + 1), params, Progress(name))


def print_choice(found: dict[str, Any]) -> None:
    """The elbow as a table, and the suggestion in words."""
    candidates = found["candidates"]
    basis = basis_of(candidates[0]["silhouette"]) if candidates else "nothing tried"
    print(f"{found['segmentation']}: {found['n_customers']:,} customers; silhouettes {basis}")
    columns = ("segments", "inertia", "", "silhouette", "from", "to")
    more = ("Davies-Bouldin", "Calinski-Harabasz", "smallest", "stability", "")
    console.table("", (*columns, *more), [candidate_row(one, candidates) for one in candidates])
    print(found["reason"])


def basis_of(silhouette: dict[str, Any]) -> str:
    """A silhouette never stands without its method and its sample."""
    how = "exact" if silhouette["exact"] else f"on {silhouette['n_sampled']:,} sampled customers, with 95 % intervals"
    return f"{silhouette['method']}, {how}"


def candidate_row(one: dict[str, Any], candidates: list[dict[str, Any]]) -> list[Any]:
    silhouette = one["silhouette"]
    highest = max(candidate["inertia"] for candidate in candidates) or 1.0
    return [
        one["n_clusters"],
        one["inertia"],
        "█" * round(BAR * one["inertia"] / highest),
        silhouette["value"],
        silhouette["low"],
        silhouette["high"],
        one["davies_bouldin"],
        one["calinski_harabasz"],
        f"{one['smallest_share']:.1%}",
        one["stability"],
        "suggested" if one["suggested"] else "",
    ]
