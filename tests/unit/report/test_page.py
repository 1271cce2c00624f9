"""The page: that it stands alone, that everybody can read it, and that no name in it can do harm."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from segjob.errors import ConfigurationError
from segjob.palette import color_of
from segjob.records.version import Score, Version
from segjob.report import Candidate, render
from tests.unit.report.pages import Element, Page, read_page
from tests.unit.report.records_by_hand import HOSTILE

NETWORK = re.compile(r"(https?:)?//", re.IGNORECASE)
REFERENCES = {"src", "href", "srcset", "action", "data", "poster", "background", "formaction", "xlink:href"}
CANDIDATES = [
    Candidate(6, 30_000.0, Score(0.54, 0.53, 0.55, "euclidean", 5000, exact=False)),
    Candidate(5, 44_448.0, Score(0.55, 0.55, 0.55, "euclidean", 200, exact=True), 0.5726, 247.4, 0.11, 0.97, True),
]


def test_nothing_is_fetched_from_a_network(shop_page: Page) -> None:
    for element in shop_page.root.all():
        fetched = {name: value for name, value in element.attributes.items() if name in REFERENCES}
        assert not fetched, f"<{element.tag}> refers to {fetched}"
    for style in shop_page.root.all("style"):
        assert "url(" not in style.text
        assert "@import" not in style.text
    outside = [element.text for element in shop_page.root.all("style", "section", "header", "footer")]
    assert not [text for text in outside if NETWORK.search(text)]


def test_the_policy_of_the_page_allows_its_own_scripts_and_no_others(shop_page: Page) -> None:
    policy = shop_page.root.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    code = [script.text for script in shop_page.root.all("script") if "type" not in script.attributes]
    assert {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code} == allowed
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy


def test_plotly_is_there_once(mall_page: Page) -> None:
    assert sum("plotly.js v" in script.text[:200] for script in mall_page.root.all("script")) == 1
    assert len(mall_page.root.all("script")) == 3


def test_hostile_names_are_text_and_nothing_else(shop_page: Page) -> None:
    assert HOSTILE in shop_page.section("sizes").text
    assert HOSTILE in shop_page.section("making").text
    assert not shop_page.root.all("img")
    assert len(shop_page.root.all("script")) == 3
    assert "<script>alert" not in shop_page.source
    assert "onerror" not in {name for element in shop_page.root.all() for name in element.attributes}


def test_a_hostile_name_of_a_segmentation_and_of_a_category_are_text_too(shop_record: Version) -> None:
    row = replace(shop_record.sample[0], values={**shop_record.sample[0].values, "gender": "</script><b>x"})
    page = read_page(render(replace(shop_record, segmentation=HOSTILE, config_hash=HOSTILE, sample=(row,))))
    assert page.root.one("h1").text == HOSTILE
    assert page.root.one("title").text.startswith(HOSTILE)
    assert len(page.root.all("script")) == 3


def test_names_are_not_read_as_markup_by_plotly(shop_page: Page) -> None:
    for texts in strings(shop_page.figures):
        assert not re.search(r"<(?!br>|extra></extra>|/extra>)", texts), texts


def strings(data: object) -> list[str]:
    if isinstance(data, str):
        return [data]
    inside = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return [text for each in inside for text in strings(each)]


def test_a_colour_that_is_not_one_is_replaced(mall_record: Version) -> None:
    first = replace(mall_record.segments[0], color="red; background: url(https://example.org)")
    page = read_page(render(replace(mall_record, segments=(first, *mall_record.segments[1:]))))
    assert page.figures["sizes"]["data"][0]["marker"]["color"][0] == color_of(1)
    assert "example.org" not in page.source


def test_segments_have_the_colours_of_the_record(mall_record: Version) -> None:
    own = tuple(replace(each, color=f"#00000{each.segment_id}") for each in mall_record.segments)
    figures = read_page(render(replace(mall_record, segments=own))).figures
    colors = [segment.color for segment in own]
    assert figures["sizes"]["data"][0]["marker"]["color"] == colors
    assert [trace["fillcolor"] for trace in figures["silhouettes"]["data"]] == colors
    assert [trace["marker"]["color"] for trace in figures["customers"]["data"][:-1]] == colors
    assert figures["customers"]["data"][-1]["marker"]["color"] == colors


def test_every_figure_has_a_label_and_a_table(shop_page: Page) -> None:
    drawn = set(shop_page.figures)
    assert drawn == {"customers", "sizes", "silhouettes", "centroids"}
    for slug in drawn:
        section = shop_page.section(slug)
        figure = section.one("div", id=f"figure-{slug}")
        assert figure.attributes["role"] == "img"
        assert len(figure.attributes["aria-label"]) > 20
        assert section.one("details").all("table")
    assert {figure.attributes["id"] for figure in shop_page.root.all("div") if "id" in figure.attributes} == {
        f"figure-{slug}" for slug in drawn
    }


def test_every_table_has_a_caption_and_scopes_and_rows_of_one_length(shop_page: Page) -> None:
    for table in shop_page.root.all("table"):
        assert table.one("caption").text.strip()
        header, *rows = table.all("tr")
        assert all(cell.attributes["scope"] == "col" for cell in header.all("th"))
        assert rows
        for row in rows:
            assert row.one("th").attributes["scope"] == "row"
            assert len(row.all("th", "td")) == len(header.all("th"))


def test_the_outline_is_in_order(shop_page: Page) -> None:
    assert shop_page.root.one("html").attributes["lang"] == "en"
    headings = [heading.tag for heading in shop_page.root.all("h1", "h2", "h3", "h4")]
    assert headings == ["h1"] + ["h2"] * (len(headings) - 1)
    ids = [element.attributes["id"] for element in shop_page.root.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert {section.attributes["aria-labelledby"] for section in shop_page.root.all("section")} <= set(ids)


def test_the_head_says_what_this_is(mall_page: Page) -> None:
    facts = " ".join(mall_page.root.one("header").text.split())
    expected = "mall Version 3 published 200 customers in 5 segments data as of 2026-10-31 04:00 UTC"
    assert facts == expected


def test_the_key_figures_are_those_of_the_record(mall_page: Page) -> None:
    found = key_figures(mall_page)
    assert found["Inertia"][0] == "44,448"
    assert found["Silhouette"] == ("0.5539", "Euclidean, exact over 200 customers")
    squared, how = found["Squared silhouette"]
    assert (float(squared) > 0.6, how) == (True, "Squared euclidean, exact over 200 customers")
    assert found["Davies–Bouldin"][0] == "0.5726"
    assert found["Calinski–Harabasz"][0] == "247.4"
    assert found["Unlabelled"][0] == "0"


def key_figures(page: Page) -> dict[str, tuple[str, str]]:
    def texts(element: Element) -> list[str]:
        return [each.text for each in element.all("dt", "dd")]

    return {name: (value, note) for name, value, note in map(texts, page.root.one("dl").all("div"))}


def test_an_estimated_silhouette_says_its_interval_and_its_sample(mall_record: Version) -> None:
    score = Score(0.187, 0.181, 0.193, "euclidean", 8192, exact=False)
    found = key_figures(read_page(render(replace(mall_record, silhouette=score))))
    note = "Euclidean, 95 % interval 0.181 to 0.193, estimated from 8,192 customers"
    assert found["Silhouette"] == ("0.187", note)


def test_one_segment_has_no_silhouette_rather_than_zero(single_record: Version) -> None:
    page = read_page(render(single_record))
    assert key_figures(page)["Silhouette"] == ("none", "there is one segment")
    assert key_figures(page)["Davies–Bouldin"][0] == "none"
    assert "Silhouette: none, there is one segment." in page.section("silhouettes").text
    assert "silhouettes" not in page.figures
    assert "200 customers in 1 segment" in page.root.one("header").text


def test_without_sampled_customers_the_page_says_so_and_shows_the_rest(mall_record: Version) -> None:
    page = read_page(render(replace(mall_record, sample=())))
    assert set(page.figures) == {"sizes", "centroids"}
    assert "kept no sampled customers" in page.section("customers").text
    assert page.tables["Silhouettes of the segments"][-1][:2] == ["All customers", "0.5539"]


def test_a_model_of_constant_columns_only_is_shown_without_pictures(single_record: Version) -> None:
    columns = tuple(replace(column, position=None) for column in single_record.model.columns)
    rows = tuple(replace(row, scaled=()) for row in single_record.sample)
    model = replace(single_record.model, columns=columns)
    page = read_page(render(replace(single_record, model=model, sample=rows, centroids=())))
    assert set(page.figures) == {"sizes"}
    assert "annual_income (constant, not clustered)" in page.section("making").text


def test_numbers_of_segments_are_compared_only_where_several_were_tried(mall_record: Version) -> None:
    assert "elbow" not in read_page(render(mall_record)).figures
    assert "elbow" not in read_page(render(mall_record, candidates=CANDIDATES[:1])).figures
    page = read_page(render(mall_record, candidates=CANDIDATES))
    inertia, band, silhouette = page.figures["elbow"]["data"]
    assert (inertia["x"], inertia["y"]) == ([5, 6], [44_448.0, 30_000.0])
    assert (silhouette["x"], silhouette["y"]) == ([5, 6], [0.55, 0.54])
    assert (band["x"], band["y"]) == ([5, 6, 6, 5], [0.55, 0.55, 0.53, 0.55])
    assert band["yaxis"] == silhouette["yaxis"] == "y2"
    assert inertia["marker"]["size"][0] > inertia["marker"]["size"][1]
    _, five, six = page.tables["Numbers of segments that were tried"]
    assert five[:4] == ["5", "44,448", "0.55", "Euclidean, exact over 200 customers"]
    assert five[4:] == ["0.5726", "247.4", "11 %", "0.97", "suggested"]
    assert "Suggested: 5 segments." in page.section("elbow").text
    unclear = read_page(render(mall_record, candidates=[replace(one, suggested=False) for one in CANDIDATES]))
    assert "No number is clear." in unclear.section("elbow").text
    assert six[:3] == ["6", "30,000", "0.54"]


def test_the_figures_come_in_their_order(mall_record: Version) -> None:
    page = read_page(render(mall_record, candidates=CANDIDATES))
    order = [section.attributes["aria-labelledby"] for section in page.root.all("section")]
    assert order == ["key-figures", "customers", "sizes", "silhouettes", "centroids", "elbow", "making"]


def test_the_same_record_gives_the_same_page_and_no_clock_is_read(mall_record: Version) -> None:
    at = datetime(2026, 10, 31, 6, 1, tzinfo=timezone(timedelta(hours=2)))
    assert render(mall_record, generated_at=at) == render(mall_record, generated_at=at)
    assert "on 2026-10-31 04:01 UTC" in read_page(render(mall_record, generated_at=at)).root.one("footer").text
    assert " on " not in read_page(render(mall_record)).root.one("footer").text


def test_a_version_that_was_not_published_says_so(mall_record: Version) -> None:
    page = read_page(render(replace(mall_record, status="rejected", published_at=None, parent_version_id=None)))
    provenance = dict(page.tables["Where this version comes from"][1:])
    assert provenance["Published"] == "not published"
    assert provenance["Parent version"] == "none"
    assert provenance["Data as of"] == "2026-10-31 04:00 UTC"
    assert "rejected" in page.root.one("header").text


def test_without_plotly_the_message_says_what_to_install(mall_record: Version, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'segjob\[report\]'") as raised:
        render(mall_record)
    assert raised.value.exit_code == 78


def test_the_report_loads_no_torch_no_database_and_plotly_only_to_draw() -> None:
    program = "import sys, segjob.report; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert not {"torch", "sqlalchemy", "psycopg", "plotly", "pandas"} & set(done.stdout.split())


def test_a_naive_moment_is_taken_as_utc(mall_record: Version) -> None:
    naive = replace(mall_record, data_as_of=datetime(2026, 1, 2, 3, 4))
    aware = replace(mall_record, data_as_of=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    expected = "data as of 2026-01-02 03:04 UTC"
    assert all(expected in read_page(render(version)).root.one("header").text for version in (naive, aware))
