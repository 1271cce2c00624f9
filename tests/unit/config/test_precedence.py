"""Command line over environment over secrets over file, and what a message says of where a value comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from segjob.config import load, load_database
from segjob.errors import ConfigurationError
from tests.unit.config.conftest import Project, shop

FILE = {"database": {"url": "postgresql://file/db", "schema": "of_file"}, **shop(seed=1)}


@pytest.fixture
def secrets(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = project.folder / "secrets"
    folder.mkdir()
    monkeypatch.setenv("SEGJOB_SECRETS_DIR", str(folder))
    return folder


def test_each_place_wins_over_those_below_it(project: Project, secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert project.load(FILE).database.conninfo == "postgresql://file/db"
    (secrets / "DATABASE_URL").write_text("postgresql://secret/db\n")
    assert project.load(FILE).database.conninfo == "postgresql://secret/db"
    monkeypatch.setenv("DATABASE_URL", "postgresql://environment/db")
    assert project.load(FILE).database.conninfo == "postgresql://environment/db"
    overrides = {"database": {"url": "postgresql://option/db"}}
    assert project.load(FILE, overrides).database.conninfo == "postgresql://option/db"
    assert project.load(FILE, overrides).database.public_schema == "of_file", "what nobody replaces stays"


def test_the_nested_name_wins_over_the_short_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGJOB__DATABASE__URL", "postgresql://nested/db")
    monkeypatch.setenv("DATABASE_URL", "postgresql://short/db")
    assert project.load(FILE).database.conninfo == "postgresql://nested/db"


def test_an_option_that_was_not_given_and_an_empty_variable_change_nothing(
    project: Project, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("SEGJOB__SEGMENTATIONS__SHOP__SEED", "")
    (secrets / "SEGJOB__DATABASE__SCHEMA").write_text("\n")
    settings = project.load(FILE, {"database": {"url": None}, "resources": {}})
    assert settings.database.conninfo == "postgresql://file/db"
    assert settings.database.public_schema == "of_file"
    assert settings.segmentation("shop").seed == 1


def test_variables_reach_every_depth(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGJOB__SEGMENTATIONS__SHOP__N_CLUSTERS", "7")
    monkeypatch.setenv("SEGJOB__SEGMENTATIONS__SHOP__FEATURES", "[age, {column: income, scale: none}]")
    monkeypatch.setenv("SEGJOB__SEGMENTATIONS__SHOP__NAMES__1", "Big spenders")
    monkeypatch.setenv("SEGJOB__RESOURCES__MEMORY", "512MiB")
    monkeypatch.setenv("SEGJOB__DATABASE__ANALYSTS", '["bi_reader", "finance"]')
    settings = project.load({**FILE, **shop(names={1: "One", 2: "Two"})})
    segmentation = settings.segmentation("shop")
    assert segmentation.n_clusters == 7
    assert [(spec.column, spec.scale) for spec in segmentation.feature_specs()] == [
        ("age", "standard"),
        ("income", "none"),
    ]
    assert segmentation.names == {1: "Big spenders", 2: "Two"}
    assert settings.resources.memory_budget == 2**29
    assert settings.database.analysts == ("bi_reader", "finance")


def test_a_variable_finds_a_parameter_whatever_its_capitals(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGJOB__SEGMENTATIONS__SHOP__PARAMS__ASOF", "today")
    assert project.load(shop(params={"asOf": "never"})).segmentation("shop").params == {"asOf": "today"}


def test_what_a_variable_holds_is_taken_as_it_is(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:pa$$w${ord}@h/db")
    assert project.load(FILE).database.conninfo == "postgresql://u:pa$$w${ord}@h/db"
    monkeypatch.setenv("SEGJOB__SEGMENTATIONS__SHOP__WHERE", "[not a list")
    assert project.load(FILE).segmentation("shop").where == "[not a list"


def test_a_variable_of_the_file_that_nobody_needs_may_be_unset(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"database": {"url": "${SEGJOB_NOWHERE}"}, **shop(n_clusters="${SEGJOB_NEITHER}")}
    monkeypatch.setenv("DATABASE_URL", "postgresql://environment/db")
    loaded = project.load(content, {"segmentations": {"shop": {"n_clusters": 3}}})
    assert loaded.database.conninfo == "postgresql://environment/db"
    assert loaded.segmentation("shop").n_clusters == 3


# Secrets


def test_secrets_are_found_in_any_case_and_lose_their_last_newline(project: Project, secrets: Path) -> None:
    (secrets / "database_url").write_text("postgresql://secret/db\r\n")
    (secrets / "segjob__segmentations__SHOP__n_clusters").write_text("7\n")
    (secrets / "..data").mkdir()
    (secrets / "something.p12").write_bytes(b"\xff\xfe")
    settings = project.load(FILE)
    assert settings.database.conninfo == "postgresql://secret/db"
    assert settings.segmentation("shop").n_clusters == 7


def test_variables_of_the_file_are_looked_up_among_the_secrets_too(
    project: Project, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secrets / "db_password").write_text("hunter2\n")
    (secrets / "host").write_text("secret")
    monkeypatch.setenv("HOST", "environment")
    content = {"database": {"url": "postgresql://u:${DB_PASSWORD}@${HOST}/db"}, **shop()}
    assert project.load(content).database.conninfo == "postgresql://u:hunter2@environment/db"


def test_the_usual_folder_of_secrets_may_be_missing_but_a_named_one_may_not(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = project.folder / "usual"
    monkeypatch.setattr("segjob.config.loading.DEFAULT_SECRETS", usual)
    assert project.load(FILE).database.conninfo == "postgresql://file/db"
    usual.mkdir()
    (usual / "DATABASE_URL").write_text("postgresql://secret/db")
    assert project.load(FILE).database.conninfo == "postgresql://secret/db"
    monkeypatch.setenv("SEGJOB_SECRETS_DIR", "nowhere")
    assert project.refusal(FILE) == "SEGJOB_SECRETS_DIR: nowhere is not a folder"


def test_a_secret_that_is_not_text_is_refused_by_its_path(project: Project, secrets: Path) -> None:
    (secrets / "DATABASE_URL").write_bytes(b"\xff")
    assert project.refusal(FILE) == f"secret {secrets / 'DATABASE_URL'}: is not UTF-8"


# Where a wrong value comes from


def test_a_message_names_the_variable_secret_or_option(
    project: Project, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGJOB__SEGMENTATIONS__SHOP__N_CLUSTERS", "many")
    monkeypatch.setenv("SEGJOB__DATABSE__URL", "postgresql://u:hunter2@h/db")
    (secrets / "SEGJOB__RESOURCES__CONNECTIONS").write_text("hunter2")
    assert sorted(project.refusal(shop(seed=-1), {"resources": {"device": "gpu"}}).splitlines()) == [
        "command line: resources.device: must be auto, cpu or cuda (did you mean cpu?), not 'gpu'",
        f"secret {secrets / 'SEGJOB__RESOURCES__CONNECTIONS'}: resources.connections: must be a whole number",
        "segjob.yaml: segmentations.shop.seed: must be at least 0, not -1",
        "variable SEGJOB__DATABSE__URL: databse: unknown key; did you mean database?",
        "variable SEGJOB__SEGMENTATIONS__SHOP__N_CLUSTERS: segmentations.shop.n_clusters: "
        "must be a whole number, not 'many'",
    ]


def test_a_variable_for_a_segmentation_that_nobody_defines_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGJOB__SEGMENTATIONS__SHIP__N_CLUSTERS", "7")
    assert project.refusal(shop()) == (
        "variable SEGJOB__SEGMENTATIONS__SHIP__N_CLUSTERS: segmentations.ship.n_clusters: "
        "unknown segmentation; did you mean shop?"
    )


def test_a_whole_segmentation_may_come_from_a_variable(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGJOB__SEGMENTATIONS__MALL", "{query: SELECT 1, key: id, features: [a], n_clusters: 2}")
    monkeypatch.setenv("SEGJOB__SEGMENTATIONS__MALL__SEED", "7")
    mall = project.load(shop()).segmentation("mall")
    assert (mall.query_text, mall.seed) == ("SELECT 1", 7)


# The database alone


def test_the_database_is_known_before_there_is_a_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_database().conninfo == ""
    monkeypatch.setenv("DATABASE_URL", "postgres://environment/db")
    assert load_database().conninfo == "postgresql://environment/db"
    assert load_database(None, {"database": {"url": "embedded:pg"}}).embedded_dir == project.folder / "pg"


def test_the_database_alone_is_read_from_the_file_when_there_is_one(project: Project) -> None:
    project.write({**FILE, "segmentations": {"shop": {"source": "${SEGJOB_NOWHERE}"}}})
    assert load_database().conninfo == "postgresql://file/db"
    project.write({"database": {"urll": "x"}})
    with pytest.raises(ConfigurationError, match=r"^segjob\.yaml: database\.urll: unknown key; did you mean url\?$"):
        load_database()


def test_the_path_of_the_file_is_kept(project: Project) -> None:
    (project.folder / "etc").mkdir()
    project.write(shop()).rename("etc/mine.yaml")
    assert load(Path("etc/mine.yaml")).file == Path("etc/mine.yaml")


def test_a_mistake_of_the_file_is_not_blamed_on_a_variable_beside_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://environment/db")
    assert project.refusal({"database": {"schema": "segjob"}, **shop()}) == (
        "segjob.yaml: database: schema and private_schema must be two schemas, not both segjob"
    )
