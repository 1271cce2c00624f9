"""Customers' values and a password that are unlike any other are looked for in all that a failing command leaves."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

import psycopg
import pytest

from tests.acceptance.conftest import write_configuration
from tests.command import run_segjob

Segjob = Callable[..., "subprocess.CompletedProcess[str]"]

KEY = "kanariKey-4711"
NOTE = 'kanari"Kanari"kanari'
VALUES = ("kanari", "Kanari", "73577357")

# The canary is no outlier, and its note is rare: neither can be a part of the model.
CUSTOMERS = f"""
CREATE TABLE public.customer (id text, n int, note text, amount float8);
INSERT INTO public.customer
SELECT 'c' || i, i, (i % 3)::text, (i % 3) * 10 + i / 1000.0 FROM generate_series(1, 300) AS i;
INSERT INTO public.customer VALUES ('{KEY}', 0, '{NOTE}', 0.073577357);
CREATE FUNCTION public.refuse(text, text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF length($1) > 3 THEN
        RAISE EXCEPTION 'no number: %', $1 USING ERRCODE = $2, DETAIL = $1, HINT = $1;
    END IF;
    RETURN $1;
END $$;
CREATE FUNCTION public.assert_number(text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN ASSERT length($1) < 3, $1; RETURN $1; END $$
"""


def over(expression: str) -> dict[str, Any]:
    query = f"SELECT id, amount, {expression} AS bad FROM public.customer"
    return {"query": query, "key": "id", "n_clusters": 2, "features": ["amount", "bad"]}


SMALL: dict[str, Any] = {
    "source": "public.customer",
    "key": "id",
    "n_clusters": 2,
    "features": ["amount", {"column": "note", "encode": "onehot"}],
}


@dataclass(frozen=True)
class Way:
    """A way to fail: the exit code, the configuration, the command, what the database has, what ran well before."""

    code: int
    segmentation: dict[str, Any] = field(default_factory=lambda: SMALL)
    command: str = "run c"
    before: str = ""
    well: dict[str, Any] | None = None


WAYS = {
    "a key twice": Way(65, before="INSERT INTO public.customer SELECT * FROM public.customer"),
    "a NULL key": Way(65, before="UPDATE public.customer SET id = NULL WHERE id = 'c1'"),
    "no number": Way(65, over("note::int")),
    "no number in a search for k": Way(65, over("note::int"), "choose-k c --max 3"),
    "no number in a score": Way(65, over("note::int"), "score c", well=over("least(length(note), 1)")),
    "no date": Way(65, over("CASE WHEN length(note) > 3 THEN note END::date")),
    "no boolean": Way(65, over("CASE WHEN length(note) > 3 THEN note::bool END")),
    "no JSON": Way(65, over("length(note::json::text)")),
    "out of range": Way(65, over("(amount * 1e11)::int")),
    "raised": Way(65, over("public.refuse(note, 'P0001')")),
    "raised as a data exception": Way(65, over("public.refuse(note, '22023')")),
    "raised as of a class of its own": Way(70, over("public.refuse(note, 'KA001')")),
    "asserted": Way(65, over("public.assert_number(note)")),
    "raised while it is checked": Way(78, SMALL | {"where": f"public.refuse('{KEY}', 'P0001') = 1"}, "check c"),
    "refused by a gate": Way(3, SMALL | {"gates": {"min_customers": {"refuse": 1000}}}),
    "fewer than segments": Way(65, SMALL | {"where": f"note = '{NOTE}'"}),
    "no place for a report": Way(78, SMALL, "report c --out nowhere/report.html", well=SMALL),
    "no place for an export": Way(78, SMALL, "export c --out nowhere/labels.csv", well=SMALL),
    "no number in a file": Way(65, SMALL, "predict c --csv customers.csv", well=SMALL),
    "no such key": Way(2, SMALL | {"key": "n"}, f"forget c {KEY}", well=SMALL | {"key": "n"}),
}
"""What fails, and where on the way of the customers."""


@pytest.fixture
def customers(connection: psycopg.Connection) -> psycopg.Connection:
    connection.execute(CUSTOMERS)
    return connection


def kept(connection: psycopg.Connection) -> Iterator[str]:
    """Every row of the job's tables, but of those that are there to hold customers."""
    tables = connection.execute("""
        SELECT oid::regclass::text FROM pg_class WHERE relnamespace = to_regnamespace('segjob') AND relkind = 'r'
            AND relname !~ '^(label|membership)_|^sample_row$'
    """).fetchall()
    for (table,) in tables:
        for (row,) in connection.execute(f"SELECT t::text FROM {table} AS t".encode()):
            yield f"{table}: {row}"


def files(folder: Path) -> Iterator[str]:
    """Every file but those that the test wrote."""
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in ("segjob.yaml", "customers.csv"):
            yield f"{path}: {path.read_bytes().decode(errors='replace')}"


def with_canary(texts: Iterable[str], values: Sequence[str] = VALUES) -> list[str]:
    return [text for text in texts if any(value in text for value in values)]


@pytest.mark.parametrize("name", WAYS)
def test_no_customer_is_in_what_a_failing_command_says_or_keeps(
    name: str, customers: psycopg.Connection, segjob: Segjob, tmp_path: Path
) -> None:
    way = WAYS[name]
    (tmp_path / "customers.csv").write_text(f"amount\n{KEY}\n")
    write_configuration(tmp_path, {"c": way.well or way.segmentation})
    for command in ("migrate", "run c")[: 2 if way.well else 1]:
        done = segjob(*command.split())
        assert done.returncode == 0 or way.command == "check c", done.stderr
    customers.execute(way.before.encode())
    write_configuration(tmp_path, {"c": way.segmentation})
    done = segjob(*way.command.split(), "--debug", "--json", env={"TMPDIR": str(tmp_path)})
    assert done.returncode == way.code, done.stderr
    assert done.stdout
    assert with_canary([done.stdout, done.stderr, *kept(customers), *files(tmp_path)]) == []


def test_the_search_finds_a_customer_where_there_is_one(
    customers: psycopg.Connection, segjob: Segjob, tmp_path: Path
) -> None:
    write_configuration(tmp_path, {"c": SMALL | {"names": {1: NOTE}}})
    for command in ("migrate", "run c", "export c --out labels.csv"):
        assert segjob(*command.split()).returncode == 0
    assert any(text.startswith("segjob.segment:") for text in with_canary(kept(customers)))
    assert len(with_canary(files(tmp_path))) == 1


# The password

PASSWORD = "kanarienvogel"


@pytest.fixture
def bird(connection: psycopg.Connection, database_url: str) -> Iterator[SplitResult]:
    """Where somebody logs in whose password is the canary."""
    name = f"bird_{uuid4().hex[:12]}"
    connection.execute(f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{PASSWORD}'".encode())
    place = urlsplit(database_url)
    yield place._replace(netloc=f"{name}:{PASSWORD}@{place.netloc.rpartition('@')[2]}")
    connection.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}".encode())


def misspelt(place: SplitResult, before: str = "", database: str = "", option: str = "") -> str:
    """The URL with something before the password, another database or one more option."""
    query = "&".join(filter(None, (place.query, option)))
    netloc = place.netloc.replace(PASSWORD, before + PASSWORD)
    return place._replace(netloc=netloc, path=database or place.path, query=query).geturl()


WRONG = {
    "a wrong password": (77, {"before": "a"}),
    "no such database": (78, {"database": "/nowhere"}),
    "no such option": (78, {"option": f"pasword={PASSWORD}"}),
    "no such mode of TLS": (78, {"option": "sslmode=none"}),
    "an @ that is not encoded": (78, {"before": "a@"}),
    "a / that is not encoded": (78, {"before": "a/"}),
    "a % that is not encoded": (78, {"before": "%"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_no_password_is_in_what_a_command_says_that_can_not_connect(
    name: str, bird: SplitResult, tmp_path: Path
) -> None:
    code, mistake = WRONG[name]
    url = misspelt(bird, **mistake)
    write_configuration(tmp_path, {"c": SMALL})
    for given, option in ((url, ()), ("", ("--database-url", url))):
        done = run_segjob(tmp_path, given, "run", "c", "--debug", "--json", *option)
        assert done.returncode == code, done.stderr
        assert "Traceback" in done.stderr
        assert with_canary([done.stdout, done.stderr, *files(tmp_path)], [PASSWORD]) == []


def test_no_password_is_in_what_commands_say_and_keep_that_succeed(
    customers: psycopg.Connection, bird: SplitResult, tmp_path: Path
) -> None:
    write_configuration(tmp_path, {"c": SMALL})
    for command in ("check", "migrate", "migrate --sql", "run c", "check c", "report c", "status", "run c --dry-run"):
        done = run_segjob(tmp_path, bird.geturl(), *command.split(), "--debug")
        assert done.returncode == (78 if command == "check" else 0), done.stderr
        assert with_canary([done.stdout, done.stderr], [PASSWORD]) == []
    assert with_canary([*kept(customers), *files(tmp_path)], [PASSWORD]) == []
