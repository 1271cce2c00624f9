"""What `segjob.yaml` may say of one segmentation: the source, the features, the segments, and what guards them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Self

from pydantic import (
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from segjob.config.columns import Features, KeyColumns
from segjob.config.fields import (
    Color,
    Count,
    Model,
    Number,
    OptionalText,
    Parameter,
    ParameterName,
    QueryFileField,
    Seed,
    Several,
    Share,
    Text,
    Threshold,
)
from segjob.errors import ConfigurationError
from segjob.records.source import FeatureSpec, SourceSpec
from segjob.spelling import nearest


class ClusterRange(Model):
    """The numbers of segments among which the job chooses."""

    min: Several = Field(description="The smallest number of segments to try, at least 2.")
    max: Several = Field(description="The largest number of segments to try, at most 100.")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) must not be more than max ({self.max})")
        return self

    @property
    def numbers(self) -> range:
        """Every number of segments in it."""
        return range(self.min, self.max + 1)


class Gate(Model):
    """Two bounds on a measured value; null in place of them switches the gate off."""

    warn: Number | None = Field(default=None, description="Beyond this the version is published and the run warns.")
    refuse: Number | None = Field(default=None, description="Beyond this the version is kept as rejected.")


class Gates(Model):
    """What a version must pass before anyone sees it."""

    min_customers: Gate | None = Field(default=None, description="The least number of customers. Default: off.")
    max_volume_change: Gate | None = Field(
        default=Gate(warn=0.2, refuse=0.5),
        description="How far the number of customers may be from the published version's, as a share of it.",
    )
    min_silhouette: Gate | None = Field(default=Gate(warn=0.1), description="The least Euclidean silhouette.")
    min_segment_share: Gate | None = Field(
        default=None, description="The least share of customers in the smallest segment. Default: off."
    )
    max_label_churn: Gate | None = Field(
        default=Gate(warn=0.2, refuse=0.5), description="The largest share of customers whose segment changes."
    )


class Drift(Model):
    """From where on `segjob score` says that a new fit is due."""

    max_psi: Threshold = Field(
        default=0.25, description="Population stability index of the segments' shares against the fit."
    )
    max_far_share: Share = Field(
        default=0.05, description="Share of customers farther from their centroid than 99 % were at the fit."
    )


def kind_of_count(value: Any) -> str:
    return "range" if isinstance(value, (Mapping, ClusterRange)) else "number"


ClusterCount = Annotated[
    Annotated[Count, Tag("number")] | Annotated[ClusterRange, Tag("range")], Discriminator(kind_of_count)
]
ORIGINS = ("source", "query", "query_file")
ONE_ORIGIN = {"oneOf": [{"required": [origin]} for origin in ORIGINS]}


class Segmentation(Model, json_schema_extra=ONE_ORIGIN):
    """One way to segment one population."""

    source: OptionalText = Field(
        default=None,
        description="The table with one row a customer: a table, view, materialized view, partitioned or foreign "
        "table, as schema.name. Give exactly one of source, query and query_file.",
    )
    query: OptionalText = Field(default=None, description="One SELECT with one row a customer; :name takes a param.")
    query_file: QueryFileField = Field(
        default=None, description="A file with one SELECT, relative to this file. It is taken as it is, without ${VAR}."
    )
    params: dict[ParameterName, Parameter] = Field(
        default={},
        description="Values for :name in the query; `run --param name=value` replaces one for that run.",
        json_schema_extra={"additionalProperties": False},
    )
    where: OptionalText = Field(
        default=None, description="A SQL condition on the source; customers it leaves out count nowhere. Default: none."
    )
    parallel_safe: bool = Field(
        default=False,
        description="true promises that a view, a query or a filter gives the same rows to several sessions that share "
        "a snapshot and read parts of it: that it asks for no time, no chance and no order that ties could change.",
    )
    key: KeyColumns = Field(
        description="The column, or up to three, that identify a customer: integers, uuid, text or varchar."
    )
    features: Features = Field(description="The columns by which customers are compared, each once.")
    n_clusters: ClusterCount = Field(
        description="The number of segments, or {min, max} from which the job chooses and records every candidate."
    )
    seed: Seed = Field(
        default=42, description="Starts the random numbers; the same seed on the same data gives the same segments."
    )
    names: dict[Count, Text] = Field(
        default={},
        description="Names by segment_id, in place of the generated ones; a name stays with its id.",
        json_schema_extra={"propertyNames": {"pattern": "^[1-9][0-9]*$"}},
    )
    colors: dict[Count, Color] = Field(
        default={},
        description="Colours by segment_id, as #rrggbb, in place of the built-in palette.",
        json_schema_extra={"propertyNames": {"pattern": "^[1-9][0-9]*$"}},
    )
    watermark: OptionalText = Field(
        default=None, description="A column that grows with every change of a row, for `segjob score`. Default: none."
    )
    gates: Gates = Field(default=Gates(), description="What a version must pass to be published.")
    drift: Drift = Field(default=Drift(), description="How much the customers may change until a new fit is due.")
    keep_versions: Count = Field(
        default=12, description="How many versions keep their labels; older ones keep their row and centroids."
    )
    history: bool = Field(default=True, description="Keep since when and until when a customer was in a segment.")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        given = [origin for origin in ORIGINS if getattr(self, origin) is not None]
        if len(given) != 1:
            found = f"there are {' and '.join(given)}" if given else "there is none"
            raise ValueError(f"must have exactly one of source, query and query_file; {found}")
        return self

    @property
    def least_clusters(self) -> int:
        """The smallest number of segments that there may be; fewer customers can not be segmented."""
        return self.n_clusters.min if isinstance(self.n_clusters, ClusterRange) else self.n_clusters

    @property
    def query_text(self) -> str | None:
        """The SELECT, wherever it was written; None with a `source`."""
        return self.query_file.text if self.query_file else self.query

    def source_spec(self, params: Mapping[str, str] | None = None) -> SourceSpec:
        """Return where the customers are; `params` replace the configured ones of the same names.

        Raises
        ------
        ConfigurationError
            For a parameter that the configuration does not have, or a value that is not of its type.
        """
        given = {name: self._parameter(name, text) for name, text in (params or {}).items()}
        return SourceSpec(
            relation=self.source,
            query=self.query_text,
            where=self.where,
            params={**self.params, **given},
            parallel_safe=self.parallel_safe,
        )

    def _parameter(self, name: str, text: str) -> Any:
        """Give a value from the command line the type that the configured one has, such as date or int."""
        if name not in self.params:
            raise ConfigurationError(f"--param {name}: unknown parameter; {nearest(name, self.params)}")
        configured = type(self.params[name])
        if configured is type(None):
            return text
        try:
            return TypeAdapter(configured).validate_python(text)
        except ValidationError:
            raise ConfigurationError(f"--param {name}: must be of type {configured.__name__}, as configured") from None

    def feature_specs(self) -> tuple[FeatureSpec, ...]:
        return tuple(feature.spec() for feature in self.features)

    def config_hash(self) -> str:
        """Return 16 hexadecimal digits that change exactly when something changes that changes the segments."""
        return digest({**self._scope(), **{name: getattr(self, name) for name in ("params", "key", "seed")}})

    def scope_hash(self) -> str:
        """Return the same of what has to be equal for two versions to be compared by gates."""
        return digest(self._scope())

    def _scope(self) -> dict[str, Any]:
        count = self.n_clusters
        return {
            "source": self.source,
            "query": self.query_text,
            "where": self.where,
            "features": [asdict(spec) for spec in self.feature_specs()],
            "n_clusters": [count.min, count.max] if isinstance(count, ClusterRange) else count,
        }


def digest(identity: Mapping[str, Any]) -> str:
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
