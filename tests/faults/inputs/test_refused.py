"""Input that can not be segmented: one sentence with what and where, the exit code, a row, and nobody sees a change.

The numbers are those of the list in docs/reliability.md.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import yaml

from tests.acceptance.conftest import MALL, write_configuration
from tests.faults.inputs.conftest import Mall
from tests.waiting import wait_until

LOOSEN = """
ALTER TABLE public.mall_customer DROP CONSTRAINT mall_customer_pkey;
ALTER TABLE public.mall_customer ALTER customer_id DROP NOT NULL;
"""
BROKEN_TEXT = r"""
CREATE CAST (bytea AS text) WITHOUT FUNCTION;
UPDATE public.mall_customer SET gender = '\xff'::bytea::text WHERE customer_id = 77;
"""


def test_01_no_rows(published: Mall) -> None:
    published.execute("CREATE TABLE kept AS TABLE public.mall_customer; TRUNCATE public.mall_customer")
    published.refused(65, "the source has no rows", row="failed")
    published.refused(65, "the source has no rows", "nobody lost a label", row="failed", command=("score", "mall"))
    published.execute("INSERT INTO public.mall_customer TABLE kept")
    assert published.succeed("run", "mall")["status"] == "published", "running again does not help"


def test_01_no_rows_behind_the_filter(published: Mall) -> None:
    published.configure(where="annual_income < 0")
    published.refused(65, "the source has no rows that `where` lets through", row="failed")


def test_02_fewer_rows_than_segments(published: Mall) -> None:
    published.execute("DELETE FROM public.mall_customer WHERE customer_id > 4")
    published.refused(65, "4 customers", "5 segments", row="failed")
    published.configure(n_clusters={"min": 7, "max": 9})
    published.refused(65, "4 customers", "7", row="failed")


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ("DELETE FROM public.mall_customer WHERE customer_id % 2 = 0", "0.5"),
        (
            "INSERT INTO public.mall_customer SELECT customer_id + 1000 * i, gender, age, annual_income, spending_score"
            " FROM public.mall_customer, generate_series(1, 2) AS i",
            "2",
        ),
    ],
    ids=["half", "three times"],
)
def test_04_half_or_three_times_the_customers_of_last_time(published: Mall, change: str, factor: str) -> None:
    published.execute(change)
    before = published.seen()
    done = published.command("run", "mall")
    assert done.returncode == 3, done.stderr
    sentence = f"gate max_volume_change: measured {factor}, refuses from 0.5"
    assert sentence in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert published.seen() == before
    run_id, status, code, error = published.last_run()
    assert (run_id, status, code) == (2, "rejected", 3)
    assert sentence in error


def test_09_a_null_key(published: Mall) -> None:
    published.execute(f"{LOOSEN} UPDATE public.mall_customer SET customer_id = NULL WHERE customer_id IN (7, 8)")
    published.refused(65, 'key column "customer_id" is NULL', "2 of", "where", row="failed")
    published.refused(65, 'key column "customer_id" is NULL', row="failed", command=("score", "mall"))


def test_10_a_duplicate_key(published: Mall) -> None:
    published.execute(f"{LOOSEN} UPDATE public.mall_customer SET customer_id = 177 WHERE customer_id = 178")
    said = published.refused(65, "key (customer_id) is not unique", "one row a customer", row="failed")
    assert "177" not in said, "the sentence names a customer"
    published.refused(65, "key (customer_id) is not unique", row="failed", command=("score", "mall"))


ODD = {
    "money": "'12.30'",
    "oid": "77",
    "json": "'{}'",
    "jsonb": "'{}'",
    "integer[]": "'{1}'",
    "text[]": "'{a}'",
    "interval": "'1 day'",
    "time without time zone": "'12:00'",
    "bytea": "'a'",
    "point": "'(1,2)'",
    "int4range": "'[1,2)'",
    "bit(3)": "'101'",
    "inet": "'127.0.0.1'",
}


def test_18_types_that_can_be_neither_feature_nor_key(published: Mall) -> None:
    kinds = {f"odd_{number}": kind for number, kind in enumerate(ODD)}
    added = ", ".join(f"ADD {name} {kind} NOT NULL DEFAULT {ODD[kind]}" for name, kind in kinds.items())
    published.execute(f"ALTER TABLE public.mall_customer {added}")
    asked = {}
    for name in kinds:
        asked[f"{name}_number"] = {**MALL, "features": ["annual_income", name]}
        asked[f"{name}_category"] = {**MALL, "features": ["annual_income", {"column": name, "encode": "onehot"}]}
        asked[f"{name}_key"] = {**MALL, "key": name}
    write_configuration(published.folder, asked)
    before = published.last_run()
    done = published.command("run", "--all", "--json")
    assert done.returncode == 78
    for one in json.loads(done.stdout):
        name, _, use = one["segmentation"].rpartition("_")
        said = one["error"]["message"]
        assert one["error"]["exit_code"] == 78
        assert f'{"key" if use == "key" else "features"}: column "{name}" is {kinds[name]}' in said
        assert {"number": "double precision", "category": "enum", "key": "uuid"}[use] in said
    assert published.last_run() == before


def test_20_text_that_is_not_valid_in_its_encoding(published: Mall) -> None:
    published.configure(features=["annual_income", {"column": "gender", "encode": "onehot"}])
    published.succeed("migrate")
    published.execute(BROKEN_TEXT)
    published.refused(65, 'column "gender"', "not valid in its encoding", row="failed")


def test_23_row_level_security_on_the_source(published: Mall, role: str) -> None:
    published.execute(f"""
        GRANT SELECT ON public.mall_customer TO {role};
        ALTER TABLE public.mall_customer ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON public.mall_customer USING (customer_id < 100);
    """)
    said = published.refused(77, "row-level security", "mall_customer", "BYPASSRLS", row=None, role=role)
    assert "100" not in said


def test_24_the_type_of_a_column_changed(published: Mall) -> None:
    published.execute("ALTER TABLE public.mall_customer ALTER annual_income TYPE numeric(10, 2)")
    said = published.refused(78, "names or types", "segjob migrate", row=None)
    assert "annual_income" in said
    assert "integer" in said
    assert "numeric(10,2)" in said
    published.succeed("migrate")
    assert published.succeed("run", "mall")["version_id"] == 2


def test_24_the_list_of_features_changed(published: Mall) -> None:
    published.configure(features=["annual_income", "spending_score", "age"])
    published.refused(78, "age", "segjob migrate", row=None)
    published.refused(78, "age", "segjob migrate", row=None, command=("score", "mall"))
    published.succeed("migrate")
    assert published.succeed("run", "mall")["version_id"] == 2


def test_24_the_type_of_the_key_changed(published: Mall) -> None:
    published.execute("ALTER TABLE public.mall_customer ALTER customer_id TYPE bigint")
    published.refused(78, "customer_id", "segjob migrate", row=None)
    published.refused(78, "key changed", "another name", row=None, command=("migrate",))


def test_25_a_column_dropped_between_the_look_at_it_and_the_snapshot(published: Mall) -> None:
    with (
        psycopg.connect(published.url) as holder,
        ThreadPoolExecutor(1) as worker,
    ):
        holder.execute("LOCK TABLE segjob.run IN SHARE MODE")  # where the run writes its row, before it reads
        running = worker.submit(published.refused, 75, "spending_score", "run again", row="failed")
        wait_until_somebody_waits(published)
        published.execute("ALTER TABLE public.mall_customer DROP COLUMN spending_score")
        holder.rollback()
        running.result()
    published.refused(78, 'the source has no column "spending_score"', row=None)


def test_25_a_column_dropped_while_it_is_read(published: Mall) -> None:
    published.execute("""
        CREATE FUNCTION public.slowly(integer) RETURNS boolean LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_catalog.pg_sleep(0.005); RETURN true; END';
    """)
    published.configure(where="public.slowly(customer_id)")
    with ThreadPoolExecutor(1) as worker:
        running = worker.submit(published.succeed, "run", "mall")
        wait_until_somebody_reads(published)
        published.execute("ALTER TABLE public.mall_customer DROP COLUMN spending_score")  # waits for the read
        assert running.result()["n_customers"] == 200
    published.refused(78, 'the source has no column "spending_score"', row=None)


def wait_until_somebody_waits(mall: Mall) -> None:
    wait_until(lambda: mall.execute("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")[0])


def wait_until_somebody_reads(mall: Mall) -> None:
    sleeping = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE 'COPY%'"
    wait_until(lambda: mall.execute(sleeping)[0])


@pytest.fixture
def job(published: Mall, role: str) -> str:
    """The role of the job, no superuser, for which the database was migrated."""
    write_configuration(published.folder, {"mall": MALL}, job_role=role)
    published.execute(f"GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT ON public.mall_customer TO {role}")
    published.succeed("migrate")
    return role


@pytest.mark.parametrize("table", ["label_mall", "membership_mall"])
def test_26_a_table_of_ours_that_somebody_else_owns(published: Mall, job: str, table: str) -> None:
    owner = published.execute("SELECT current_user")[0]
    published.execute(f"ALTER TABLE segjob.{table} OWNER TO CURRENT_USER")
    for command in ("run", "score"):
        said = published.refused(
            77, f"segjob.{table}", owner, "segjob migrate", row="failed", command=(command, "mall"), role=job
        )
        assert job not in said
    checked = published.command("check", role=job)
    assert checked.returncode == 77
    assert f"segjob.{table}" in checked.stdout
    published.succeed("migrate")
    assert published.succeed("run", "mall", role=job)["version_id"] == 2


def test_26_a_left_table_of_ours_that_somebody_else_owns(published: Mall, job: str) -> None:
    published.execute('CREATE TABLE segjob."label_mall$2" ()')
    published.refused(77, "label_mall$2", row="failed", role=job)


def test_26_books_of_ours_that_somebody_else_owns(published: Mall, role: str) -> None:
    published.execute(f"GRANT SELECT ON public.mall_customer TO {role}; GRANT USAGE ON SCHEMA segjob TO {role}")
    published.refused(77, "permission denied for table", row=None, role=role)


@pytest.mark.parametrize(("revision", "words"), [("0000", ("segjob migrate",)), ("9999", ("9999", "update segjob"))])
def test_27_a_schema_older_or_newer_than_the_program(published: Mall, revision: str, words: tuple[str, ...]) -> None:
    published.execute(f"UPDATE segjob.alembic_version SET version_num = '{revision}'")
    for command in ("run", "score"):
        published.refused(78, "the schema has version", revision, *words, row=None, command=(command, "mall"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n_cluster: 5", ("segjob.yaml", "segmentations.mall.n_cluster", "n_clusters")),
        ("n_clusters: many", ("segjob.yaml", "segmentations.mall.n_clusters", "many")),
        ("seed: [1]", ("segjob.yaml", "segmentations.mall.seed")),
        ("features: [annual_income, annual_income]", ("segjob.yaml", "segmentations.mall.features", "annual_income")),
        ("key: []", ("segjob.yaml", "segmentations.mall.key")),
    ],
)
def test_31_unknown_keys_and_wrong_types(published: Mall, text: str, words: tuple[str, ...]) -> None:
    path = published.folder / "segjob.yaml"
    key = text.partition(":")[0]
    path.write_text(with_key(path.read_text(), key, text))
    published.refused(78, *words, row=None)


def with_key(written: str, key: str, text: str) -> str:
    settings = yaml.safe_load(written)
    settings["segmentations"]["mall"].pop(key, None)
    return yaml.safe_dump(settings, sort_keys=False) + f"    {text}\n"


def test_31_two_segmentations_of_one_name(published: Mall) -> None:
    path = published.folder / "segjob.yaml"
    path.write_text(path.read_text() + "  mall: {source: public.other, key: id, features: [a], n_clusters: 2}\n")
    published.refused(78, "segjob.yaml", "mall", "twice", row=None)


@pytest.mark.parametrize("out", ["/nowhere/at/all.html", ".", "/proc/report.html", "segjob.yaml/report.html"])
def test_32_a_report_that_can_not_be_written(published: Mall, out: str) -> None:
    published.refused(78, out, row=None, command=("report", "mall", "--out", out))


@pytest.mark.parametrize("out", ["/nowhere/at/all.csv", "/proc/labels.csv"])
def test_32_an_export_that_can_not_be_written(published: Mall, out: str) -> None:
    published.refused(78, out, row=None, command=("export", "mall", "--out", out))


DROPS_ROWS = """
CREATE FUNCTION public.drop_some() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN IF NEW.customer_id IN (7, 77) THEN RETURN NULL; END IF; RETURN NEW; END';
CREATE FUNCTION public.meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE made text;
BEGIN
    FOR made IN SELECT object_identity FROM pg_catalog.pg_event_trigger_ddl_commands() WHERE object_type = 'table' LOOP
        EXECUTE 'CREATE TRIGGER meddling BEFORE INSERT ON ' || made
            || ' FOR EACH ROW EXECUTE FUNCTION public.drop_some()';
    END LOOP;
END $$;
CREATE EVENT TRIGGER meddling ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.meddle();
"""


def test_fewer_rows_written_than_read(published: Mall) -> None:
    published.execute(DROPS_ROWS)
    published.refused(65, "200 customers were read and 198 written", "nothing was published", row="failed")
    published.execute("DROP EVENT TRIGGER meddling")
    assert published.succeed("run", "mall")["n_customers"] == 200


def test_a_missing_source(published: Mall) -> None:
    published.execute("ALTER TABLE public.mall_customer RENAME TO mall_customers")
    published.refused(78, "source public.mall_customer", "no such relation", "mall_customers", row=None)


def test_a_missing_column(published: Mall) -> None:
    published.execute("ALTER TABLE public.mall_customer RENAME spending_score TO spending_scores")
    published.refused(78, 'no column "spending_score"', "did you mean spending_scores", row=None)


def test_a_source_that_this_role_may_not_read(published: Mall, role: str) -> None:
    published.refused(77, "permission denied", "mall_customer", row=None, role=role)
