"""How often the 95 % intervals of the silhouette hold the true value: labels fixed, a thousand other samples.

`pytest tests/statistics -s` prints the table. Where the product hashes keys with one salt, here the customers come in
a thousand random orders, which is what other salts would give.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from segjob.clustering import silhouette as module
from segjob.clustering.nearest import as_rows, assign
from segjob.clustering.silhouette import Silhouette, silhouette
from segjob.records.version import Score

N_SALTS = 1_000
LEAST_COVERAGE = 0.93
WIDEST = 1.3  # times 3.92 standard deviations of the estimates
UNITS = 2.0**15  # grid steps a standard deviation of a round cloud


@dataclass(frozen=True)
class Case:
    """Round or heavy-tailed clouds around centres; `sampled` customers of them are within reach.

    `enumerated` are the segments that are so small that everybody in them is compared with everybody.
    """

    name: str
    sizes: tuple[int, ...]
    places: tuple[tuple[float, ...], ...]
    sampled: int
    heavy: bool = False
    enumerated: tuple[str, ...] = ()


TRIANGLE = ((0.0, 0.0), (3.0, 0.0), (0.0, 3.0))
CASES = [
    Case("three equal ones", (10_000, 10_000, 10_000), TRIANGLE, 30_000),
    Case("8 : 1 and a tiny one", (28_000, 3_500, 60), ((0.0, 0.0), (4.0, 0.0), (0.0, 9.0)), 31_560, enumerated=("3",)),
    Case("five that overlap", (15_000, 9_000, 6_000, 3_000, 2_000), (*TRIANGLE, (2.0, 2.0), (-2.0, -2.0)), 35_000),
    Case(
        "heavy tails",
        (10_000, 10_000, 5_000, 5_000),
        (*((*place, 0.0) for place in TRIANGLE), (3.0, 3.0, 3.0)),
        30_000,
        heavy=True,
    ),
    Case("a third of 8 : 1 within reach", (40_000, 5_000), ((0.0, 0.0), (4.0, 0.0)), 15_000),
    Case("small ones half within reach", (30_000, 1_500, 400), ((0.0, 0.0), (6.0, 0.0), (0.0, 7.0)), 15_950),
    Case("two that are one cloud", (20_000, 20_000), ((0.0, 0.0), (1.0, 0.0)), 40_000),
]


@dataclass(frozen=True)
class Truth:
    matrix: np.ndarray
    centers: np.ndarray
    counts: np.ndarray
    overall: float
    segments: tuple[float, ...]


def known(score: Score) -> float:
    assert score.value is not None
    return score.value


def truth_of(case: Case) -> Truth:
    """The population on the grid with its exact silhouettes, from all pairs."""
    random = np.random.default_rng(len(case.name))
    clouds = [
        np.array(place)
        + (random.standard_t(4, (size, len(place))) if case.heavy else random.normal(size=(size, len(place))))
        for size, place in zip(case.sizes, case.places, strict=True)
    ]
    matrix = np.rint(np.clip(np.concatenate(clouds), -25, 25) * UNITS).astype(np.float32)
    centers = np.rint(np.array(case.places) * UNITS).astype(np.int64)
    counts = np.bincount(assign(as_rows(matrix, "cpu"), centers).index, minlength=len(centers))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EXACT_ROWS", len(matrix))
        exact = silhouette(matrix, centers, counts, "auto")
    assert exact.overall.exact
    return Truth(matrix, centers, counts, known(exact.overall), tuple(map(known, exact.segments)))


def estimates(case: Case, truth: Truth, n_salts: int) -> Iterator[Silhouette]:
    random = np.random.default_rng(7)
    for _ in range(n_salts):
        chosen = random.permutation(len(truth.matrix))[: case.sampled]
        yield silhouette(truth.matrix[chosen], truth.centers, truth.counts, "cpu")


@dataclass(frozen=True)
class Line:
    """One row of the table: a segment of a case, or all of it."""

    case: str
    segment: str
    n_customers: int
    n_evaluated: float
    truth: float
    bias: float
    deviation: float
    coverage: float
    width_ratio: float
    exact: bool
    n_off: int  # of the estimates, how many are not the truth to the last bit

    def __str__(self) -> str:
        how = "exact" if self.exact else f"{self.coverage:8.1%} {self.width_ratio:7.2f}"
        return (
            f"{self.case:30} {self.segment:>4} {self.n_customers:>9,} {self.n_evaluated:>9,.0f} {self.truth:>8.4f}"
            f" {self.bias:>+9.5f} {self.deviation:>9.5f} {how}"
        )


HEADING = (
    f"{'case':30} {'seg.':>4} {'customers':>9} {'evaluated':>9} {'truth':>8} {'bias':>9} {'std. dev.':>9}"
    " coverage   width"
)


def line(case: Case, segment: str, n_customers: int, truth: float, scores: list[Score]) -> Line:
    values = np.array([known(score) for score in scores])
    low, high = (
        np.array([end for end in ends if end is not None])
        for ends in zip(*((s.low, s.high) for s in scores), strict=True)
    )
    deviation = float(values.std(ddof=1))
    exact = all(score.exact for score in scores)
    return Line(
        case.name,
        segment,
        n_customers,
        float(np.mean([score.n_sampled for score in scores])),
        truth,
        float(values.mean() - truth),
        deviation,
        float(np.mean((low <= truth) & (truth <= high))),
        0.0 if exact else float((high - low).mean() / (3.92 * deviation)),
        exact,
        int(np.count_nonzero(values != truth)),
    )


def lines(case: Case, n_salts: int = N_SALTS) -> list[Line]:
    truth = truth_of(case)
    found = list(estimates(case, truth, n_salts))
    told = [line(case, "all", len(truth.matrix), truth.overall, [one.overall for one in found])]
    for place, (value, count) in enumerate(zip(truth.segments, truth.counts.tolist(), strict=True)):
        told.append(line(case, str(place + 1), count, value, [one.segments[place] for one in found]))
    return told


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nineteen_of_twenty_intervals_hold_the_true_silhouette(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    told = lines(case)
    with capsys.disabled():
        print("", HEADING, *told, sep="\n")
    assert tuple(one.segment for one in told if one.exact) == case.enumerated
    for one in told:
        if one.exact:
            assert one.n_off == 0
        else:
            assert one.coverage >= LEAST_COVERAGE
            assert one.width_ratio <= WIDEST
