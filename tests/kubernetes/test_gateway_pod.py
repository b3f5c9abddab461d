"""The gateway's pod: its settings, its secrets, its limits and its end fit together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.commands import cli
from gateway.settings import SPECS, Settings

from .rendered import CHECKOUT, NAMES, Manifest, containers, environment, named, pods

MIB = 1024 * 1024
# What two workers may weigh at rest with a login under way, and an idle gateway may use: bars that
# tests of the gateway hold. A stream's memory is docs/benchmarks.md's, rounded up.
TWO_WORKERS_BYTES = 128 * MIB
IDLE_CORES = 0.010
STREAM_BYTES = 30 * 1024
# What the node may need besides, until the container is gone.
STOP_MARGIN_S = 5

SECRETS = {
    "jwt-secret": "a jwt secret of the tests, long enough",
    "core-token": "core-token-of-the-tests",
    "admin-password": "a password of the tests",
    "s3-access-key": "access",
    "s3-secret-key": "secret",
    "s3-keys-access-key": "keys-access",
    "s3-keys-secret-key": "keys-secret",
    "redis-url": "redis://redis.knowledge-base.svc.cluster.local:6379",
    "users.json": '{"version": 1, "users": {}}',
}


def pod(overlay: str) -> Manifest:
    spec: Manifest = named(overlay, "Deployment")["spec"]["template"]["spec"]
    return spec


def gateway_pods() -> list[tuple[str, str, Manifest, Manifest]]:
    """Every container of the gateway's image: overlay, owner, pod, container."""
    return [
        (overlay, owner, template["spec"], container)
        for overlay in NAMES
        for owner, template in pods(overlay)
        for container in containers(template)
        if "knowledge-base-gateway" in container["image"]
    ]


def told(overlay: str, spec: Manifest, container: Manifest, place: Path) -> dict[str, str]:
    """Its environment, with the mounted Secrets as files below ``place``."""
    env = environment(overlay, container)
    for volume in spec["volumes"]:
        for mount in container["volumeMounts"]:
            if mount["name"] != volume["name"] or "secret" not in volume:
                continue
            folder = place / volume["secret"]["secretName"]
            folder.mkdir(exist_ok=True)
            for name, path in env.items():
                if path.startswith(mount["mountPath"] + "/"):
                    key = path.removeprefix(mount["mountPath"] + "/")
                    (folder / key).write_text(SECRETS[key])
                    env[name] = str(folder / key)
    return env


def settings(overlay: str, place: Path) -> Settings:
    spec = pod(overlay)
    return Settings.load(told(overlay, spec, spec["containers"][0], place))


@pytest.mark.parametrize("overlay", NAMES)
def test_settings_are_good(
    overlay: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``gateway check`` with what each container is told: every name known, every value taken."""
    checked = 0
    for found, owner, spec, container in gateway_pods():
        if found != overlay:
            continue
        env = told(overlay, spec, container, tmp_path)
        assert cli.main(["check"], env) == 0, f"{owner}: {capsys.readouterr().out}"
        # Nothing is left at the default of a laptop.
        assert env["GATEWAY_SERVER_HOST"] == "0.0.0.0"
        checked += 1
    assert checked >= 1


@pytest.mark.parametrize("overlay", NAMES)
def test_secrets_are_files_of_a_mounted_secret(overlay: str, tmp_path: Path) -> None:
    """No secret stands in the environment, and each file named is one a Secret brings."""
    spec = pod(overlay)
    env = told(overlay, spec, spec["containers"][0], tmp_path)
    secret = {spec.env for spec in SPECS.values() if spec.secret}
    assert secret.isdisjoint(env)
    files = {name: path for name, path in env.items() if name.removesuffix("_FILE") in secret}
    files["GATEWAY_USERS_FILE"] = env.get("GATEWAY_USERS_FILE", next(iter(files.values())))
    assert len(files) >= 6
    assert all(Path(path).is_file() for path in files.values())


@pytest.mark.parametrize("overlay", NAMES)
def test_keys_of_the_secrets_are_documented(overlay: str) -> None:
    """Who deploys reads there what to fill in."""
    page = (CHECKOUT / "docs" / "kubernetes.md").read_text("utf-8")
    spec = pod(overlay)
    paths = [one.get("value", "") for one in spec["containers"][0]["env"]]
    for key in (path.rsplit("/", 1)[1] for path in paths if path.startswith("/run/secrets/")):
        assert f"`{key}`" in page
    for volume in spec["volumes"]:
        if "secret" in volume:
            assert f"`{volume['secret']['secretName']}`" in page


@pytest.mark.parametrize("overlay", NAMES)
def test_a_pod_has_time_to_drain(overlay: str, tmp_path: Path) -> None:
    """The kubelet's patience, which starts before preStop, outlasts all that the gateway does."""
    spec = pod(overlay)
    loaded = settings(overlay, tmp_path)
    asleep_s = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    # The load balancers' grace is part of the drain limit.
    assert loaded.drain_grace < loaded.drain_limit
    needed_s = asleep_s + loaded.drain_limit + loaded.shutdown_grace + STOP_MARGIN_S
    assert spec["terminationGracePeriodSeconds"] >= needed_s


@pytest.mark.parametrize("overlay", NAMES)
def test_memory_and_cpu_fit_what_is_asked_and_allowed(overlay: str, tmp_path: Path) -> None:
    """At rest within the requests; with every connection a stream, within the limits."""
    loaded = settings(overlay, tmp_path)
    resources = pod(overlay)["containers"][0]["resources"]
    assert resources["requests"] | {"ephemeral-storage": ""} == {
        "cpu": "100m",
        "memory": "144Mi",
        "ephemeral-storage": "",
    }
    assert resources["limits"] | {"ephemeral-storage": ""} == {
        "cpu": "200m",
        "memory": "256Mi",
        "ephemeral-storage": "",
    }
    assert loaded.server_workers == 2
    assert TWO_WORKERS_BYTES <= 128 * MIB
    streams = loaded.server_workers * loaded.connections_limit
    assert TWO_WORKERS_BYTES + streams * STREAM_BYTES <= 256 * MIB
    assert IDLE_CORES <= 0.1


@pytest.mark.parametrize("overlay", NAMES)
def test_probes_ask_what_the_issue_says(overlay: str) -> None:
    """Alive every 10 s, ready every 5 s, and patience at the start."""
    container = pod(overlay)["containers"][0]
    live, ready = container["livenessProbe"], container["readinessProbe"]
    assert (live["httpGet"]["path"], live["periodSeconds"]) == ("/healthz", 10)
    assert (ready["httpGet"]["path"], ready["periodSeconds"]) == ("/readyz", 5)
    start = container["startupProbe"]
    assert start["httpGet"]["path"] == "/healthz"
    assert start["periodSeconds"] * start["failureThreshold"] >= 60


@pytest.mark.parametrize("overlay", NAMES)
def test_every_pod_gives_up_what_it_does_not_need(overlay: str) -> None:
    """No root, no capability, no way to more, no writable root, no token of the cluster."""
    for owner, template in pods(overlay):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, owner
        assert spec["securityContext"]["runAsNonRoot"] is True, owner
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        for container in containers(template):
            held: dict[str, Any] = container["securityContext"]
            assert held["readOnlyRootFilesystem"] is True, container["name"]
            assert held["allowPrivilegeEscalation"] is False, container["name"]
            assert held["capabilities"] == {"drop": ["ALL"]}, container["name"]


def test_replicas_are_two_at_least_and_spread() -> None:
    """By the autoscaler in production, where a number in the Deployment would fight it."""
    scaler = named("production", "HorizontalPodAutoscaler")["spec"]
    deployment = named("production", "Deployment")["spec"]
    assert scaler["minReplicas"] >= 2
    assert "replicas" not in deployment
    assert named("dev", "Deployment")["spec"]["replicas"] >= 2
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert {one["topologyKey"] for one in spread} == {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }


def test_the_autoscaler_watches_a_metric_that_exists() -> None:
    """CPU, and the open streams by the name the gateway tells them under."""
    metrics = named("production", "HorizontalPodAutoscaler")["spec"]["metrics"]
    kinds = {one["type"] for one in metrics}
    assert kinds == {"Resource", "Pods"}
    [streams] = [one["pods"]["metric"]["name"] for one in metrics if one["type"] == "Pods"]
    page = (CHECKOUT / "docs" / "metrics.md").read_text("utf-8")
    assert re.search(rf"^\| `{streams}` \| gauge ", page, re.MULTILINE)
