"""The whole file of the contract: its schema, and what of it belongs to a later release."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import jsonschema
import pytest
import yaml

from segjob.config import config_schema
from segjob.config.segmentation import ClusterRange, Gate, Gates
from segjob.records.source import FeatureSpec, SourceSpec
from tests.unit.config.conftest import Project, shop

EXAMPLE = """\
# yaml-language-server: $schema=./segjob.schema.json
database:
  url: ${DATABASE_URL}
  source_url: ${REPLICA_URL:-}
  schema: segments
  private_schema: segjob
  analysts: [bi_reader]
  job_role: segjob_job
resources:
  memory: 1GiB
  connections: 4
  device: auto
  spool_dir: /tmp
segmentations:
  shop:
    source: public.customer_features
    where: "country = 'DE'"
    parallel_safe: false
    key: customer_id
    features:
      - annual_income
      - column: monetary
        transform: log1p
        scale: robust
        impute: median
        clip: [0.001, 0.999]
        weight: 2.0
      - column: gender
        encode: onehot
    n_clusters: {min: 3, max: 12}
    seed: 42
    names: {1: Big spenders}
    colors: {1: "#1b9e77"}
    watermark: updated_at
    gates:
      min_customers: {refuse: 100}
      max_volume_change: {warn: 0.2, refuse: 0.5}
      min_silhouette: {warn: 0.25, refuse: 0.1}
      min_segment_share: {refuse: 0.001}
      max_label_churn: {warn: 0.2, refuse: 0.5}
    drift: {max_psi: 0.25, max_far_share: 0.05}
    keep_versions: 12
    history: true
"""


@pytest.fixture
def schema() -> dict[str, Any]:
    return config_schema()


def is_valid(document: Any, schema: dict[str, Any]) -> bool:
    """Judge a document as tools do for YAML: every key is text."""
    as_json = json.loads(json.dumps(document, default=str))
    return bool(jsonschema.Draft202012Validator(schema).is_valid(as_json))


def test_the_example_is_read_as_a_whole(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://u@h/db")
    settings = project.load(yaml.safe_load(EXAMPLE))
    loaded = settings.segmentation("shop")
    assert settings.database.conninfo == "postgresql://u@h/db"
    assert settings.resources.memory_budget == 2**30
    assert loaded.source_spec() == SourceSpec(relation="public.customer_features", where="country = 'DE'")
    assert loaded.feature_specs() == (
        FeatureSpec("annual_income"),
        FeatureSpec("monetary", "log1p", "robust", "median", (0.001, 0.999), 2.0),
        FeatureSpec("gender", onehot=True),
    )
    assert isinstance(loaded.n_clusters, ClusterRange)
    assert (list(loaded.n_clusters.numbers), loaded.least_clusters) == ([*range(3, 13)], 3)
    assert loaded.seed == 42
    assert loaded.gates == Gates(
        min_customers=Gate(refuse=100),
        min_silhouette=Gate(warn=0.25, refuse=0.1),
        min_segment_share=Gate(refuse=0.001),
    )
    assert (loaded.names, loaded.colors) == ({1: "Big spenders"}, {1: "#1b9e77"})


# What may be left out


@pytest.mark.parametrize(
    "content",
    [
        {"database": {"source_url": ""}, **shop()},
        {"database": {"source_url": None}, **shop()},
    ],
)
def test_a_url_that_is_empty_counts_as_none(project: Project, content: dict[str, Any]) -> None:
    assert project.load(content).database.source is None


def test_what_is_called_safe_reaches_the_reader_and_changes_no_segment(project: Project) -> None:
    safe, plain = (project.load(shop(parallel_safe=word)).segmentation("shop") for word in (True, False))
    assert (safe.source_spec().parallel_safe, plain.source_spec().parallel_safe) == (True, False)
    assert safe.config_hash() == plain.config_hash()


# The schema


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], bool]]:
    for model, definition in {"Settings": schema, **schema["$defs"]}.items():
        for name, value in definition["properties"].items():
            yield model, name, value, name in definition.get("required", [])


def test_the_schema_is_a_valid_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    json.dumps(schema)


def test_every_key_is_explained_and_has_a_default_or_is_required(schema: dict[str, Any]) -> None:
    for model, name, value, required in properties(schema):
        assert value["description"].endswith("."), f"{model}.{name}"
        assert required != ("default" in value), f"{model}.{name}"


def test_a_default_of_null_is_put_in_words(schema: dict[str, Any]) -> None:
    in_words = {"source", "query", "query_file", "encode", "warn", "refuse"}  # absent means absent
    for model, name, value, required in properties(schema):
        if not required and value["default"] is None and name not in in_words:
            assert "Default: " in value["description"], f"{model}.{name}"


def test_every_default_is_valid(schema: dict[str, Any]) -> None:
    for model, name, value, required in properties(schema):
        if not required:
            validator = jsonschema.Draft202012Validator({**value, "$defs": schema["$defs"]})
            assert validator.is_valid(value["default"]), f"{model}.{name}"


def test_the_schema_states_the_defaults_of_the_contract(schema: dict[str, Any]) -> None:
    defaults = {f"{model}.{name}": value.get("default") for model, name, value, _ in properties(schema)}
    assert {key: defaults[f"Segmentation.{key}"] for key in ("keep_versions", "history", "parallel_safe", "drift")} == {
        "keep_versions": 12,
        "history": True,
        "parallel_safe": False,
        "drift": {"max_psi": 0.25, "max_far_share": 0.05},
    }
    assert defaults["Segmentation.gates"] == {
        "min_customers": None,
        "max_volume_change": {"warn": 0.2, "refuse": 0.5},
        "min_silhouette": {"warn": 0.1, "refuse": None},
        "min_segment_share": None,
        "max_label_churn": {"warn": 0.2, "refuse": 0.5},
    }
    feature = {key: defaults[f"Feature.{key}"] for key in ("transform", "scale", "impute", "clip", "weight", "encode")}
    assert feature == {
        "transform": "none",
        "scale": "standard",
        "impute": "median",
        "clip": None,
        "weight": 1.0,
        "encode": None,
    }


def test_the_example_fits_the_schema_as_a_tool_sees_it(project: Project, schema: dict[str, Any]) -> None:
    project.write(EXAMPLE)
    (project.folder / "segjob.schema.json").write_text(json.dumps(schema))
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", "segjob.schema.json", "segjob.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project.folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {"n_cluster": 3},
        {"n_clusters": 0},
        {"n_clusters": "8"},
        {"n_clusters": {"min": 1, "max": 4}},
        {"n_clusters": {"min": 2, "max": 101}},
        {"key": []},
        {"features": []},
        {"features": [{"column": "a", "weight": 0}]},
        {"features": [{"column": "a", "scale": "max"}]},
        {"query": "SELECT 1"},
        {"names": {"one": "a"}},
        {"colors": {1: "green"}},
        {"params": {"1a": 1}},
        {"gates": {"min_silhouete": None}},
    ],
)
def test_the_schema_refuses_what_loading_refuses(schema: dict[str, Any], changes: dict[str, Any]) -> None:
    assert is_valid(shop(), schema)
    assert not is_valid(shop(**changes), schema)


def test_the_schema_refuses_mistakes_outside_the_segmentations(schema: dict[str, Any]) -> None:
    assert not is_valid({**shop(), "databse": {}}, schema)
    assert not is_valid({**shop(), "resources": {"memory": "1Gi"}}, schema)
    assert not is_valid({"segmentations": {"Shop": shop()["segmentations"]["shop"]}}, schema)
    assert not is_valid({"database": {}}, schema)


def test_the_schema_accepts_anchors_at_the_top(schema: dict[str, Any]) -> None:
    assert is_valid({"x-anything": [1, {"a": None}], **deepcopy(shop())}, schema)
