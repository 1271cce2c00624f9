"""What is asked for, and what the source has: where the customers are, their keys and features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Transform = Literal["none", "log1p"]
Scale = Literal["standard", "robust", "minmax", "none"]
Impute = Literal["median", "mean", "zero", "exclude"]
KeyFamily = Literal["integer", "uuid", "text"]
FeatureFamily = Literal["number", "boolean", "date", "timestamp", "text"]


@dataclass(frozen=True)
class SourceSpec:
    """Where the customers are: exactly one of `relation` and `query`."""

    relation: str | None = None
    query: str | None = None
    where: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    parallel_safe: bool = False


@dataclass(frozen=True)
class FeatureSpec:
    """One feature as the configuration asks for it."""

    column: str
    transform: Transform = "none"
    scale: Scale = "standard"
    impute: Impute = "median"
    clip: tuple[float, float] | None = None
    weight: float = 1.0
    onehot: bool = False


@dataclass(frozen=True)
class KeyColumn:
    """A key column with the source's own name and type, such as `bigint` or `character varying(20)`."""

    name: str
    type: str
    family: KeyFamily


@dataclass(frozen=True)
class FeatureColumn:
    """A feature column with the source's own name and type, and how it is read."""

    name: str
    type: str
    family: FeatureFamily
