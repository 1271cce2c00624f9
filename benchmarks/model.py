"""A small model of how the seconds of each phase grow, fitted to measurements, and where another phase takes over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

SAMPLE = 2**20  # the most customers that the starts of the fit look at
LEAST = 0.05  # seconds; shorter phases are not fitted more closely than this


@dataclass(frozen=True)
class Size:
    """What the seconds depend on."""

    rows: float
    features: float = 7
    n_clusters: float = 8


@dataclass(frozen=True)
class Point:
    """Seconds by phase as measured at one size."""

    size: Size
    seconds: dict[str, float]


TERMS: dict[str, Callable[[Size], float]] = {
    "1": lambda _: 1.0,
    "sampled x features x k": lambda size: min(size.rows, SAMPLE) * size.features * size.n_clusters,
    "sampled x features x k x k": lambda size: min(size.rows, SAMPLE) * size.features * size.n_clusters**2,
    "rows": lambda size: size.rows,
    "rows x features": lambda size: size.rows * size.features,
    "rows x features x k": lambda size: size.rows * size.features * size.n_clusters,
}


@dataclass(frozen=True)
class Model:
    """Seconds by phase: a sum of terms, none of them negative."""

    coefficients: dict[str, dict[str, float]]

    def seconds(self, size: Size) -> dict[str, float]:
        return {
            phase: sum(coefficient * TERMS[term](size) for term, coefficient in terms.items())
            for phase, terms in self.coefficients.items()
        }

    def largest(self, size: Size) -> str:
        seconds = self.seconds(size)
        return max(seconds, key=seconds.__getitem__)


def fit(points: Sequence[Point]) -> Model:
    """Least squares of the relative errors, phase by phase."""
    phases = dict.fromkeys(phase for point in points for phase in point.seconds)
    return Model(
        {phase: fit_phase([(point.size, point.seconds.get(phase, 0.0)) for point in points]) for phase in phases}
    )


def fit_phase(measured: Iterable[tuple[Size, float]]) -> dict[str, float]:
    sizes, seconds = zip(*measured, strict=True)
    target = np.array(seconds)
    weight = 1 / np.maximum(target, LEAST)
    design = np.array([[term(size) for term in TERMS.values()] for size in sizes])  # (points, terms)
    scale = design.max(axis=0)
    found, _ = nnls(design / scale * weight[:, None], target * weight)
    return {term: float(value) for term, value in zip(TERMS, found / scale, strict=True) if value > 0}


def errors(model: Model, points: Sequence[Point]) -> list[float]:
    """By how much of itself the model misses the seconds of each point, all phases together."""
    measured = [sum(point.seconds.values()) for point in points]
    expected = [sum(model.seconds(point.size).values()) for point in points]
    return [abs(model_says / seconds - 1) for model_says, seconds in zip(expected, measured, strict=True)]


def takeovers(model: Model, sizes: Sequence[Size]) -> list[tuple[Size, str]]:
    """Along a path of sizes: from which one on another phase takes the longest."""
    found: list[tuple[Size, str]] = []
    for size in sizes:
        phase = model.largest(size)
        if not found or found[-1][1] != phase:
            found.append((size, phase))
    return found
