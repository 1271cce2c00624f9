"""Versions made without the job: scikit-learn clusters them, so that no line of segjob vouches for another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_samples

from segjob.palette import color_of
from segjob.records.model import Model, ModelColumn
from segjob.records.version import Centroid, SampleRow, Score, Segment, Stage, Version

SQUARED = "squared euclidean"
HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(2)> & %{x} $a$"
MALL_NAMES = (
    "Middle of the road",
    "Well off, spends",
    "Well off, saves",
    "Little money, saves",
    "Little money, spends",
)


@dataclass(frozen=True)
class Prepared:
    """One clustered column: what the record says of it, its values in source units and scaled."""

    column: ModelColumn
    values: np.ndarray
    scaled: np.ndarray


def prepared(raw: Sequence[Any], position: int, prototype: ModelColumn) -> Prepared:
    """Impute the median, transform, scale and weight; a prototype with a category is an indicator of it."""
    missing = pd.isna(pd.Series(raw, dtype=object)).to_numpy()
    if prototype.category is not None:
        values = np.array([float(value == prototype.category) for value in raw])
        center, scale, median = 0.0, 1.0, None
    else:
        values = np.array([np.nan if gone else float(value) for value, gone in zip(raw, missing, strict=True)])
        median = float(np.nanmedian(values))
        values = np.where(missing, median, values)
        transformed = np.log1p(values) if prototype.transform == "log1p" else values
        standard = prototype.scaling == "standard"
        center, scale = (float(transformed.mean()), float(transformed.std())) if standard else (0.0, 1.0)
    transformed = np.log1p(values) if prototype.transform == "log1p" else values
    column = replace(
        prototype,
        position=position,
        impute_value=median,
        center=center,
        scale=scale,
        n_missing=int(missing.sum()),
        minimum=float(values.min()),
        maximum=float(values.max()),
        population_mean=float(values.mean()),
        population_std=float(values.std()),
        population_median=float(np.median(values)),
    )
    return Prepared(column, values, (transformed - center) / scale * column.weight)


def score(values: np.ndarray, method: str = "euclidean") -> Score:
    """The mean of exact silhouettes, and none where they are NaN, as with one segment."""
    mean = None if np.isnan(values).any() else float(values.mean())
    return Score(mean, mean, mean, method, len(values), exact=True)


def silhouettes_of(matrix: np.ndarray, labels: np.ndarray, metric: str) -> np.ndarray:
    """Of each customer; NaN where there is one segment."""
    if len(np.unique(labels)) == 1:
        return np.full(len(matrix), np.nan)
    return np.asarray(silhouette_samples(matrix, labels, metric=metric))


def fitted(
    name: str,
    frame: pd.DataFrame,
    prototypes: Sequence[ModelColumn],
    n_clusters: int,
    segment_names: Mapping[int, str] | None = None,
    n_sampled: int = 5000,
) -> Version:
    """The version that a fit of this frame would store; with one segment there are no silhouettes."""
    parts = [prepared(frame[prototype.column].tolist(), index, prototype) for index, prototype in enumerate(prototypes)]
    matrix = np.column_stack([part.scaled for part in parts])
    found = KMeans(n_clusters, n_init=10, random_state=0).fit(matrix)
    order = np.argsort(-np.bincount(found.labels_), kind="stable")
    centers = found.cluster_centers_[order]
    labels = np.argsort(order)[found.labels_] + 1
    each, squared = (silhouettes_of(matrix, labels, metric) for metric in ("euclidean", "sqeuclidean"))
    masks = [labels == segment_id for segment_id in range(1, n_clusters + 1)]
    several, inertia = n_clusters > 1, float(found.inertia_)
    at = datetime(2026, 10, 31, 4, 0, tzinfo=UTC)
    return Version(
        segmentation=name,
        version_id=3,
        parent_version_id=2,
        run_id=7,
        created_at=at + timedelta(seconds=9),
        data_as_of=at,
        n_customers=len(frame),
        n_unlabelled=0,
        inertia=inertia,
        silhouette=score(each),
        squared_silhouette=score(squared, SQUARED),
        davies_bouldin=float(davies_bouldin_score(matrix, labels)) if several else None,
        calinski_harabasz=float(calinski_harabasz_score(matrix, labels)) if several else None,
        seed=42,
        config_hash="5f0c3a9b1d2e",
        stages=(
            Stage("starts", len(frame), 32, None, inertia * 1.02),
            Stage("full_passes", len(frame), 4, inertia * 1.02, inertia),
        ),
        model=Model(tuple(part.column for part in parts), 3, tuple(range(1, n_clusters + 1)), np.zeros(centers.shape)),
        segments=tuple(segments(masks, matrix, centers, each, squared, segment_names or {})),
        centroids=tuple(
            centroid(part, segment_id, centers[segment_id - 1, index], mask)
            for segment_id, mask in enumerate(masks, start=1)
            for index, part in enumerate(parts)
        ),
        sample=tuple(sample(frame, prototypes, matrix, labels, each))[:n_sampled],
        status="published",
        published_at=at + timedelta(seconds=11),
    )


def segments(
    masks: Sequence[np.ndarray],
    matrix: np.ndarray,
    centers: np.ndarray,
    silhouettes: np.ndarray,
    squared: np.ndarray,
    names: Mapping[int, str],
) -> Iterator[Segment]:
    for segment_id, (mask, center) in enumerate(zip(masks, centers, strict=True), start=1):
        inertia, count = float(((matrix[mask] - center) ** 2).sum()), int(mask.sum())
        title = names.get(segment_id, f"Segment {segment_id}")
        scores = score(silhouettes[mask]), score(squared[mask], SQUARED)
        yield Segment(segment_id, title, color_of(segment_id), count, count / len(matrix), inertia, *scores)


def centroid(part: Prepared, segment_id: int, scaled: float, mask: np.ndarray) -> Centroid:
    transformed = scaled / part.column.weight * part.column.scale + part.column.center
    value = math.expm1(transformed) if part.column.transform == "log1p" else transformed
    members = part.values[mask]
    mean, median = float(members.mean()), float(np.median(members))
    return Centroid(segment_id, part.column.feature, float(value), float(scaled), 0, mean, median)


def sample(
    frame: pd.DataFrame,
    prototypes: Sequence[ModelColumn],
    matrix: np.ndarray,
    labels: np.ndarray,
    silhouettes: np.ndarray,
) -> list[SampleRow]:
    columns = list(dict.fromkeys(prototype.column for prototype in prototypes))
    return [
        SampleRow(
            int(labels[index]),
            {column: None if pd.isna(frame[column].iloc[index]) else frame[column].iloc[index] for column in columns},
            tuple(map(float, matrix[index])),
            None if np.isnan(silhouettes[index]) else float(silhouettes[index]),
        )
        for index in range(len(frame))
    ]


def number_column(name: str, **more: Any) -> ModelColumn:
    return ModelColumn(feature=name, column=name, position=0, **{"family": "number", "scaling": "standard", **more})


def category_column(name: str, category: str) -> ModelColumn:
    return ModelColumn(
        feature=f"{name}={category}", column=name, position=0, family="text", category=category, weight=math.sqrt(0.5)
    )


def mall_version(csv: Path, n_clusters: int = 5) -> Version:
    """The mall's customers by income and spending, unscaled: the five groups that everybody knows."""
    prototypes = [number_column("annual_income", scaling="none"), number_column("spending_score", scaling="none")]
    names = dict(enumerate(MALL_NAMES, start=1))
    return fitted("mall", pd.read_csv(csv), prototypes, n_clusters, names)


def shop_version(n_customers: int = 1200, n_clusters: int = 6) -> Version:
    """Seven features, with a date, a category and hostile names, from groups that overlap."""
    random = np.random.default_rng(8)
    group = random.choice(n_clusters, n_customers, p=np.arange(n_clusters, 0, -1) / (n_clusters * (n_clusters + 1) / 2))

    def grouped(low: float, high: float, spread: float) -> np.ndarray:
        return random.uniform(low, high, n_clusters)[group] + random.normal(0, spread, n_customers)

    frame = pd.DataFrame(
        {
            "recency_days": np.abs(grouped(5, 300, 30)),
            "orders": np.abs(grouped(1, 30, 3)).round(),
            "monetary": np.exp(grouped(3, 8, 0.5)),
            "discount_share": grouped(0.05, 0.6, 0.08).clip(0, 1),
            "last_order_on": np.floor(grouped(19_800, 20_600, 40)),
            HOSTILE: grouped(-2, 2, 0.6),
            "gender": np.where(random.random(n_customers) < 0.3 + 0.1 * group, "Female", "Male"),
        }
    )
    frame.loc[random.random(n_customers) < 0.05, "discount_share"] = np.nan
    prototypes = [
        number_column("recency_days"),
        number_column("orders"),
        number_column("monetary", transform="log1p", weight=2.0, clip_low=1.0, clip_high=90_000.0, n_clipped=3),
        number_column("discount_share"),
        number_column("last_order_on", family="date"),
        number_column(HOSTILE),
        category_column("gender", "Female"),
        category_column("gender", "Male"),
    ]
    return fitted("shop", frame, prototypes, n_clusters, {2: HOSTILE, 3: "Bargain hunters with a rather long name"})
