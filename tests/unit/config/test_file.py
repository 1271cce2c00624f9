"""The file as YAML: what is read, what is refused with its line, and variables in its values."""

from __future__ import annotations

import string
from datetime import date
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segjob.config import load
from segjob.config.file import interpolated
from segjob.errors import ConfigurationError
from tests.unit.config.conftest import Project, shop

VALID = """\
segmentations:
  shop:
    source: public.customer_features
    key: customer_id
    features: [annual_income]
    n_clusters: 8
"""


def test_a_missing_file_says_what_to_do(project: Project) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load()
    assert str(refused.value) == (
        "segjob.yaml: there is no such file; write one with `segjob init`, or name another with --config"
    )


def test_a_file_may_be_named_by_option_or_by_variable(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.folder / "a.yaml").write_text(VALID.replace("8", "3"))
    (project.folder / "b.yaml").write_text(VALID.replace("8", "4"))
    monkeypatch.setenv("SEGJOB_CONFIG", "b.yaml")
    assert load().segmentation("shop").n_clusters == 4
    assert load(Path("a.yaml")).segmentation("shop").n_clusters == 3
    assert load(Path("a.yaml")).file == Path("a.yaml")


def test_a_folder_in_place_of_a_file_is_refused(project: Project) -> None:
    with pytest.raises(ConfigurationError, match=r"^\.: can not be read: Is a directory$"):
        load(Path("."))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: 1\nb: [1\nc: 2\n",
            "segjob.yaml:3: not valid YAML: expected ',' or ']', but got ':', "
            "while parsing a flow sequence that begins in line 2",
        ),
        (
            "a: {b: ${C}}\n",
            "segjob.yaml:1: not valid YAML: expected ',' or '}', but got '{'; "
            'within [ ] and { } write "${VAR}" in quotes',
        ),
        ("a: b: c\n", "segjob.yaml:1: not valid YAML: mapping values are not allowed here"),
        ("a: 1\n\tb: 2\n", "segjob.yaml:2: not valid YAML: found character '\\t' that cannot start any token"),
        ("a: *nowhere\n", "segjob.yaml:1: not valid YAML: found undefined alias 'nowhere'"),
        ("a: !!python/name:os.system\n", "segjob.yaml:1: not valid YAML: could not determine a constructor"),
        ("a: 1\n---\nb: 2\n", "segjob.yaml:2: not valid YAML: but found another document"),
        ("a:\n  b: 2026-13-45\n", "segjob.yaml:2: not valid YAML: month must be in 1..12"),
        ("a: 1\nb: \a\n", "segjob.yaml:2: not valid YAML: special characters are not allowed"),
        ("? [a]\n: 1\n", "segjob.yaml:1: not valid YAML: found unhashable key"),
        ("x-a: &a [*a]\n", "segjob.yaml:1: an anchor is used within itself"),
        ("- a\n- b\n", "segjob.yaml: must be a mapping with database, resources and segmentations"),
        ("", "segjob.yaml: segmentations: is missing"),
        ("segmentations:\n", "segjob.yaml: segmentations: is missing"),
        ("segmentations: {}\n", "segjob.yaml: segmentations: must have at least 1 entry"),
    ],
)
def test_what_is_not_a_configuration_is_refused_with_its_line(project: Project, text: str, message: str) -> None:
    refusal = project.refusal(text)
    assert refusal.startswith(message)
    assert "\n" not in refusal


def test_a_file_that_is_not_utf8_is_refused_with_its_line(project: Project) -> None:
    (project.folder / "segjob.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigurationError, match=r"^segjob\.yaml:2: is not UTF-8$"):
        load()


def test_a_byte_order_mark_does_no_harm(project: Project) -> None:
    (project.folder / "segjob.yaml").write_text(VALID, encoding="utf-8-sig")
    assert list(load().segmentations) == ["shop"]


def test_two_segmentations_of_one_name_are_refused_with_both_lines(project: Project) -> None:
    again = VALID.partition("\n")[2]
    refusal = project.refusal(VALID + again)
    assert refusal == "segjob.yaml:7: segmentations.shop is given twice, first in line 2"


def test_every_key_that_is_given_twice_gets_its_line(project: Project) -> None:
    text = VALID + "    seed: 1\n    seed: 2\n    params: {a: 1, a: 2}\n"
    assert project.refusal(text).splitlines() == [
        "segjob.yaml:8: segmentations.shop.seed is given twice, first in line 7",
        "segjob.yaml:9: segmentations.shop.params.a is given twice, first in line 9",
    ]


def test_anchors_and_merge_keys_work_and_keys_with_x_are_ignored(project: Project) -> None:
    settings = project.load("""\
x-common: &common
  key: customer_id
  features: &features [annual_income]
  n_clusters: 8
  seed: 1
x-unused: {unset: "${SEGJOB_NOWHERE}"}
segmentations:
  shop: {<<: *common, source: a, seed: 2}
  mall:
    <<: *common
    source: b
    features: *features
""")
    assert {name: one.seed for name, one in settings.segmentations.items()} == {"shop": 2, "mall": 1}


def test_a_key_with_x_that_is_not_at_the_top_is_unknown(project: Project) -> None:
    assert "segmentations.shop.x-a: unknown key" in project.refusal(shop(**{"x-a": 1}))


def test_sections_with_nothing_in_them_get_their_defaults(project: Project) -> None:
    settings = project.load("database:\n  # url: not now\nresources:\n" + VALID)
    assert settings.database.conninfo == ""
    assert settings.resources.connections == 4


def test_dates_and_other_values_of_params_stay_what_yaml_makes_of_them(project: Project) -> None:
    text = VALID + "    params: {day: 2026-10-31, text: '2026-10-31', n: 3, share: 0.5, flag: true, none: null}\n"
    assert project.load(text).segmentation("shop").params == {
        "day": date(2026, 10, 31),
        "text": "2026-10-31",
        "n": 3,
        "share": 0.5,
        "flag": True,
        "none": None,
    }


# ${VAR}


def test_a_variable_works_alone_and_within_a_text(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTRY", "DE")
    where = "country = '${COUNTRY}' AND ${CONDITION:-active} AND price > '$$5' AND cost > $1"
    loaded = project.load(shop(where=where)).segmentation("shop")
    assert loaded.where == "country = 'DE' AND active AND price > '$5' AND cost > $1"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("n_clusters", "7", 7),
        ("seed", "7", 7),
        ("history", "false", False),
        ("key", "id", ("id",)),
        ("params", {"a": "${K}"}, {"a": "7"}),
    ],
)
def test_a_variable_where_a_number_is_expected_becomes_one(
    project: Project, monkeypatch: pytest.MonkeyPatch, key: str, value: object, expected: object
) -> None:
    monkeypatch.setenv("K", value if isinstance(value, str) else "7")
    content = shop(**{key: value if isinstance(value, dict) else "${K}"})
    assert getattr(project.load(content).segmentation("shop"), key) == expected


def test_variables_work_in_lists_and_mappings(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMN", "income")
    monkeypatch.setenv("WEIGHT", "2.5")
    content = shop(features=["${OTHER:-age}", {"column": "${COLUMN}", "weight": "${WEIGHT}"}])
    specs = project.load(content).segmentation("shop").feature_specs()
    assert [(spec.column, spec.weight) for spec in specs] == [("age", 1.0), ("income", 2.5)]


def test_an_unset_variable_is_named_with_file_and_place(project: Project) -> None:
    content = {"database": {"url": "${SEGJOB_NOWHERE}"}, **shop(features=["a", "${SEGJOB_NEITHER}"])}
    assert project.refusal(content).splitlines() == [
        "segjob.yaml: database.url: the variable SEGJOB_NOWHERE is not set; "
        "set it, or give a default with ${SEGJOB_NOWHERE:-…}",
        "segjob.yaml: segmentations.shop.features[1]: the variable SEGJOB_NEITHER is not set; "
        "set it, or give a default with ${SEGJOB_NEITHER:-…}",
    ]


def test_a_variable_that_is_empty_takes_the_default_and_without_one_is_empty(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPTY", "")
    assert project.load(shop(where="a${EMPTY:-b}c")).segmentation("shop").where == "abc"
    assert project.load(shop(where="a${EMPTY}c")).segmentation("shop").where == "ac"


@pytest.mark.parametrize("text", ["${", "${}", "${A-b}", "${1A}", "${A", "${ A }", "${A:-${B}}"])
def test_what_only_resembles_a_variable_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write \\$\\$\\{ for a dollar and a brace"):
        interpolated(text, {"A": "", "B": ""}.get)


def unset(name: str) -> str | None:
    return None


NAMES = st.text(string.ascii_letters + "_", min_size=1, max_size=8)


@given(st.text())
@example("$$${A}$")
def test_text_with_doubled_dollars_comes_out_as_it_was(text: str) -> None:
    assert interpolated(text.replace("$", "$$"), unset) == text


@given(st.lists(st.tuples(st.text(st.characters(exclude_characters="$")), NAMES)), st.dictionaries(NAMES, st.text()))
@example([("a", "A"), ("b", "A")], {"A": "${A}$$"})
def test_every_variable_is_replaced_by_exactly_what_it_holds(
    pieces: list[tuple[str, str]], variables: dict[str, str]
) -> None:
    text = "".join(f"{before}${{{name}:-default}}" for before, name in pieces)
    expected = "".join(before + (variables.get(name) or "default") for before, name in pieces)
    assert interpolated(text, variables.get) == expected


@given(st.text(st.characters(exclude_characters="}$")))
def test_a_default_is_taken_as_it_is(default: str) -> None:
    assert interpolated(f"<${{NAME:-{default}}}>", unset) == f"<{default}>"
