"""What the rest of the job gets from a valid configuration."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from segjob.config import load, resources
from segjob.config.segmentation import Segmentation
from segjob.errors import ConfigurationError, InternalError
from segjob.records.source import FeatureSpec, SourceSpec
from tests.unit.config.conftest import Project, shop


@pytest.fixture
def segmentation(project: Project) -> Any:
    def load_shop(*left_out: str, **keys: Any) -> Segmentation:
        return project.load(shop(*left_out, **keys)).segmentation("shop")

    return load_shop


def test_importing_the_configuration_loads_nothing_heavy() -> None:
    heavy = ("torch", "sqlalchemy", "pandas", "numpy", "pyarrow", "psycopg", "alembic", "scipy")
    program = f"import sys, segjob.config; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# The database


@pytest.mark.parametrize(
    ("url", "conninfo"),
    [
        ("postgres://u:p%40ss@h:5433/db?sslmode=verify-full", "postgresql://u:p%40ss@h:5433/db?sslmode=verify-full"),
        ("postgresql://h/db", "postgresql://h/db"),
        ("postgresql+psycopg://h/db", "postgresql://h/db"),
        ("postgresql+psycopg2:///db?host=/tmp", "postgresql:///db?host=/tmp"),
        (" postgresql://h/db\n", "postgresql://h/db"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_url_becomes_what_libpq_reads(project: Project, url: str | None, conninfo: str) -> None:
    database = project.load({"database": {"url": url}, **shop()}).database
    assert database.conninfo == conninfo
    assert database.embedded_dir is None


def test_the_bundled_server_lies_relative_to_the_file(project: Project) -> None:
    (project.folder / "etc").mkdir()
    project.write({"database": {"url": "embedded:.segjob/postgres"}, **shop()}).rename("etc/segjob.yaml")
    database = load(Path("etc/segjob.yaml")).database
    assert database.embedded_dir == project.folder / "etc/.segjob/postgres"
    with pytest.raises(InternalError):
        _ = database.conninfo


def test_an_absolute_folder_of_the_bundled_server_stays(project: Project) -> None:
    assert project.load({"database": {"url": "embedded:/data"}, **shop()}).database.embedded_dir == Path("/data")


def test_the_bundled_server_needs_a_folder(project: Project) -> None:
    assert project.refusal({"database": {"url": "embedded:"}, **shop()}) == (
        "segjob.yaml: database.url: embedded: names no folder; write embedded:.segjob/postgres, for example"
    )


def test_schemas_and_roles_have_defaults(project: Project) -> None:
    database = project.load(shop()).database
    assert (database.public_schema, database.private_schema) == ("segments", "segjob")
    assert (database.analysts, database.job_role) == ((), None)


def test_schemas_and_roles_can_be_set(project: Project) -> None:
    given = {"schema": "bi", "private_schema": "bi_private", "analysts": ["Finance Team"], "job_role": "job"}
    database = project.load({"database": given, **shop()}).database
    assert (database.public_schema, database.private_schema) == ("bi", "bi_private")
    assert (database.analysts, database.job_role) == (("Finance Team",), "job")


# Resources


@pytest.mark.parametrize(
    ("memory", "budget"),
    [("1GiB", 2**30), ("512MiB", 2**29), ("900MB", 900_000_000), ("1.5 GiB", 3 * 2**29), (2**30, 2**30)],
)
def test_memory_is_read_with_its_unit(project: Project, memory: str | int, budget: int) -> None:
    assert project.load({"resources": {"memory": memory}, **shop()}).resources.memory_budget == budget


def test_resources_default_to_what_the_container_allows(project: Project) -> None:
    given = project.load(shop()).resources
    assert given.memory_budget == resources.default_memory()
    assert (given.connections, given.device) == (4, "auto")
    assert given.spool_folder == Path(tempfile.gettempdir())


def test_the_spool_lies_relative_to_the_file(project: Project) -> None:
    assert project.load({"resources": {"spool_dir": "spool"}, **shop()}).resources.spool_folder == (
        project.folder / "spool"
    )


# Segmentations


def test_the_least_configuration_gets_every_default(segmentation: Any) -> None:
    loaded = segmentation()
    assert loaded.key == ("customer_id",)
    assert loaded.source_spec() == SourceSpec(relation="public.customer_features")
    assert loaded.feature_specs() == (FeatureSpec("annual_income"),)
    assert (loaded.n_clusters, loaded.seed, loaded.names, loaded.colors) == (8, 42, {}, {})


def test_features_become_specs(segmentation: Any) -> None:
    given = {
        "column": "monetary",
        "transform": "log1p",
        "scale": "robust",
        "impute": "exclude",
        "clip": [0.001, 0.999],
        "weight": 2,
    }
    onehot = {"column": "gender", "encode": "onehot", "weight": 0.5}
    assert segmentation(features=["age", given, onehot]).feature_specs() == (
        FeatureSpec("age"),
        FeatureSpec("monetary", "log1p", "robust", "exclude", (0.001, 0.999), 2.0),
        FeatureSpec("gender", weight=0.5, onehot=True),
    )


def test_a_key_may_have_three_columns(segmentation: Any) -> None:
    assert segmentation(key=["tenant", "Customer Id", "n"]).key == ("tenant", "Customer Id", "n")


def test_an_unknown_segmentation_is_refused_with_the_nearest_name(project: Project) -> None:
    settings = project.load(shop())
    with pytest.raises(ConfigurationError) as refused:
        settings.segmentation("shpo")
    assert str(refused.value) == "segjob.yaml: segmentations.shpo: unknown segmentation; did you mean shop?"
    with pytest.raises(ConfigurationError, match=r"unknown segmentation; known are shop$"):
        settings.segmentation("mall")


def test_a_query_file_lies_relative_to_the_file_and_is_taken_as_it_is(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.folder / "etc").mkdir()
    (project.folder / "etc/features.sql").write_text("SELECT '${HOME}' -- $$\n", encoding="utf-8-sig")
    project.write(shop("source", query_file="features.sql")).rename("etc/segjob.yaml")
    monkeypatch.setenv("SEGJOB_CONFIG", "etc/segjob.yaml")
    loaded = load().segmentation("shop")
    (project.folder / "etc/features.sql").unlink()
    assert loaded.source_spec() == SourceSpec(query="SELECT '${HOME}' -- $$\n")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "can not read {}: No such file or directory"), (b"\xff", "{} is not UTF-8"), (b" \n", "{} is empty")],
)
def test_a_query_file_that_can_not_be_used_is_refused(project: Project, content: bytes | None, problem: str) -> None:
    path = project.folder / "features.sql"
    if content is not None:
        path.write_bytes(content)
    refusal = project.refusal(shop("source", query_file="features.sql"))
    assert refusal == f"segjob.yaml: segmentations.shop.query_file: {problem.format(path)}"


def test_optional_text_that_is_empty_is_absent(segmentation: Any) -> None:
    loaded = segmentation("source", source="${SEGJOB_NOWHERE:-}", query="SELECT 1", where=" ", query_file="")
    assert loaded.source_spec() == SourceSpec(query="SELECT 1")


# Parameters


@pytest.mark.parametrize(
    ("configured", "given", "expected"),
    [
        ("today", "2026-10-31", "2026-10-31"),
        (date(2026, 1, 1), "2026-10-31", date(2026, 10, 31)),
        (datetime(2026, 1, 1, 12), "2026-10-31T08:00:00", datetime(2026, 10, 31, 8)),
        (1, "7", 7),
        (0.5, "0.25", 0.25),
        (True, "false", False),
        (None, "7", "7"),
    ],
)
def test_a_parameter_of_the_command_line_gets_the_configured_type(
    segmentation: Any, configured: object, given: str, expected: object
) -> None:
    spec = segmentation("source", query="SELECT :a", params={"a": configured, "b": 1}).source_spec({"a": given})
    assert spec.params == {"a": expected, "b": 1}
    assert type(spec.params["a"]) is type(expected)


def test_an_unknown_parameter_is_refused_with_the_nearest_name(segmentation: Any) -> None:
    loaded = segmentation("source", query="SELECT :as_of", params={"as_of": "today"})
    with pytest.raises(ConfigurationError, match=r"^--param asof: unknown parameter; did you mean as_of\?$"):
        loaded.source_spec({"asof": "today"})
    with pytest.raises(ConfigurationError, match=r"^--param a: unknown parameter; there is none$"):
        segmentation().source_spec({"a": "b"})


def test_a_parameter_of_the_wrong_type_is_refused_without_its_value(segmentation: Any) -> None:
    loaded = segmentation("source", query="SELECT :n", params={"n": date(2026, 1, 1)})
    with pytest.raises(ConfigurationError) as refused:
        loaded.source_spec({"n": "hunter2"})
    assert str(refused.value) == "--param n: must be of type date, as configured"


# The hash


def test_the_hash_of_a_configuration_stays_the_same_from_release_to_release(segmentation: Any) -> None:
    assert segmentation().config_hash() == "3f81c8426c9681d6"


@pytest.mark.parametrize(
    "keys",
    [
        {"source": "public.other"},
        {"where": "active"},
        {"params": {"a": 1}},
        {"key": ["customer_id", "tenant"]},
        {"features": ["annual_income", "age"]},
        {"features": [{"column": "annual_income", "weight": 2}]},
        {"features": [{"column": "annual_income", "encode": "onehot"}]},
        {"n_clusters": 7},
        {"seed": 1},
    ],
)
def test_what_changes_the_segments_changes_the_hash(segmentation: Any, keys: dict[str, Any]) -> None:
    assert segmentation(**keys).config_hash() != segmentation().config_hash()


@pytest.mark.parametrize(
    "keys",
    [
        {"names": {1: "Big"}, "colors": {1: "#1b9e77"}, "history": False},
        {"key": ["customer_id"], "where": None, "seed": 42},
        {"features": [{"column": "annual_income", "scale": "standard", "weight": 1}]},
    ],
)
def test_what_changes_no_segment_keeps_the_hash(segmentation: Any, keys: dict[str, Any]) -> None:
    assert segmentation(**keys).config_hash() == segmentation().config_hash()


@pytest.mark.parametrize(
    "keys", [{"source": "public.other"}, {"where": "active"}, {"features": ["age"]}, {"n_clusters": 7}]
)
def test_versions_can_be_compared_while_source_filter_features_and_number_are_the_same(
    segmentation: Any, keys: dict[str, Any]
) -> None:
    assert segmentation(**keys).scope_hash() != segmentation().scope_hash()
    assert segmentation(seed=1, params={"a": 1}, names={1: "Big"}).scope_hash() == segmentation().scope_hash()


def test_a_query_has_the_same_hash_wherever_it_is_written(project: Project, segmentation: Any) -> None:
    (project.folder / "q.sql").write_text("SELECT 1")
    in_a_file = segmentation("source", query_file="q.sql").config_hash()
    assert in_a_file == segmentation("source", query="SELECT 1").config_hash()
    assert in_a_file != segmentation("source", query="SELECT 2").config_hash()
