"""What each mistake in the file is told: place, expectation, nearest valid name, and never a password."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.unit.config.conftest import Project, shop

SHOP = "segjob.yaml: segmentations.shop"
REPEATED = "is given twice; name each column once"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"n_clusters": 0}, f"{SHOP}.n_clusters: must be at least 1, not 0"),
        ({"n_clusters": True}, f"{SHOP}.n_clusters: must be a number, not true"),
        ({"n_clusters": 7.5}, f"{SHOP}.n_clusters: must be a whole number, not 7.5"),
        ({"n_clusters": "seven"}, f"{SHOP}.n_clusters: must be a whole number, not 'seven'"),
        ({"n_clusters": [7]}, f"{SHOP}.n_clusters: must be a whole number, not a list"),
        ({"n_clusters": None}, f"{SHOP}.n_clusters: must be a whole number, not empty"),
        ({"n_clusters": {"min": 2, "mx": 3}}, f"{SHOP}.n_clusters.mx: unknown key; did you mean max?"),
        ({"n_clusters": {"min": 3, "max": 2}}, f"{SHOP}.n_clusters: min (3) must not be more than max (2)"),
        ({"n_clusters": {"min": 1, "max": 3}}, f"{SHOP}.n_clusters.min: must be at least 2, not 1"),
        ({"n_clusters": {"min": 2, "max": 101}}, f"{SHOP}.n_clusters.max: must be at most 100, not 101"),
        ({"n_clusters": {"min": 2}}, f"{SHOP}.n_clusters.max: is missing"),
        ({"n_clusters": {"min": 2.5, "max": 3}}, f"{SHOP}.n_clusters.min: must be a whole number, not 2.5"),
        ({"seed": -1}, f"{SHOP}.seed: must be at least 0, not -1"),
        ({"seed": 2**63}, f"{SHOP}.seed: must be less than {2**63}, not {2**63}"),
        ({"key": 5}, f"{SHOP}.key: must be a column, or a list of up to 3 columns"),
        ({"key": []}, f"{SHOP}.key: must be one to three columns, not 0"),
        ({"key": ["a", "b", "c", "d"]}, f"{SHOP}.key: must be one to three columns, not 4"),
        ({"key": ["a", "b", "a"]}, f"{SHOP}.key: the column a {REPEATED}"),
        ({"key": ["a", 5]}, f"{SHOP}.key[1]: must be text, in quotes if it looks like something else, not 5"),
        ({"key": ["a", ""]}, f"{SHOP}.key[1]: must not be empty"),
        ({"key": "a\0b"}, f"{SHOP}.key[0]: must not hold a NUL character"),
        ({"features": "income"}, f"{SHOP}.features: must be a list of columns"),
        ({"features": []}, f"{SHOP}.features: must be 1 to 128 columns, not 0"),
        ({"features": [f"c{i}" for i in range(129)]}, f"{SHOP}.features: must be 1 to 128 columns, not 129"),
        ({"features": ["a", {"column": "a"}]}, f"{SHOP}.features: the column a {REPEATED}"),
        ({"features": ["a", {"wieght": 2}]}, f"{SHOP}.features[1].column: is missing"),
        ({"features": [{"column": "a", "wieght": 2}]}, f"{SHOP}.features[0].wieght: unknown key; did you mean weight?"),
        ({"features": [{"column": "a", "weight": 0}]}, f"{SHOP}.features[0].weight: must be more than 0, not 0"),
        (
            {"features": [{"column": "a", "weight": float("nan")}]},
            f"{SHOP}.features[0].weight: must be a finite number, not nan",
        ),
        (
            {"features": [{"column": "a", "transform": "log"}]},
            f"{SHOP}.features[0].transform: must be none or log1p (did you mean log1p?), not 'log'",
        ),
        (
            {"features": [{"column": "a", "encode": "hash"}]},
            f"{SHOP}.features[0].encode: must be onehot, not 'hash'",
        ),
        (
            {"features": [{"column": "a", "clip": 0.5}]},
            f"{SHOP}.features[0].clip: must be [low, high], two quantiles such as [0.001, 0.999]",
        ),
        (
            {"features": [{"column": "a", "clip": [0.9, 0.1]}]},
            f"{SHOP}.features[0].clip: must be [low, high] with 0 <= low < high <= 1, not [0.9, 0.1]",
        ),
        (
            {"features": [{"column": "a", "clip": [0, 1.5]}]},
            f"{SHOP}.features[0].clip: must be [low, high] with 0 <= low < high <= 1, not [0, 1.5]",
        ),
        ({"features": [{"column": "a", "clip": [0, "x"]}]}, f"{SHOP}.features[0].clip[1]: must be a number, not 'x'"),
        ({"parallel_safe": "perhaps"}, f"{SHOP}.parallel_safe: must be true or false, not 'perhaps'"),
        ({"names": {"one": "a"}}, f"{SHOP}.names.one: must be a whole number, not 'one'"),
        ({"names": {1: False}}, f"{SHOP}.names.1: must be text, in quotes if it looks like something else, not false"),
        ({"names": ["a"]}, f"{SHOP}.names: must be a mapping, with a name and a value on each line, not a list"),
        ({"colors": {0: "#1b9e77"}}, f"{SHOP}.colors.0: must be at least 1, not 0"),
        ({"colors": {1: "green"}}, f'{SHOP}.colors.1: must be a colour such as "#1b9e77", in quotes'),
        (
            {"params": {"1a": 1}},
            f"{SHOP}.params.1a: a parameter's name is made of letters, digits and underscores and does not begin with "
            "a digit",
        ),
        ({"params": {"a": [1]}}, f"{SHOP}.params.a: must be one value: text, a number, true, false, a date or null"),
        ({"source": 5}, f"{SHOP}.source: must be text, in quotes if it looks like something else, not 5"),
        ({"n_cluster": 8}, f"{SHOP}.n_cluster: unknown key; did you mean n_clusters?"),
        ({"Seed": 8}, f"{SHOP}.Seed: unknown key; did you mean seed?"),
        ({"gates": {"min_silhouete": None}}, f"{SHOP}.gates.min_silhouete: unknown key; did you mean min_silhouette?"),
        ({"drift": {"psi": 1}}, f"{SHOP}.drift.psi: unknown key; did you mean max_psi?"),
        (
            {"gates": {"min_customers": {"refuse": "x"}}},
            f"{SHOP}.gates.min_customers.refuse: must be a number, not 'x'",
        ),
        ({"keep_versions": 0}, f"{SHOP}.keep_versions: must be at least 1, not 0"),
    ],
)
def test_a_wrong_value_in_a_segmentation(project: Project, keys: dict[str, Any], message: str) -> None:
    assert message in project.refusal(shop(**keys)).splitlines()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"resources": {"memory": "1Gi"}}, "resources.memory: must be a size such as 1GiB or 900MB, not '1Gi'"),
        ({"resources": {"memory": "much"}}, "resources.memory: must be a size such as 1GiB or 900MB, not 'much'"),
        ({"resources": {"memory": 4}}, "resources.memory: must be at least 1MiB; a number without a unit counts bytes"),
        ({"resources": {"memory": True}}, "resources.memory: must be a number, not true"),
        ({"resources": {"connections": 0}}, "resources.connections: must be at least 1, not 0"),
        (
            {"resources": {"device": "gpu"}},
            "resources.device: must be auto, cpu or cuda (did you mean cpu?), not 'gpu'",
        ),
        ({"resources": {"cores": 1}}, "resources.cores: unknown key; known are connections, device, memory, spool_dir"),
        ({"resources": []}, "resources: must be a mapping, with a name and a value on each line, not a list"),
        ({"database": {"shema": "a"}}, "database.shema: unknown key; did you mean schema?"),
        ({"database": {"schema": "pg_own"}}, "database.schema: pg_own belongs to Postgres itself; choose another name"),
        (
            {"database": {"private_schema": "information_schema"}},
            "database.private_schema: information_schema belongs to Postgres itself; choose another name",
        ),
        (
            {"database": {"schema": "My Segments"}},
            "database.schema: a schema's name is made of small letters, digits and underscores, at most 63, "
            "so that nobody needs to quote it",
        ),
        (
            {"database": {"schema": "segjob"}},
            "database: schema and private_schema must be two schemas, not both segjob",
        ),
        ({"database": {"analysts": "bi_reader"}}, "database.analysts: must be a list, not 'bi_reader'"),
        ({"databse": {}}, "databse: unknown key; did you mean database?"),
    ],
)
def test_a_wrong_value_elsewhere(project: Project, section: dict[str, Any], message: str) -> None:
    assert project.refusal({**section, **shop()}) == f"segjob.yaml: {message}"


@pytest.mark.parametrize("name", ["Shop", "1st", "_shop", "my shop", "a" * 41, "my-shop", "läden", "shop\n"])
def test_a_segmentation_needs_a_plain_name(project: Project, name: str) -> None:
    content = {"segmentations": {name: shop()["segmentations"]["shop"]}}
    assert project.refusal(content) == (
        f"segjob.yaml: segmentations.{name}: a segmentation's name is a small letter, "
        "then at most 39 small letters, digits and underscores"
    )


def test_the_longest_name_is_accepted(project: Project) -> None:
    name = "a" + "0_" * 19 + "z"
    assert len(name) == 40
    content = {"segmentations": {name: shop()["segmentations"]["shop"]}}
    assert list(project.load(content).segmentations) == [name]


@pytest.mark.parametrize("key", ["key", "features", "n_clusters"])
def test_a_required_key_that_is_missing_is_named(project: Project, key: str) -> None:
    assert project.refusal(shop(key)) == f"{SHOP}.{key}: is missing"


def test_a_misspelt_required_key_is_one_mistake(project: Project) -> None:
    assert (
        project.refusal(shop("n_clusters", n_cluster=8)) == f"{SHOP}.n_cluster: unknown key; did you mean n_clusters?"
    )


@pytest.mark.parametrize(
    ("left_out", "keys", "found"),
    [
        (("source",), {}, "there is none"),
        ((), {"query": "SELECT 1"}, "there are source and query"),
        ((), {"query": "SELECT 1", "query_file": "q.sql"}, "there are source and query and query_file"),
        (("source",), {"query": ""}, "there is none"),
    ],
)
def test_a_segmentation_has_exactly_one_origin(
    project: Project, left_out: tuple[str, ...], keys: dict[str, Any], found: str
) -> None:
    (project.folder / "q.sql").write_text("SELECT 2")
    refusal = project.refusal(shop(*left_out, **keys))
    assert refusal == f"{SHOP}: must have exactly one of source, query and query_file; {found}"


@pytest.mark.parametrize(
    ("options", "useless"),
    [
        ({"transform": "log1p"}, "transform"),
        ({"scale": "none"}, "scale"),
        ({"impute": "exclude"}, "impute"),
        ({"clip": [0, 0.9], "scale": "robust"}, "scale and clip"),
    ],
)
def test_a_one_hot_feature_takes_none_of_the_options_for_numbers(
    project: Project, options: dict[str, Any], useless: str
) -> None:
    feature = {"column": "gender", "encode": "onehot", **options}
    assert project.refusal(shop(features=["a", feature])) == (
        f"{SHOP}.features[1]: encode: onehot makes columns of 0 and 1 of gender, to which {useless} can not apply "
        "(missing values go to the category `other`); remove one or the other"
    )


@pytest.mark.parametrize(
    "column",
    [
        "segment_id",
        "segment_name",
        "distance",
        "simplified_silhouette",
        "runner_up_segment_id",
        "version_id",
        "published_at",
        "reason",
        "feature",
        "valid_from",
        "valid_to",
        "carried_segment_id",
        "excluded_by",
    ],
)
def test_a_key_column_named_like_one_of_the_views_is_refused(project: Project, column: str) -> None:
    assert project.refusal(shop(key=["customer_id", column])) == (
        f"{SHOP}.key: {column} is also a column of the labels or of the views on them; give the key another name in "
        f"a view or query, such as SELECT {column} AS customer_{column}, …"
    )


def test_a_feature_may_be_named_like_a_column_of_the_views(project: Project) -> None:
    assert project.load(shop(features=["distance"])).segmentation("shop").feature_specs()[0].column == "distance"


def test_every_mistake_gets_a_line(project: Project) -> None:
    content = {"resources": {"conections": 1}, **shop(seed=-1, features=[{"column": "a", "scale": "max"}])}
    assert project.refusal(content).splitlines() == [
        "segjob.yaml: resources.conections: unknown key; did you mean connections?",
        f"{SHOP}.features[0].scale: must be standard, robust, minmax or none (did you mean minmax?), not 'max'",
        f"{SHOP}.seed: must be at least 0, not -1",
    ]


def test_a_segmentation_named_like_a_key_does_not_confuse_the_nearest_name(project: Project) -> None:
    content = {"segmentations": {"gates": {**shop()["segmentations"]["shop"], "sede": 1}}}
    assert project.refusal(content) == "segjob.yaml: segmentations.gates.sede: unknown key; did you mean seed?"


# Names that collide


def segmentations(*names: str) -> dict[str, Any]:
    return {"segmentations": {name: shop()["segmentations"]["shop"] for name in names}}


@pytest.mark.parametrize("name", ["segmentation", "version", "run", "gate", "transition", "k_candidate"])
def test_a_segmentation_named_like_a_shared_view_is_refused(project: Project, name: str) -> None:
    assert project.refusal(segmentations(name)) == (
        f"segjob.yaml: segmentations.{name}: would make a second segments.{name}, which the job itself has already; "
        "rename the segmentation"
    )


@pytest.mark.parametrize("suffix", ["profile", "centroid", "segment", "history", "unlabelled", "as_of", "assign"])
@pytest.mark.parametrize("reverse", [False, True])
def test_two_segmentations_with_an_object_of_the_same_name_are_refused(
    project: Project, suffix: str, reverse: bool
) -> None:
    names = ("mall", f"mall_{suffix}")
    content = {"database": {"schema": "bi"}, **segmentations(*(reversed(names) if reverse else names))}
    assert project.refusal(content) == (
        f"segjob.yaml: segmentations.mall_{suffix}: would make a second bi.mall_{suffix}, "
        "which the segmentation mall has already; rename the segmentation"
    )


def test_names_that_only_resemble_each_other_are_accepted(project: Project) -> None:
    names = ("mall", "mall_profiles", "mall_2", "runs", "versions", "label_mall", "membership", "segment", "published")
    assert list(project.load(segmentations(*names)).segmentations) == list(names)


# Passwords

PASSWORD = "hunter2"


@pytest.mark.parametrize(
    "content",
    [
        {"database": {"url": f"mysql://u:{PASSWORD}@h/db"}, **shop()},
        {"database": {"url": f"host=h password={PASSWORD}"}, **shop()},
        {"database": {"url": [f"postgresql://u:{PASSWORD}@h/db"]}, **shop()},
        {"database": {"source_url": f"mysql://u:{PASSWORD}@h/db"}, **shop()},
        {"database": f"postgresql://u:{PASSWORD}@h/db", **shop()},
        {"database": {"url": f"postgresql://u:{PASSWORD}@h/db", "schema": "segjob"}, **shop()},
        {"resources": {"memory": "${SECRET}", "connections": "${SECRET}", "device": "${SECRET}"}, **shop()},
        shop(n_clusters="${SECRET}", seed="a ${SECRET} b", names={"${SECRET}": "${SECRET}"}),
        f"database:\n  url: postgresql://u:{PASSWORD}@h/db: x\n",
        f"database:\n  url: [postgresql://u:{PASSWORD}@h/db\n",
        f"database:\n  url: postgresql://u:{PASSWORD}@h/db\n  url: postgresql://u:{PASSWORD}@h/db\n",
    ],
)
def test_no_message_holds_a_password(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, content: Any
) -> None:
    monkeypatch.setenv("SECRET", PASSWORD)
    with caplog.at_level(logging.DEBUG):
        assert PASSWORD not in project.refusal(content)
    assert PASSWORD not in caplog.text


def test_a_wrong_url_says_what_a_right_one_begins_with(project: Project) -> None:
    content = {"database": {"url": "mysql://h/db"}, **shop()}
    expected = "segjob.yaml: database.url: must begin with postgresql://, postgres:// or embedded:"
    assert project.refusal(content) == expected


def test_settings_do_not_show_the_password_when_they_are_printed(project: Project) -> None:
    settings = project.load({"database": {"url": f"postgresql://u:{PASSWORD}@h/db"}, **shop()})
    assert PASSWORD not in f"{settings!r} {settings} {settings.database!r} {settings.model_dump()}"
    assert PASSWORD in settings.database.conninfo
