"""The policy's ConfigMap, mounted as Kubernetes mounts it, is the policy."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .rendered import containers, named, of_kind, pods, program


def mounted(data: dict[str, str], place: Path) -> Path:
    """As the kubelet lays a ConfigMap out: a hidden folder with the files, and links to them."""
    version = place / "..2026_01_01"
    version.mkdir(parents=True)
    (place / "..data").symlink_to(version.name)
    for key, text in data.items():
        (version / key).write_text(text, "utf-8")
        (place / key).symlink_to(Path("..data") / key)
    return place


def opa_arguments() -> list[str]:
    [template] = [template for owner, template in pods("dev") if owner == "opa"]
    [container] = containers(template)
    arguments: list[str] = container["args"]
    return arguments


def test_opa_loads_the_mounted_policy_once(tmp_path: Path) -> None:
    """With the overlay's own flags: it decides, and its hidden copies are not seen."""
    data = named("dev", "ConfigMap", "policy")["data"]
    assert set(data) == {"authz.rego", "conditions.rego", "data.json"}
    place = mounted(data, tmp_path / "policy")
    question = {
        "subject": {"id": "ann", "tenant": "t", "roles": ["editor"], "scopes": None, "auth": "jwt"},
        "action": "query:run",
        "resource": {"type": "query", "id": None, "owner": "ann", "tenant": "t"},
        "request": {"method": "POST", "route": "/api/v1/query", "ip": "10.0.0.1"},
    }
    (tmp_path / "input.json").write_text(json.dumps(question))
    ignore = [one for one in opa_arguments() if one.startswith("--ignore")]
    done = subprocess.run(
        [
            *(
                str(program("opa")),
                "eval",
                *ignore,
                "--data",
                str(place),
                "--strict-builtin-errors",
            ),
            *("--input", str(tmp_path / "input.json"), "--format", "raw", "data.gateway.authz"),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)["allow"] is True


def test_opa_in_the_cluster_is_the_version_that_is_tested() -> None:
    """Its image has the version that tools/go.mod pins."""
    from devstack.fetch import pins

    [pin] = [pin for pin in pins() if pin.program == "opa"]
    [image] = [
        one["spec"]["template"]["spec"]["containers"][0]["image"]
        for one in of_kind("dev", "Deployment")
        if one["metadata"]["name"] == "opa"
    ]
    assert image == f"openpolicyagent/opa:{pin.version.removeprefix('v')}-static"
