"""The constants of single columns: what is imputed, where is clipped, center, scale and origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from segjob.clustering.categories import frequent_categories
from segjob.clustering.features import impute, missing, scale, transform
from segjob.clustering.moments import Moments
from segjob.clustering.quantiles import in_order, median, quantiles
from segjob.records.model import OTHER, ModelColumn
from segjob.records.source import FeatureFamily, FeatureSpec

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ONEHOT_SCALE = 2.0**0.5  # customers of different categories differ in two columns


@dataclass(frozen=True)
class Draft:
    """A column whose constants are being found.

    Attributes
    ----------
    low, high : the exact extremes over the population after impute, clip and transform
    quantiles : of the same, from the sample, at 5, 25, 50, 75 and 95 %
    """

    column: ModelColumn
    low: float
    high: float
    quantiles: tuple[float, ...]

    @property
    def reach(self) -> float:
        """How far customers are from the origin at most, in the clustered space."""
        ends = scale(self.column, np.array([self.low, self.high]))
        return float(np.max(np.abs(ends - self.column.origin)))

    @property
    def is_constant(self) -> bool:
        low, high = scale(self.column, np.array([self.low, self.high]))
        return bool(low == high)

    @property
    def spread(self) -> float:
        """How far apart the 5 % and the 95 % quantile are in the clustered space; 0 for a one-hot column."""
        return abs((self.quantiles[-1] - self.quantiles[0]) / self.column.scale * self.column.weight)


def number_draft(
    spec: FeatureSpec,
    family: FeatureFamily,
    extremes: tuple[float, float],
    n_missing: int,
    moments: Moments,
    sample: np.ndarray,
) -> Draft:
    """A numeric column up to its transform; `moments` are those of the source, `sample` its raw values (s,)."""
    sample = in_order(np.ascontiguousarray(sample))
    column = described(spec, family, extremes, n_missing, moments, sample[~missing(spec, sample)])
    low, high = transformed_extremes(column)
    return Draft(column, low, high, tuple(quantiles(transform(column, sample), QUANTILES)))


def described(
    spec: FeatureSpec,
    family: FeatureFamily,
    extremes: tuple[float, float],
    n_missing: int,
    moments: Moments,
    present: np.ndarray,
) -> ModelColumn:
    """The column as it is in the source, with what is imputed and where is clipped."""
    middle = median(present) if len(present) else moments.mean
    column = ModelColumn(
        spec.column, spec.column, None, family, spec.transform, spec.scale, spec.impute, weight=spec.weight
    )
    if not moments.n:
        return replace(column, impute_value=None if spec.impute == "exclude" else 0.0, n_missing=n_missing)
    low, high = clip_bounds(spec, extremes, present)
    return replace(
        column,
        impute_value={"median": middle, "mean": moments.mean, "zero": 0.0, "exclude": None}[spec.impute],
        clip_low=low,
        clip_high=high,
        n_missing=n_missing,
        minimum=extremes[0],
        maximum=extremes[1],
        population_mean=moments.mean,
        population_std=moments.std,
        population_median=middle,
    )


def clip_bounds(
    spec: FeatureSpec, extremes: tuple[float, float], present: np.ndarray
) -> tuple[float | None, float | None]:
    """The clip quantiles in source units; 0 and 1 are the exact extremes, so that they clip nothing."""
    if spec.clip is None:
        return None, None
    low, high = quantiles(present, spec.clip) if len(present) else extremes
    return (extremes[0] if spec.clip[0] <= 0.0 else low), (extremes[1] if spec.clip[1] >= 1.0 else high)


def transformed_extremes(column: ModelColumn) -> tuple[float, float]:
    """The extremes after impute, clip and transform, which keep the order of the values."""
    ends = [end for end in (column.minimum, column.maximum) if end is not None]
    if column.n_missing and column.impute_value is not None:
        ends.append(column.impute_value)
    transformed = transform(column, np.array(ends))
    return float(transformed.min()), float(transformed.max())


def is_clipped(column: ModelColumn, values: np.ndarray) -> np.ndarray:
    """Which customers' values, imputed where missing, lie outside of the clip bounds. Boolean, (n,)."""
    values = impute(column, values)
    clipped = np.zeros(len(values), bool)
    if column.clip_low is not None:
        clipped |= values < column.clip_low
    return clipped if column.clip_high is None else clipped | (values > column.clip_high)


def scaled_draft(draft: Draft, moments: Moments) -> Draft:
    """The draft with center, scale and origin; `moments` are those of the transformed values, imputed ones too."""
    center, spread = center_and_scale(draft, moments)
    column = replace(draft.column, center=center, scale=spread or 1.0)
    origin = float(scale(column, np.array(draft.quantiles[2])))
    return replace(draft, column=replace(column, origin=origin))


def center_and_scale(draft: Draft, moments: Moments) -> tuple[float, float]:
    if draft.column.scaling == "standard":
        return moments.mean or 0.0, moments.std or 0.0
    if draft.column.scaling == "robust":
        return draft.quantiles[2], draft.quantiles[3] - draft.quantiles[1]
    if draft.column.scaling == "minmax":
        return draft.low, draft.high - draft.low
    return 0.0, 1.0


def onehot_drafts(
    spec: FeatureSpec, family: FeatureFamily, candidates: Sequence[str], counts: np.ndarray, n_missing: int
) -> list[Draft]:
    """The columns of a one-hot feature from exact counts: its frequent categories and `other`, which always exists."""
    n_rows = int(counts.sum())
    by_name = dict(zip(candidates, counts.tolist(), strict=False))
    frequent = frequent_categories(by_name, n_rows)
    shares = [by_name[name] / n_rows for name in frequent]
    shares.append((n_rows - sum(by_name[name] for name in frequent)) / n_rows)
    alike = max(shares) == 1.0
    return [
        onehot_draft(spec, family, name, share, n_missing, alike)
        for name, share in zip([*frequent, OTHER], shares, strict=True)
    ]


def onehot_draft(
    spec: FeatureSpec, family: FeatureFamily, category: str, share: float, n_missing: int, alike: bool
) -> Draft:
    """One category. While customers differ in the feature no column of it is constant, lest an unseen one be lost."""
    weight = spec.weight / ONEHOT_SCALE
    column = ModelColumn(
        f"{spec.column}={category}",
        spec.column,
        None,
        family,
        impute=spec.impute,
        weight=weight,
        origin=weight * (0.5 + 0.5 * float(np.sign(share - 0.5))),
        category=category,
        n_missing=n_missing,
        population_mean=share,
        population_std=(share * (1.0 - share)) ** 0.5,
    )
    return Draft(column, share if alike else 0.0, share if alike else 1.0, (0.0,) * len(QUANTILES))
