"""How far an estimated silhouette may be from the true one: 95 % intervals from one draw.

An estimate varies for two reasons, and both are measured:

- who is evaluated: the variance of a stratified mean without replacement, (1 - e/n) s²/e (Cochran 1977, 5.3);
- who stands for the segments, which shifts the silhouettes of all who are evaluated together: a delete-a-group
  jackknife (Kott 2001; Wolter 2007, 4.2), in which each replicate leaves one group of references out of every segment.
  The change of a mean is scaled by √(1 - m/n), for references drawn without replacement (Rao and Wu 1988), so that
  who is wholly drawn adds nothing.

Student's quantile takes the degrees of freedom of the jackknife, fewer than the sum of both has: the safe side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from segjob.clustering.silhouette_draw import N_GROUPS
from segjob.records.version import Score

METHOD = "euclidean"
MEAN_STEPS = 2.0**40  # silhouettes are rounded to 2**-40 before they are summed
NO_SCORE = Score(None, None, None, METHOD, 0, False)
QUANTILE = 1.959963984540054  # of the normal distribution at 97.5 %


@dataclass(frozen=True)
class SegmentEstimate:
    """What one segment's evaluated customers say.

    Attributes
    ----------
    n_customers, n_evaluated : in the population, and drawn
    mean : of the silhouettes
    replicates : (N_GROUPS,) the mean with each group of references left out
    variance : of the mean, as the choice of who is evaluated causes it; None where there is one of many
    exact : all are evaluated, against everybody
    """

    n_customers: int
    n_evaluated: int
    mean: float
    replicates: np.ndarray
    variance: float | None
    exact: bool


def segment_estimate(
    values: np.ndarray, replicates: np.ndarray, n_customers: int, exact: bool
) -> SegmentEstimate | None:
    """Sum up the silhouettes (e,) and their replicates (e, N_GROUPS) of one segment; None without any."""
    if not len(values):
        return None
    mean = float(exact_means(values[:, None])[0])
    return SegmentEstimate(
        n_customers,
        len(values),
        mean,
        exact_means(replicates),
        variance_of_mean(values, mean, n_customers),
        exact,
    )


def exact_means(values: np.ndarray) -> np.ndarray:
    """Means by column; values are rounded and summed as integers, so that the order of the rows is moot."""
    sums = np.rint(values * MEAN_STEPS).astype(np.int64).sum(axis=0)
    return np.array([total / len(values) / MEAN_STEPS for total in sums.tolist()])


def variance_of_mean(values: np.ndarray, mean: float, n_customers: int) -> float | None:
    if len(values) == n_customers:
        return 0.0
    if len(values) == 1:
        return None
    squares = math.fsum(np.square(values - mean).tolist())  # rounded once: the order is moot here, too
    return (1 - len(values) / n_customers) * squares / (len(values) - 1) / len(values)


def segment_score(estimate: SegmentEstimate | None) -> Score:
    """The silhouette of one segment with its interval."""
    if estimate is None:
        return NO_SCORE
    if estimate.exact:
        return Score(estimate.mean, estimate.mean, estimate.mean, METHOD, estimate.n_evaluated, True)
    half = half_width([(1.0, estimate)], estimate.mean, estimate.replicates)
    return scored(estimate.mean, half, estimate.n_evaluated)


def overall_score(estimates: list[SegmentEstimate | None], counts: np.ndarray) -> Score:
    """The silhouette of all, from the segments' weighted by their customers.

    Segments without an estimate, of which the sample has hardly anybody, could be anything between -1 and 1, and the
    interval says so.
    """
    known = [one for one in estimates if one is not None]
    if not known:
        return NO_SCORE
    total = sum(one.n_customers for one in known)
    weighted = [(one.n_customers / total, one) for one in known]
    value = math.fsum(weight * one.mean for weight, one in weighted)
    n_evaluated = sum(one.n_evaluated for one in known)
    if all(one is not None and one.exact for one in estimates):
        return Score(value, value, value, METHOD, n_evaluated, True)
    replicates = np.array(
        [math.fsum(weight * float(one.replicates[place]) for weight, one in weighted) for place in range(N_GROUPS)]
    )
    half = half_width(weighted, value, replicates)
    unknown = 1 - total / int(counts.sum())
    return scored(value, None if half is None else half + unknown * (1 + abs(value)), n_evaluated)


def scored(value: float, half: float | None, n_evaluated: int) -> Score:
    if half is None:
        return Score(value, None, None, METHOD, n_evaluated, False)
    return Score(value, max(value - half, -1.0), min(value + half, 1.0), METHOD, n_evaluated, False)


def half_width(weighted: list[tuple[float, SegmentEstimate]], value: float, replicates: np.ndarray) -> float | None:
    """Half of the 95 % interval of a weighted mean of segments; None where a variance is not known."""
    variances = [jackknife_variance(value, replicates)]
    for weight, one in weighted:
        if one.variance is None:
            return None
        variances.append(weight**2 * one.variance)
    n_evaluated = sum(one.n_evaluated for _, one in weighted)
    return student_quantile(min(N_GROUPS, n_evaluated) - 1) * math.sqrt(math.fsum(variances))


def jackknife_variance(value: float, replicates: np.ndarray) -> float:
    return (N_GROUPS - 1) / N_GROUPS * math.fsum(np.square(replicates - value).tolist())


def student_quantile(freedom: int) -> float:
    """Student's t at 97.5 %, to 1 % from 3 degrees of freedom on (Abramowitz and Stegun 1964, 26.7.5)."""
    z, v = QUANTILE, max(freedom, 1)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / v ** (power + 1) for power, term in enumerate(terms))
