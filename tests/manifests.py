"""What the Kubernetes manifests say, and what a cluster makes of a pod that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

KUBERNETES = Path(__file__).parents[1] / "deploy" / "kubernetes"
FIT, SCORE = "segjob-fit", "segjob-score"


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def kustomization() -> dict[str, Any]:
    return documents((KUBERNETES / "kustomization.yaml").read_text())[0]


def resources() -> list[dict[str, Any]]:
    return [found for name in kustomization()["resources"] for found in documents((KUBERNETES / name).read_text())]


def cronjobs() -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found for found in resources() if found["kind"] == "CronJob"}


def job(cronjob: str = FIT) -> dict[str, Any]:
    return dict(cronjobs()[cronjob]["spec"]["jobTemplate"]["spec"])


def pod(cronjob: str = FIT) -> dict[str, Any]:
    return dict(job(cronjob)["template"]["spec"])


def containers(cronjob: str = FIT) -> dict[str, dict[str, Any]]:
    both = (*pod(cronjob)["initContainers"], *pod(cronjob)["containers"])
    return {container["name"]: container for container in both}


def volumes() -> dict[str, dict[str, Any]]:
    return {volume["name"]: volume for volume in pod()["volumes"]}


def mounts(container: str) -> dict[str, str]:
    return {mount["mountPath"]: mount["name"] for mount in containers()[container]["volumeMounts"]}


def action(exit_code: int, *conditions: str, cronjob: str = FIT) -> str:
    """What becomes of a Job when a container of its pod ended so: the first rule that fits, else it is counted."""
    for rule in job(cronjob)["podFailurePolicy"]["rules"]:
        disturbed = {pattern["type"] for pattern in rule.get("onPodConditions", ()) if pattern["status"] == "True"}
        if disturbed.intersection(conditions) or exit_code in rule.get("onExitCodes", {}).get("values", ()):
            return str(rule["action"])
    return "Count"
