"""Whatever somebody's schema, table, columns, roles, segments and values are called, they are names and no SQL."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from segjob.commands.export import export
from segjob.commands.forget import forget
from segjob.commands.migrate import migrate
from segjob.commands.report import report
from segjob.commands.run import Wanted, print_results, run_all
from segjob.commands.score import print_scores, score_all
from segjob.commands.show import print_version, version_document
from segjob.config import load
from segjob.job.dropping import drop_segmentation
from segjob.postgres.connecting.connect import Database
from tests.acceptance.conftest import write_configuration

N_ROWS = 40
OURS = {"segment_id", "segment_name", "distance", "simplified_silhouette", "runner_up_segment_id", "version_id"}
PIECES = (
    *"\"';-\\%{}:$.,()[]<>&=|`#@!?*^~+ \n\t", "--", "/*", "*/", "%s", "%(x)s", "{label}", "{keys}", "}}", "::", ":x",
    "$1", "${HOME}", "[red]", "[/]", "</script>", "{{ 7 * 7 }}", "'; DROP TABLE public.victim; --", "\"; SELECT 1; --",
    "select", "Select", "a", "B", "9", "é", "Жы", "客", "🙂", "\u202e", "\u00a0",
)  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20
)
NAME = TEXT.filter(lambda name: len(name.encode()) <= 63 and name not in OURS and not name.startswith("pg_"))


@dataclass(frozen=True)
class Odd:
    """What somebody called everything."""

    schema: str
    table: str
    keys: tuple[str, ...]
    number: str
    category: str
    values: tuple[str, str]
    analyst: str
    segment: str

    @property
    def source(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.table)


ODD = st.builds(
    lambda schema, table, columns, values, analyst, segment: Odd(
        schema, table, tuple(columns[2:]), columns[0], columns[1], values, analyst, segment
    ),
    NAME, NAME, st.lists(NAME, min_size=3, max_size=5, unique=True), st.tuples(TEXT, TEXT), NAME, TEXT,
)  # fmt: skip
WORST = "x\"'); DROP TABLE public.victim; --"


def escaped(text: str) -> str:
    """As it is written in segjob.yaml, where a dollar and a brace begin a variable."""
    return text.replace("$", "$$")


@pytest.fixture
def victim(connection: psycopg.Connection) -> psycopg.Connection:
    connection.execute("CREATE TABLE public.victim AS SELECT 1 AS one")
    return connection


def make(connection: psycopg.Connection, odd: Odd) -> None:
    names = {"source": odd.source, "number": sql.Identifier(odd.number), "category": sql.Identifier(odd.category)}
    keys = sql.SQL(", ").join(sql.SQL("'k' || i AS {}").format(sql.Identifier(key)) for key in odd.keys)
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(odd.schema)))
    connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(odd.analyst)))
    connection.execute(
        sql.SQL(
            "CREATE TABLE {source} AS SELECT {keys}, i % 2 * 10 + i / 100.0 AS {number},"
            " (ARRAY[{one}, {other}])[i % 2 + 1] AS {category} FROM generate_series(1, {n}) AS i"
        ).format(**names, keys=keys, one=odd.values[0], other=odd.values[1], n=N_ROWS)
    )


def remove(connection: psycopg.Connection, odd: Odd) -> None:
    connection.execute("DROP SCHEMA IF EXISTS segments, segjob CASCADE")
    connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(odd.schema)))
    connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(odd.analyst)))


def configured(folder: Path, url: str, odd: Odd, connection: psycopg.Connection) -> Any:
    segmentation = {
        "source": escaped(odd.source.as_string(connection)),
        "key": [escaped(key) for key in odd.keys],
        "features": [escaped(odd.number), {"column": escaped(odd.category), "encode": "onehot"}],
        "n_clusters": 2,
        "names": {1: escaped(odd.segment)},
        "where": escaped(sql.SQL("{} IS NOT NULL").format(sql.Identifier(odd.number)).as_string(connection)),
    }
    path = write_configuration(folder, {"odd": segmentation}, url=url, analysts=[escaped(odd.analyst)])
    return load(path)


@given(odd=ODD)
@example(odd=Odd(WORST, WORST, (WORST, "a:b", "%s"), "{keys}", ":x", (WORST, "\\"), WORST, WORST))
@example(odd=Odd("Жы", "Select", ("user",), "a\nb", "a.b", ("", "''"), "[red]", "</script>"))
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_odd_names_are_names_from_the_first_migration_to_the_last_drop(
    odd: Odd, victim: psycopg.Connection, database_url: str, tmp_path: Path
) -> None:
    make(victim, odd)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            live(configured(tmp_path, database_url, odd, victim), odd, victim, tmp_path)
    finally:
        remove(victim, odd)
    assert victim.execute("SELECT * FROM public.victim").fetchall() == [(1,)]


def live(chosen: Any, odd: Odd, connection: psycopg.Connection, folder: Path) -> None:
    """All that may come to a segmentation."""
    migrate(chosen, "head")
    results, code = run_all(chosen, Wanted(("odd",)))
    assert code == 0
    print_results(results)
    print_scores(score_all(chosen, ("odd",), {})[0])
    print_version(version_document(chosen, "odd", None))
    report(chosen, "odd", None, folder / "report.html")
    assert "<script>alert" not in (folder / "report.html").read_text()
    export(chosen, "odd", None, folder / "labels.csv")
    check_views(odd, connection)
    assert forget(chosen, "odd", [",".join(["k7"] * len(odd.keys))], None)["n_rows"] >= 2
    drop_segmentation(Database(chosen.database.conninfo), "odd", yes=True)


def check_views(odd: Odd, connection: psycopg.Connection) -> None:
    """The analyst joins by the names of the source; rules are SQL over the source; the function knows its columns."""
    keys = sql.SQL(", ").join(map(sql.Identifier, odd.keys))
    known = {"source": odd.source, "keys": keys}
    joined = sql.SQL("SELECT count(*) FROM {source} AS c JOIN segments.odd AS s USING ({keys})").format(**known)
    assert connection.execute(joined).fetchone() == (N_ROWS,)
    wrong = sql.SQL(
        "SELECT count(*) FROM {source} AS c JOIN segments.odd AS s USING ({keys})"
        " WHERE segments.odd_assign(to_jsonb(c)) IS DISTINCT FROM s.segment_id"
    ).format(**known)
    assert connection.execute(wrong).fetchone() == (0,)
    for rule, n_customers in rules(connection):
        counted = sql.SQL("SELECT count(*) FROM {source} WHERE ").format(**known) + sql.SQL(rule)
        assert connection.execute(counted).fetchone() == (n_customers,)
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(odd.analyst)))
    try:
        found = connection.execute("SELECT segment_name FROM segments.odd_profile WHERE segment_id = 1").fetchone()
        history = connection.execute("SELECT * FROM segments.odd_history").description
    finally:
        connection.execute("RESET ROLE")
    assert found == (odd.segment,)
    assert [column.name for column in history or ()][: len(odd.keys)] == list(odd.keys)


def rules(connection: psycopg.Connection) -> Iterator[tuple[Any, int]]:
    yield from connection.execute("SELECT rule, n_customers FROM segments.odd_profile WHERE rule IS NOT NULL")
