"""`segjob demo`: a shop of its own, segmented, and shown in SQL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from segjob import console
from segjob.clustering.agreement import adjusted_rand_index
from segjob.commands.database import open_database
from segjob.commands.migrate import migrate
from segjob.commands.report import report
from segjob.commands.run import Wanted, print_result, run_all
from segjob.config import Settings, load
from segjob.config.fields import EMBEDDED
from segjob.errors import ConfigurationError
from segjob.postgres.connecting.connect import Database
from segjob.postgres.queries import query
from segjob.shipped import sql_dir
from segjob.shop import create_shop

NAME = "shop"
SHOWN = 3  # of the examples; the others have more to tell after some runs
TRUTH = """
SELECT s.segment_id, t.segment FROM segments.shop AS s JOIN shop.customer_truth AS t USING (customer_id)
"""


def demo(directory: Path, as_json: bool) -> None:
    """Do what a user would do, step by step, and print it."""
    url = f"{EMBEDDED}{(directory / 'postgres').absolute()}"  # whatever DATABASE_URL says: the demo has its own
    settings = load(write_configuration(directory), {"database": {"url": url, "source_url": ""}})
    database = open_database(settings)
    make_shop(database)
    for sentence in migrate(settings, "head"):
        console.say(sentence)
    results, _ = run_all(settings, Wanted((NAME,)))
    with database.begin() as connection:
        agreement = agreement_with_truth(connection)
    page = report(settings, NAME, None, directory / "report.html")["file"]
    document = {**results[0], "adjusted_rand_index": agreement, "report": page}
    console.show(document, as_json, lambda _: print_demo(database, results[0], agreement, page, settings))


def write_configuration(directory: Path) -> Path:
    """Put the demo's configuration where its user can change it and run it again."""
    path = directory / "segjob.yaml"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text((sql_dir() / "demo" / "segjob.yaml").read_text())
    except OSError as error:
        raise ConfigurationError(f"can not write {path}: {error.strerror}") from error
    return path


def make_shop(database: Database) -> None:
    """Make customers and orders, once."""
    with database.begin() as connection:
        if not connection.execute(query("has_relation"), {"relation": "shop.customer_features"}).scalar_one():
            console.say("making a shop with 20,000 customers …")
            create_shop(connection)


def agreement_with_truth(connection: Connection) -> float:
    """How well the segments agree with those that the customers were drawn from: 1 is perfect, 0 is chance."""
    rows = connection.execute(text(TRUTH)).all()
    found, drawn = zip(*rows, strict=True)
    return adjusted_rand_index(np.array(found), np.unique(np.array(drawn), return_inverse=True)[1])


def print_demo(database: Database, result: dict[str, Any], agreement: float, page: str, settings: Settings) -> None:
    """The segments, three statements with their answers, and where to go from here."""
    print_result(result)
    print(f"agreement with the segments that the customers were drawn from (adjusted Rand index): {agreement:.3f}\n")
    with database.begin() as connection:
        for path in sorted((sql_dir() / "examples").glob("*.sql"))[:SHOWN]:
            print_answer(connection, path.read_text().strip())
    print(f"more:   {sql_dir() / 'examples'}")
    print(f"report: {page}")
    programs = Path(sys.executable).parent
    print(f"psql:   {programs / 'python'} -m segjob.postgres.embedded {settings.database.embedded_dir}")
    print(f"again:  {programs / 'segjob'} run {NAME} --config {settings.file}")


def print_answer(connection: Connection, statement: str) -> None:
    """A statement as it can be pasted, and what it answers."""
    print(statement)
    result = connection.execute(text(statement))
    console.table("", list(result.keys()), [list(row) for row in result])
