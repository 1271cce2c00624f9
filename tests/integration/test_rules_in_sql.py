"""A rule, run as SQL against the source, finds the customers that were counted for it, whatever the columns hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import psycopg
import pytest

from segjob.clustering.features import select_rows, split_excluded
from segjob.clustering.kmeans import fit
from segjob.clustering.labels import LabelPass, nearest_two
from segjob.clustering.rules import MeasuredRule, learn_rules, measured_rules, rule_counts
from segjob.clustering.survey import survey_chunk
from segjob.engine.chunks import decode_chunk
from segjob.postgres.connecting.connect import Database
from segjob.postgres.reading.columns import ReadPlan, plan_read
from segjob.postgres.reading.read import read_plain
from segjob.postgres.reading.snapshot import hold
from segjob.postgres.reading.source import describe
from segjob.records.population import Chunk
from segjob.records.source import FeatureSpec, Impute, SourceSpec
from tests.unit.clustering.conftest import ListPopulation, planned

AMOUNT, GENDER = 'Betrag "in" €', "Пол"

# Four groups of customers; one value in thirteen is NULL, now and then one is NaN, infinite, or beyond float8.
CUSTOMERS = """
CREATE DOMAIN points AS integer;
CREATE DOMAIN share AS numeric;
CREATE TYPE colour AS ENUM ('red', 'light "green"', 'it''s \\ blue');
CREATE TABLE "Kunden Ж" AS
SELECT
    i AS "Kunde",
    CASE WHEN i % 13 <> 1 THEN 12345678.1 + i % 2 + (i % 7) * 0.0000000001 END::numeric(30, 10) AS "Betrag ""in"" €",
    CASE WHEN i % 13 <> 2 THEN 9007199254740990 + (i % 4) * 4 + i % 3 END AS large,
    CASE WHEN i % 13 <> 3 THEN 0.1 * (i % 4) + 0.01 * (i % 5) END::real AS single,
    CASE WHEN i % 13 <> 4 THEN CASE i % 29 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity'
        ELSE (i % 4 * 0.3 + i % 5 * 0.07)::text END END::double precision AS double,
    CASE i % 31 WHEN 0 THEN 'NaN' WHEN 1 THEN '1e400' WHEN 2 THEN '-1e400' WHEN 3 THEN 'Infinity'
        WHEN 4 THEN NULL ELSE (i % 4 + (i % 5) * 0.1)::text END::numeric AS free,
    CASE WHEN i % 13 <> 5 THEN i % 4 + 1 END::points AS points,
    CASE i % 31 WHEN 7 THEN 'NaN' WHEN 8 THEN NULL ELSE ((i % 4) / 7.0)::text END::share AS share,
    CASE WHEN i % 13 <> 6 THEN i % 4 = 1 END AS flag,
    CASE WHEN i % 13 <> 7 THEN CASE i % 29 WHEN 3 THEN 'infinity' WHEN 4 THEN '-infinity' ELSE
        (DATE '2024-02-27' + i % 4 * 100 + i % 5)::text END END::date AS signed_up_on,
    CASE WHEN i % 29 = 5 THEN 'infinity' WHEN i % 13 <> 8 THEN
        (TIMESTAMP '2024-03-01 11:59:59.999999' + i % 4 * interval '1 hour' + i % 5 * interval '1 microsecond')::text
        END::timestamp AS seen_at,
    CASE WHEN i % 29 = 6 THEN '-infinity' WHEN i % 13 <> 9 THEN
        (TIMESTAMPTZ '2024-03-01 12:00+03' + i % 4 * interval '7 days' + i % 5 * interval '1 second')::text
        END::timestamptz AS paid_at,
    CASE WHEN i % 4 = 3 THEN DATE '0044-03-15 BC' WHEN i % 4 = 2 THEN DATE '12345-06-07' ELSE 'epoch' END AS epoch,
    CASE WHEN i % 13 <> 10 THEN (ARRAY['m', 'f', 'd', 'O''Hara \\'])[1 + i % 4] END AS "Пол",
    CASE WHEN i % 13 <> 11 THEN (ARRAY['a', 'ab', 'abc', ''])[1 + i % 4] END::char(4) AS code,
    CASE WHEN i % 13 <> 12 THEN (enum_range(NULL::colour))[1 + i % 3] END AS colour,
    i % 4 AS whole
FROM generate_series(1, 1500) AS i
"""


@dataclass(frozen=True)
class Explained:
    """Rules, and the label of every customer by key."""

    rules: tuple[MeasuredRule, ...]
    labels: dict[int, int]


def read(database: Database, specs: Sequence[FeatureSpec]) -> tuple[ReadPlan, list[Chunk]]:
    with database.begin() as session:
        plan = plan_read(describe(session, SourceSpec(relation='public."Kunden Ж"')), ["Kunde"], specs)
    with hold(database, plan) as snapshot:
        return plan, [decode_chunk(batch) for batch in read_plain(database, snapshot, plan)]


def explain(database: Database, specs: Sequence[FeatureSpec], n_clusters: int) -> Explained:
    """From the source to the rules, as a run goes."""
    plan, everyone = read(database, specs)
    chunks = [select_rows(chunk, split_excluded(specs, chunk)[0]) for chunk in everyone]
    survey = reduce(lambda one, other: one.merge(other), [survey_chunk(specs, chunk) for chunk in chunks]).settle()
    families = [feature.family for feature in plan.features]
    types = [feature.type for feature in plan.features]
    features = planned(specs, families, survey, ListPopulation(chunks))
    sample, matrices = features.prepare(survey.sample.rows), [features.prepare(chunk) for chunk in chunks]
    found = fit(sample, ListPopulation(matrices), n_clusters, seed=1, unit=features.unit, device="cpu")
    ids = tuple(range(1, len(found.centers) + 1))
    index = nearest_two(found.centers, sample, "cpu").index
    rules = learn_rules(features.columns, types, survey.sample.rows, index, ids)
    label = LabelPass(features, found.tally, ids, "cpu")
    labels = [label(chunk, matrix)[0].segment_id for chunk, matrix in zip(chunks, matrices, strict=True)]
    counted = [rule_counts(rules, chunk, ids) for chunk, ids in zip(chunks, labels, strict=True)]
    counts = reduce(lambda one, other: one.merge(other), counted)
    excluded = sum(chunk.n_rows for chunk in chunks) < sum(chunk.n_rows for chunk in everyone)
    keys = [key for chunk in chunks for key in chunk.keys.columns[0].to_pylist()]
    return Explained(
        measured_rules(rules, counts, features.columns, types, excluded),
        dict(zip(keys, np.concatenate(labels).tolist(), strict=True)),
    )


def verify(connection: psycopg.Connection, explained: Explained) -> None:
    """Run each rule as SQL; what it finds has the precision and recall that it claims."""
    for rule in explained.rules:
        rows = connection.execute(f'SELECT "Kunde" FROM "Kunden Ж" WHERE {rule.predicate}'.encode()).fetchall()
        hits = sum(explained.labels.get(key) == rule.segment_id for (key,) in rows)
        members = sum(label == rule.segment_id for label in explained.labels.values())
        assert (rule.precision, rule.recall) == (hits / len(rows), hits / members), rule.predicate
        answers = connection.execute(f'SELECT DISTINCT {rule.predicate} FROM "Kunden Ж"'.encode()).fetchall()
        assert {answer for (answer,) in answers} <= {True, False}


@pytest.fixture
def customers(connection: psycopg.Connection, database: Database) -> Database:
    connection.execute(CUSTOMERS)
    connection.execute(
        "SET TimeZone = 'Asia/Kolkata'; SET DateStyle = 'SQL, DMY'; SET standard_conforming_strings = off"
    )
    return database


POLICIES: tuple[Impute, ...] = ("median", "exclude")
NUMBERS = (AMOUNT, "large", "single", "double", "free", "points", "share", "whole")
OTHERS = ("flag", "signed_up_on", "seen_at", "paid_at", "epoch")
CATEGORIES = (GENDER, "code", "colour", "flag")
ALONE = [
    *(FeatureSpec(column) for column in (*NUMBERS, *OTHERS)),
    *(FeatureSpec(column, onehot=True) for column in CATEGORIES),
]


def test_the_rules_of_every_kind_of_column_find_what_they_claim(
    customers: Database, connection: psycopg.Connection
) -> None:
    for spec in ALONE:
        for impute in POLICIES:
            explained = explain(customers, [FeatureSpec(spec.column, impute=impute, onehot=spec.onehot)], 3)
            assert any(spec.column.replace('"', '""') in rule.predicate for rule in explained.rules)
            verify(connection, explained)


@pytest.mark.parametrize("impute", ["zero", "exclude"])
def test_rules_over_many_columns_find_what_they_claim(
    customers: Database, connection: psycopg.Connection, impute: Impute
) -> None:
    columns = ("double", "free", "single", "signed_up_on", "paid_at")
    specs = [*(FeatureSpec(column, impute=impute) for column in columns), FeatureSpec(GENDER, onehot=True)]
    explained = explain(customers, specs, 5)
    assert all(rule.precision and rule.precision > 0.5 for rule in explained.rules)
    verify(connection, explained)


def test_under_log1p_what_is_at_most_minus_one_is_told_from_what_has_no_segment(
    customers: Database, connection: psycopg.Connection
) -> None:
    connection.execute('UPDATE "Kunden Ж" SET double = -5 WHERE "Kunde" % 11 = 0')
    for impute in POLICIES:
        verify(connection, explain(customers, [FeatureSpec("double", "log1p", impute=impute), FeatureSpec("whole")], 3))


def test_thresholds_are_written_as_constants_of_the_column_s_type(customers: Database) -> None:
    def predicates(column: str) -> str:
        return " ".join(rule.predicate for rule in explain(customers, [FeatureSpec(column)], 3).rules)

    assert "DATE '2024-" in predicates("signed_up_on")
    assert "TIMESTAMP '2024-03-01 1" in predicates("seen_at")
    assert "TIMESTAMPTZ '2024-03-" in predicates("paid_at")
    assert '("flag") IS TRUE' in " ".join(rule.predicate for rule in explain(customers, [FeatureSpec("flag")], 2).rules)


def test_a_single_segment_is_everyone(customers: Database, connection: psycopg.Connection) -> None:
    explained = explain(customers, [FeatureSpec("whole")], 1)
    assert [(rule.predicate, rule.precision, rule.recall) for rule in explained.rules] == [("TRUE", 1.0, 1.0)]
    verify(connection, explained)
    required = explain(customers, [FeatureSpec("points", impute="exclude")], 1)
    assert required.rules[0].recall == required.rules[0].precision == 1.0
    verify(connection, required)
