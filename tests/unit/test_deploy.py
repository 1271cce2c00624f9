"""The deployment files, as far as they can be held without an engine or a cluster."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import all_versions

from segjob import config, errors
from tests.manifests import (
    FIT,
    KUBERNETES,
    SCORE,
    action,
    containers,
    cronjobs,
    documents,
    job,
    kustomization,
    mounts,
    pod,
    resources,
    volumes,
)
from tests.markdown import page

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
FIRST = (1, 29)  # the first that has podReplacementPolicy without a feature gate
CONFIGURATIONS = [KUBERNETES / "segjob.yaml", ROOT / "sql" / "demo" / "segjob.yaml"]
SECRETS = "/run/secrets/segjob"  # where the job looks when SEGJOB_SECRETS_DIR says nothing
URL = "postgresql://somebody@db.example/shop"

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl to render with")


def services() -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load(COMPOSE.read_text())["services"])


def dockerfile(instruction: str) -> list[str]:
    joined = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return re.findall(rf"^{instruction}\s+(.*)$", joined, re.MULTILINE)


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for line in dockerfile("ENV") for pair in line.split())


def rendered(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], check=True, capture_output=True, text=True)
    return documents(done.stdout)


def refuse_invalid(manifests: list[dict[str, Any]], version: str) -> None:
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def kubernetes_versions() -> list[str]:
    return [known for known in all_versions() if tuple(map(int, known.split(".")[:2])) >= FIRST]


# Kubernetes


@pytest.mark.parametrize("version", kubernetes_versions())
def test_every_manifest_is_valid_in_every_kubernetes_that_the_guide_promises(version):
    refuse_invalid(resources(), version)


def test_a_misspelt_field_would_be_refused():
    wrong = cronjobs()[FIT]
    wrong["spec"]["timezone"] = wrong["spec"].pop("timeZone")
    with pytest.raises(kubernetes_validate.ValidationError):
        refuse_invalid([wrong], kubernetes_versions()[-1])


def test_the_kustomization_takes_every_file_of_its_folder():
    generated = [name for generator in kustomization()["configMapGenerator"] for name in generator["files"]]
    named = {*kustomization()["resources"], *generated, "kustomization.yaml"}
    assert named == {file.name for file in KUBERNETES.iterdir()}


@pytest.mark.parametrize("name", [FIT, SCORE])
def test_a_job_starts_once_at_the_local_time_and_never_beside_another_of_its_kind(name):
    spec = cronjobs()[name]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["timeZone"]
    assert spec["startingDeadlineSeconds"] >= 100  # fewer, and the controller may miss it between two of its looks
    assert pod(name)["restartPolicy"] == "Never"


def test_every_day_of_a_month_has_a_fit_or_a_score():
    fit, score = (cronjobs()[name]["spec"]["schedule"].split() for name in (FIT, SCORE))
    assert (fit[2], score[2]) == ("1", "2-31")
    assert fit[3:] == score[3:] == ["*", "*"]


@pytest.mark.parametrize(("name", "arguments"), [(FIT, ["run", "--all"]), (SCORE, ["score", "--all"])])
def test_the_schema_is_brought_up_to_date_before_the_job_runs(name, arguments):
    assert [container["args"] for container in pod(name)["initContainers"]] == [["migrate"]]
    assert [container["args"] for container in pod(name)["containers"]] == [arguments]


def test_a_score_runs_as_a_fit_does():
    """What the tests below hold of the fit's job and pod holds of the other as well."""
    fit, score = job(FIT), job(SCORE)
    for spec in (fit, score):
        (container,) = spec["template"]["spec"]["containers"]
        del container["name"], container["args"]
    assert fit == score


@pytest.mark.parametrize("name", ["migrate", "run"])
def test_no_container_is_root_or_may_become_it_or_write_to_its_image(name):
    security = containers()[name]["securityContext"]
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("name", ["migrate", "run"])
def test_every_container_says_what_it_needs_and_what_it_may_take(name):
    asked = containers()[name]["resources"]
    assert asked["requests"].keys() == asked["limits"].keys() == {"cpu", "memory", "ephemeral-storage"}


@pytest.mark.parametrize("name", ["migrate", "run"])
def test_every_mount_has_its_volume(name):
    assert set(mounts(name).values()) <= volumes().keys()


def test_the_spool_is_a_bounded_volume_of_the_pod_and_lies_where_the_configuration_says(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", URL)
    folder = config.load(KUBERNETES / "segjob.yaml").resources.spool_folder
    claim = volumes()[mounts("run")[str(folder)]]["ephemeral"]["volumeClaimTemplate"]["spec"]
    assert claim["resources"]["requests"] == {"storage": "4Gi"}


def codes(retryable: bool) -> set[int]:
    """Of commands that ended by themselves."""
    known = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.SegjobError)]
    return {one.exit_code for one in known if one.retryable is retryable and not issubclass(one, errors.Stopped)}


@pytest.mark.parametrize("code", sorted(codes(retryable=True)))
def test_what_a_later_attempt_may_mend_is_attempted_again(code):
    assert action(code) == "Count"


@pytest.mark.parametrize("code", [*sorted(codes(retryable=False)), 137])
def test_what_no_attempt_mends_fails_the_job_at_once(code):
    assert action(code) == "FailJob"


@pytest.mark.parametrize("code", [errors.Stopped.exit_code, 137])
def test_a_pod_that_the_cluster_moves_away_uses_up_no_attempt(code):
    assert action(code, "DisruptionTarget") == "Ignore"


def test_attempts_are_spaced_over_longer_than_the_server_takes_to_miss_a_machine():
    """The lock of a machine that vanished is held until the server has noticed, after a minute."""
    pauses = [10 * 2**attempt for attempt in range(job()["backoffLimit"])]
    assert 300 < sum(pauses) < job()["activeDeadlineSeconds"] / 2


def test_a_new_pod_waits_until_the_old_one_has_ended():
    assert job()["podReplacementPolicy"] == "Failed"
    assert pod()["terminationGracePeriodSeconds"] >= 10  # a run that is told to stop takes up to five


@pytest.mark.parametrize("name", ["migrate", "run"])
def test_each_container_finds_its_secret_where_the_job_looks_for_it(name):
    secret = volumes()[mounts(name)[SECRETS]]["secret"]
    assert [item["path"] for item in secret["items"]] == ["DATABASE_URL"]


def test_the_job_never_sees_the_password_of_the_owner():
    keys = {
        name: {
            item["key"]
            for mount in mounts(name).values()
            for item in volumes()[mount].get("secret", {}).get("items", [])
        }
        for name in containers()
    }
    assert keys == {"migrate": {"OWNER_DATABASE_URL"}, "run": {"DATABASE_URL"}}


def test_no_password_stands_in_the_manifests():
    assert not [resource["kind"] for resource in resources() if resource["kind"] == "Secret"]
    assert not [name for name, container in containers().items() if "env" in container]


@pytest.mark.parametrize("name", ["migrate", "run"])
def test_the_image_looks_for_the_configuration_where_the_map_is_mounted(name):
    file = Path(image_environment()["SEGJOB_CONFIG"])
    assert (
        volumes()[mounts(name)[str(file.parent)]]["configMap"]["name"]
        == kustomization()["configMapGenerator"][0]["name"]
    )
    assert kustomization()["configMapGenerator"][0]["files"] == [file.name]


@needs_kubectl
@pytest.mark.parametrize("version", kubernetes_versions()[-1:])
def test_what_kustomize_renders_is_valid_and_holds_the_configuration(version):
    manifests = rendered(KUBERNETES)
    refuse_invalid(manifests, version)
    held = next(manifest for manifest in manifests if manifest["kind"] == "ConfigMap")
    assert held["data"] == {"segjob.yaml": (KUBERNETES / "segjob.yaml").read_text()}


def overlay_of(folder: Path, kustomization: str) -> list[dict[str, Any]]:
    """What an overlay in a folder renders to, with the base found where it lies here."""
    base = os.path.relpath(KUBERNETES, folder.resolve())
    (folder / "kustomization.yaml").write_text(
        re.sub(r"(?m)^(\s+- )\S*deploy/kubernetes$", rf"\g<1>{base}", kustomization)
    )
    (folder / "segjob.yaml").write_text("segmentations: {}\n")
    manifests = rendered(folder)
    refuse_invalid(manifests, kubernetes_versions()[-1])
    return manifests


OVERLAY, *PATCHES = page("docs/how-to/kubernetes.md").blocks("yaml")


@needs_kubectl
def test_the_overlay_that_the_how_to_shows_renders(tmp_path):
    assert {manifest["metadata"]["namespace"] for manifest in overlay_of(tmp_path, OVERLAY)} == {"analytics"}


@needs_kubectl
@pytest.mark.parametrize("patch", PATCHES, ids=["larger", "folder-of-the-node"])
def test_every_other_spool_that_the_how_to_shows_is_in_the_place_of_the_first(tmp_path, patch):
    changed = [
        one for one in overlay_of(tmp_path, OVERLAY.partition("patches:")[0] + patch) if one["kind"] == "CronJob"
    ]
    assert len(changed) == 2
    for cronjob in changed:
        spec = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert [volume["name"] for volume in spec["volumes"]] == list(volumes())
        assert spec["volumes"][-1] != volumes()["spool"]


# The configurations


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=["kubernetes", "compose"])
def test_every_configuration_that_is_deployed_is_valid(file, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", URL)
    assert config.load(file).database.conninfo == URL


# Docker


def test_the_compose_file_is_valid():
    schema = ["--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *schema, str(COMPOSE)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_each_service_waits_for_the_one_before_it():
    waits = {name: service.get("depends_on", {}) for name, service in services().items()}
    assert waits == {
        "postgres": {},
        "migrate": {"postgres": {"condition": "service_healthy"}},
        "job": {"migrate": {"condition": "service_completed_successfully"}},
    }
    assert services()["postgres"]["healthcheck"]["test"]


def test_every_image_and_password_can_be_chosen_by_a_variable():
    assert {service["image"] for service in services().values()} == {
        "${SEGJOB_POSTGRES_IMAGE:-postgres:18}",
        "${SEGJOB_IMAGE:-segjob}",
    }
    arguments = services()["migrate"]["build"]["args"]
    assert arguments["BASE_IMAGE"] == "${SEGJOB_BASE_IMAGE:-python:3.11-slim}"
    secrets = [
        value for service in services().values() for name, value in service["environment"].items() if "PASSWORD" in name
    ]
    assert {secret.split(":-")[0] for secret in secrets} == {"${SEGJOB_POSTGRES_PASSWORD"}
    assert len(secrets) == len(services())


@pytest.mark.parametrize("name", ["migrate", "job"])
def test_compose_gives_the_job_nothing_it_does_not_need(name):
    assert services()[name]["read_only"] is True
    assert services()[name]["cap_drop"] == ["ALL"]
    assert services()[name]["security_opt"] == ["no-new-privileges:true"]


def test_everything_that_compose_mounts_is_there():
    mounted = [volume.split(":")[0] for service in services().values() for volume in service.get("volumes", [])]
    assert mounted
    assert all((ROOT / path).exists() for path in mounted)


def test_the_sample_is_made_by_every_file_of_the_demo_in_their_order():
    included = re.findall(
        r"^\\i /sample/(\S+)$", (ROOT / "deploy" / "compose" / "sample.sql").read_text(), re.MULTILINE
    )
    assert included == sorted(file.name for file in (ROOT / "sql" / "demo").glob("*.sql"))


def test_every_stage_of_the_image_starts_from_the_base_that_was_chosen():
    assert {line.split()[0] for line in dockerfile("FROM")} == {"${BASE_IMAGE}"}
    assert "BASE_IMAGE=python:3.11-slim" in dockerfile("ARG")


def test_the_image_runs_as_a_number_that_is_not_root():
    assert dockerfile("USER") == ["65532:65532"]


def test_the_arguments_that_compose_gives_are_those_of_the_dockerfile():
    known = {line.split("=")[0] for line in dockerfile("ARG")}
    assert services()["migrate"]["build"]["args"].keys() == known


def test_the_build_gets_what_it_copies_and_nothing_else():
    copied = [name for line in dockerfile("COPY") if "--from" not in line for name in line.split()[:-1]]
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(copied) == sorted(let_in)
    assert all((ROOT / name).exists() for name in copied)
