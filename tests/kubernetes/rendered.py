"""The manifests as a cluster would get them: what kustomize makes of an overlay."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from devstack.components import find_program

CHECKOUT = Path(__file__).parents[2]
OVERLAYS = CHECKOUT / "k8s" / "overlays"
NAMES = ("dev", "production", "mesh", "grpc")

Manifest = dict[str, Any]


def program(name: str) -> Path:
    """A pinned program; skips, or fails where all must be real, when it is not here."""
    found = find_program(name)
    if found is None:
        lacking(f"{name} is not here; `python -m devstack.fetch {name}` builds it (needs Go)")
    return found


def lacking(message: str) -> NoReturn:
    if os.environ.get("GATEWAY_REQUIRE_REAL") == "1":
        pytest.fail(message)
    pytest.skip(message)


@cache
def text(overlay: str) -> str:
    done = subprocess.run(
        [program("kustomize"), "build", OVERLAYS / overlay],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    # Deprecated fields are told on stderr, with no effect on the exit code.
    assert done.stderr == ""
    return done.stdout


@cache
def manifests(overlay: str) -> list[Manifest]:
    return list(yaml.safe_load_all(text(overlay)))


def of_kind(overlay: str, *kinds: str) -> list[Manifest]:
    return [one for one in manifests(overlay) if one["kind"] in kinds]


def named(overlay: str, kind: str, name: str = "gateway") -> Manifest:
    """The one of its kind; names of generated ones end in a digest."""
    [found] = [
        one
        for one in of_kind(overlay, kind)
        if one["metadata"]["name"] == name or one["metadata"]["name"].startswith(f"{name}-")
        if kind == "ConfigMap" or one["metadata"]["name"] == name
    ]
    return found


def pods(overlay: str) -> list[tuple[str, Manifest]]:
    """Every pod template: its owner's name, and the template."""
    kinds = ("Deployment", "StatefulSet", "Job", "DaemonSet")
    return [(one["metadata"]["name"], one["spec"]["template"]) for one in of_kind(overlay, *kinds)]


def containers(template: Manifest) -> list[Manifest]:
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def environment(overlay: str, container: Manifest) -> dict[str, str]:
    """What the container's process is told: ConfigMaps first, then its own; no secret refs."""
    told: dict[str, str] = {}
    maps = {one["metadata"]["name"]: one["data"] for one in of_kind(overlay, "ConfigMap")}
    for source in container.get("envFrom", []):
        told |= maps[source["configMapRef"]["name"]]
    for one in container.get("env", []):
        if "value" in one:
            told[one["name"]] = one["value"]
    return told
