"""The manifests are what Kubernetes and its extensions take, and what kube-score finds sound."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from . import schemas
from .rendered import CHECKOUT, NAMES, Manifest, manifests, named, of_kind, program, text

# The three that are supported when this is written.
VERSIONS = ("1.35", "1.36", "1.37")
pytestmark = pytest.mark.timeout(600)


def plain_faults(manifest: Manifest, version: str) -> list[str]:
    """What is wrong with one of Kubernetes' own kinds, unknown fields included."""
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as problem:
        return [f"{manifest['kind']} {manifest['metadata']['name']}: {problem}"]
    return []


def is_custom(manifest: Manifest) -> bool:
    return manifest["apiVersion"] in schemas.known()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", NAMES)
def test_every_manifest_is_valid(overlay: str, version: str) -> None:
    """Strictly: a misspelt field is an error, where a cluster would drop it without a word."""
    found = [
        fault
        for one in manifests(overlay)
        for fault in (schemas.faults(one) if is_custom(one) else plain_faults(one, version))
    ]
    assert found == []


def misspelt(kind: str, *path: str) -> Manifest:
    """A manifest of ours with a field that does not exist."""
    manifest = copy.deepcopy(named("mesh", kind, "strict" if "Peer" in kind else "gateway"))
    place: Any = manifest
    for step in path:
        place = place[step]
    place["replicsa"] = 2
    return manifest


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Deployment", ("spec", "template", "spec")),
        ("HTTPRoute", ("spec",)),
        ("BackendTrafficPolicy", ("spec", "timeout", "http")),
        ("ClientTrafficPolicy", ("spec", "tls")),
        ("ServiceMonitor", ("spec",)),
        ("PrometheusRule", ("spec",)),
        ("PeerAuthentication", ("spec", "mtls")),
    ],
)
def test_a_misspelt_field_is_found(kind: str, path: tuple[str, ...]) -> None:
    """The check above can fail, for every kind of schema there is."""
    manifest = misspelt(kind, *path)
    found = (
        schemas.faults(manifest) if is_custom(manifest) else plain_faults(manifest, VERSIONS[-1])
    )
    assert "replicsa" in "".join(found)


@pytest.mark.parametrize("overlay", NAMES)
def test_kube_score_finds_nothing_critical(overlay: str, tmp_path: Path) -> None:
    """Its exit code says so; images of the dev overlay are on the node, and never pulled."""
    file = tmp_path / "manifests.yaml"
    file.write_text(text(overlay), "utf-8")
    ignored = ("--ignore-test", "container-image-pull-policy") if overlay == "dev" else ()
    done = subprocess.run(
        [program("kube-score"), "score", *ignored, file],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "apps/v1/Deployment gateway" in done.stdout


@pytest.mark.parametrize("overlay", NAMES)
def test_no_secret_is_written_down(overlay: str) -> None:
    """Secrets are referred to by name; who deploys fills them."""
    assert of_kind(overlay, "Secret") == []


@pytest.mark.parametrize("overlay", NAMES)
def test_everything_is_in_the_one_namespace(overlay: str) -> None:
    """An apply touches nothing else."""
    for one in manifests(overlay):
        if one["kind"] == "Namespace":
            assert one["metadata"]["name"] == "knowledge-base"
            assert one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        else:
            assert one["metadata"]["namespace"] == "knowledge-base", one


def test_the_alerts_are_those_of_the_rules_file() -> None:
    """``prometheus-rule.yaml`` wraps ``alerts.yaml``, which promtool tests."""
    rules = yaml.safe_load((CHECKOUT / "k8s/monitoring/alerts.yaml").read_text("utf-8"))
    command = "python -m tools.prometheus_rule"
    assert named("production", "PrometheusRule")["spec"] == rules, f"run: {command}"


@pytest.mark.parametrize("overlay", NAMES)
def test_a_drained_node_leaves_pods_that_serve(overlay: str) -> None:
    """The budget lets one pod go at a time, of more than one that there always are.

    A share of them (``100%``) lets all go at once. A budget for another set of pods lets them too.
    """
    budget = named(overlay, "PodDisruptionBudget")["spec"]
    assert "minAvailable" not in budget
    assert budget["maxUnavailable"] == 1
    deployment = named(overlay, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    wanted = budget["selector"]["matchLabels"]
    assert wanted.items() <= labels.items()
    assert wanted == deployment["spec"]["selector"]["matchLabels"]
    fewest = [one["spec"]["minReplicas"] for one in of_kind(overlay, "HorizontalPodAutoscaler")]
    assert all(number > 1 for number in fewest)
