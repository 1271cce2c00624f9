"""What the two programs that are measured beside segjob have in common."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Wanted:
    """What a program is told."""

    url: str
    customers: str
    labels: str
    features: int
    n_clusters: int
    to_sql_method: Literal["multi"] | None

    @property
    def feature_names(self) -> list[str]:
        return [f"f{j}" for j in range(self.features)]


def wanted() -> Wanted:
    parser = argparse.ArgumentParser()
    for name in ("--url", "--customers", "--labels"):
        parser.add_argument(name, required=True)
    for name in ("--features", "--n-clusters"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--to-sql-method", choices=["multi"], help="the method of pandas' to_sql")
    return Wanted(**vars(parser.parse_args()))


class Phases:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began

    def print(self) -> None:
        print(json.dumps(self.seconds))


@dataclass(frozen=True)
class Nearest:
    """The segment of every row and the next one, as in our label table."""

    segment_id: NDArray[np.int32]
    runner_up_segment_id: NDArray[np.int32]
    distance: NDArray[np.float64]
    simplified_silhouette: NDArray[np.float32]


def nearest_two(distances: NDArray[np.floating]) -> Nearest:
    """Labels from the distances to all centroids, (rows, segments); overwrites them."""
    rows = np.arange(len(distances))
    own = distances.argmin(axis=1)
    distance = distances[rows, own]
    distances[rows, own] = np.inf
    other = distances.argmin(axis=1)
    silhouette = 1 - distance / distances[rows, other]
    return Nearest(
        segment_id=(own + 1).astype(np.int32),
        runner_up_segment_id=(other + 1).astype(np.int32),
        distance=distance.astype(np.float64),
        simplified_silhouette=silhouette.astype(np.float32),
    )
