"""The tables of the private schema, as SQLAlchemy sees them; the migrations make them, a test holds both together."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

PRIVATE = "$private"  # the engine puts the configured schema in its place
metadata = MetaData(schema=PRIVATE)

timestamptz = DateTime(timezone=True)


def required(name: str, kind: type[TypeEngine[Any]] | TypeEngine[Any]) -> Column[Any]:
    return Column(name, kind, nullable=False)


def scores(name: str = "silhouette") -> list[Column[Any]]:
    """A silhouette with how it was come by."""
    return [
        Column(name, Double),
        Column(f"{name}_low", Double),
        Column(f"{name}_high", Double),
        required(f"{name}_method", Text),
        required(f"{name}_n_sampled", BigInteger),
        required(f"{name}_exact", Boolean),
    ]


segmentation = Table(
    "segmentation",
    metadata,
    Column("segmentation", Text, primary_key=True),
    required("key_columns", JSONB),
    required("feature_columns", JSONB),
    Column("fit_due", Boolean, nullable=False, server_default="false"),
    Column("created_at", timestamptz, nullable=False, server_default=func.now()),
    Column("migrated_at", timestamptz, nullable=False, server_default=func.now()),
    comment="One row a configured segmentation, with the key and features that its objects were made for.",
)

run = Table(
    "run",
    metadata,
    Column("run_id", BigInteger, Identity(always=True), primary_key=True),
    Column("segmentation", Text, ForeignKey("$private.segmentation.segmentation"), nullable=False),
    required("kind", Text),
    Column("status", Text, nullable=False, server_default="running"),
    Column("started_at", timestamptz, nullable=False, server_default=func.clock_timestamp()),
    Column("finished_at", timestamptz),
    Column("version_id", Integer),
    Column("rows_read", BigInteger),
    Column("rows_labelled", BigInteger),
    Column("seconds", JSONB, nullable=False, server_default="{}"),
    Column("warnings", JSONB, nullable=False, server_default="[]"),
    Column("exit_code", Integer),
    Column("error", Text),
    required("program_version", Text),
    required("config_hash", Text),
    Column("params", JSONB, nullable=False, server_default="{}"),
    CheckConstraint("kind IN ('run', 'score', 'choose_k', 'publish', 'rollback', 'prune', 'forget')"),
    CheckConstraint("status IN ('running', 'succeeded', 'rejected', 'failed', 'stopped', 'lost')"),
    Index("run_segmentation", "segmentation", "run_id"),
    comment="One row an execution of the job, from the moment it holds the lock.",
)

version = Table(
    "version",
    metadata,
    Column("segmentation", Text, ForeignKey("$private.segmentation.segmentation"), nullable=False),
    required("version_id", Integer),
    Column("parent_version_id", Integer),
    Column("run_id", BigInteger, ForeignKey("$private.run.run_id"), nullable=False),
    required("status", Text),
    Column("created_at", timestamptz, nullable=False, server_default=func.clock_timestamp()),
    Column("published_at", timestamptz),
    required("data_as_of", timestamptz),
    required("n_customers", BigInteger),
    required("n_unlabelled", BigInteger),
    required("n_segments", Integer),
    required("inertia", Double),
    *scores(),
    *scores("squared_silhouette"),
    Column("davies_bouldin", Double),
    Column("calinski_harabasz", Double),
    Column("label_churn", Double),
    required("seed", BigInteger),
    required("config_hash", Text),
    Column("scope_hash", Text, nullable=False, server_default=""),
    Column("watermark", Text),
    Column("gated", Boolean, nullable=False, server_default="false"),
    required("grid_exponent", Integer),
    required("stages", JSONB),
    PrimaryKeyConstraint("segmentation", "version_id"),
    CheckConstraint("version_id > 0"),
    CheckConstraint("status IN ('staged', 'rejected', 'published', 'superseded', 'pruned')"),
    comment="One row a successful fit; never changes but for its status.",
)

VERSION_KEY = ["$private.version.segmentation", "$private.version.version_id"]

segment = Table(
    "segment",
    metadata,
    required("segmentation", Text),
    required("version_id", Integer),
    required("segment_id", Integer),
    required("segment_name", Text),
    required("color", Text),
    required("n_customers", BigInteger),
    required("n_customers_now", BigInteger),
    required("share", Double),
    required("inertia", Double),
    *scores(),
    *scores("squared_silhouette"),
    Column("rule", Text),
    Column("rule_precision", Double),
    Column("rule_recall", Double),
    required("distance_p99", Double),
    required("origin", Text),
    required("from_segment_ids", ARRAY(Integer)),
    PrimaryKeyConstraint("segmentation", "version_id", "segment_id"),
    ForeignKeyConstraint(["segmentation", "version_id"], VERSION_KEY),
    CheckConstraint("segment_id > 0"),
    CheckConstraint("origin IN ('kept', 'split', 'merged', 'new')"),
    comment="The segments of each version.",
)

k_candidate = Table(
    "k_candidate",
    metadata,
    Column("segmentation", Text, ForeignKey("$private.segmentation.segmentation"), nullable=False),
    Column("run_id", BigInteger, ForeignKey("$private.run.run_id"), nullable=False),
    required("n_clusters", Integer),
    required("inertia", Double),
    *scores(),
    Column("davies_bouldin", Double),
    Column("calinski_harabasz", Double),
    Column("smallest_share", Double),
    Column("stability", Double),
    required("suggested", Boolean),
    PrimaryKeyConstraint("run_id", "n_clusters"),
    CheckConstraint("n_clusters > 0"),
    Index("k_candidate_segmentation", "segmentation", "run_id"),
    comment="The numbers of segments that a run tried, with the scores of each.",
)

gate = Table(
    "gate",
    metadata,
    required("segmentation", Text),
    required("version_id", Integer),
    required("gate", Text),
    Column("value", Double),
    Column("warn", Double),
    Column("refuse", Double),
    required("result", Text),
    PrimaryKeyConstraint("segmentation", "version_id", "gate"),
    ForeignKeyConstraint(["segmentation", "version_id"], VERSION_KEY),
    CheckConstraint("result IN ('passed', 'warned', 'refused', 'skipped')"),
    comment="What each gate measured of each version, and what followed from it.",
)

transition = Table(
    "transition",
    metadata,
    required("segmentation", Text),
    required("from_version_id", Integer),
    required("to_version_id", Integer),
    Column("from_segment_id", Integer),
    Column("to_segment_id", Integer),
    required("n_customers", BigInteger),
    Column("n_features_moved", BigInteger),
    Column("n_model_moved", BigInteger),
    ForeignKeyConstraint(["segmentation", "from_version_id"], VERSION_KEY),
    ForeignKeyConstraint(["segmentation", "to_version_id"], VERSION_KEY),
    CheckConstraint("from_segment_id IS NOT NULL OR to_segment_id IS NOT NULL"),
    Index("transition_versions", "segmentation", "from_version_id", "to_version_id"),
    comment="How many customers went from which segment to which, between two versions.",
)

feature_profile = Table(
    "feature_profile",
    metadata,
    required("segmentation", Text),
    required("version_id", Integer),
    required("ordinal", Integer),
    required("feature", Text),
    required("column_name", Text),
    Column("position", Integer),
    required("family", Text),
    required("transform", Text),
    required("scaling", Text),
    required("impute", Text),
    Column("impute_value", Double),
    Column("clip_low", Double),
    Column("clip_high", Double),
    required("center", Double),
    required("scale", Double),
    required("weight", Double),
    required("origin", Double),
    Column("category", Text),
    required("n_missing", BigInteger),
    required("n_clipped", BigInteger),
    Column("minimum", Double),
    Column("maximum", Double),
    Column("population_mean", Double),
    Column("population_std", Double),
    Column("population_median", Double),
    PrimaryKeyConstraint("segmentation", "version_id", "ordinal"),
    UniqueConstraint("segmentation", "version_id", "feature"),
    ForeignKeyConstraint(["segmentation", "version_id"], VERSION_KEY),
    CheckConstraint("family IN ('number', 'boolean', 'date', 'timestamp', 'text')"),
    CheckConstraint("transform IN ('none', 'log1p')"),
    CheckConstraint("scaling IN ('standard', 'robust', 'minmax', 'none')"),
    CheckConstraint("impute IN ('median', 'mean', 'zero', 'exclude')"),
    comment="The constants of each version: how a source value becomes a coordinate.",
)

centroid = Table(
    "centroid",
    metadata,
    required("segmentation", Text),
    required("version_id", Integer),
    required("segment_id", Integer),
    required("feature", Text),
    required("value", Double),
    required("scaled_value", Double),
    required("grid_value", BigInteger),
    Column("segment_mean", Double),
    Column("segment_median", Double),
    Column("difference", Double),
    PrimaryKeyConstraint("segmentation", "version_id", "segment_id", "feature"),
    ForeignKeyConstraint(
        ["segmentation", "version_id", "segment_id"],
        ["$private.segment.segmentation", "$private.segment.version_id", "$private.segment.segment_id"],
    ),
    ForeignKeyConstraint(
        ["segmentation", "version_id", "feature"],
        [
            "$private.feature_profile.segmentation",
            "$private.feature_profile.version_id",
            "$private.feature_profile.feature",
        ],
    ),
    comment="The centre of each segment, one row a clustered feature.",
)

model = Table(
    "model",
    metadata,
    required("segmentation", Text),
    required("version_id", Integer),
    required("features", ARRAY(Text)),
    required("unit", Double),
    *(
        required(name, ARRAY(Double))
        for name in ("above", "low", "high", "imputed", "center", "scale", "weight", "negligible", "origin")
    ),
    required("logarithmic", ARRAY(Boolean)),
    required("required", ARRAY(Boolean)),
    required("first_column", ARRAY(Integer)),
    required("last_column", ARRAY(Integer)),
    required("categories", ARRAY(Text)),
    required("category_scores", ARRAY(Double)),
    required("category_squares", ARRAY(Double)),
    required("factors", ARRAY(Double)),
    required("squares", ARRAY(Double)),
    required("segment_ids", ARRAY(Integer)),
    PrimaryKeyConstraint("segmentation", "version_id"),
    ForeignKeyConstraint(["segmentation", "version_id"], VERSION_KEY),
    comment="The model of each version as arrays, for the functions that label a customer.",
)

sample_row = Table(
    "sample_row",
    metadata,
    required("segmentation", Text),
    required("version_id", Integer),
    required("ordinal", Integer),
    required("key_hash", BigInteger),
    required("segment_id", Integer),
    required("source_values", JSONB),
    required("scaled_values", ARRAY(Double)),
    Column("silhouette", Double),
    PrimaryKeyConstraint("segmentation", "version_id", "ordinal"),
    comment="At most 5,000 customers a version, for reports; a hash stands for the key.",
)

published = Table(
    "published",
    metadata,
    Column("segmentation", Text, ForeignKey("$private.segmentation.segmentation"), primary_key=True),
    required("version_id", Integer),
    required("publication", Integer),
    required("published_at", timestamptz),
    Column("run_id", BigInteger, ForeignKey("$private.run.run_id"), nullable=False),
    ForeignKeyConstraint(["segmentation", "version_id"], VERSION_KEY),
    comment="The pointer: the one version of each segmentation that analysts see.",
)

publication = Table(
    "publication",
    metadata,
    Column("segmentation", Text, ForeignKey("$private.segmentation.segmentation"), nullable=False),
    required("publication", Integer),
    required("kind", Text),
    required("version_id", Integer),
    required("published_at", timestamptz),
    Column("run_id", BigInteger, ForeignKey("$private.run.run_id"), nullable=False),
    Column("forced", Boolean, nullable=False, server_default="false"),
    Column("reason", Text),
    Column("begins_history", Boolean, nullable=False, server_default="false"),
    PrimaryKeyConstraint("segmentation", "publication"),
    ForeignKeyConstraint(["segmentation", "version_id"], VERSION_KEY),
    CheckConstraint("kind IN ('run', 'score', 'publish', 'rollback')"),
    comment="Every move of the pointer, counted from 1 a segmentation.",
)
