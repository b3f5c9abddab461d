"""``compose.yaml``: read by Compose's own reader, its settings by the programs that get them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack import components
from devstack.components import Running, find_program
from devstack.core.settings import read_settings
from gateway.commands.init_file import NAMES
from gateway.settings import SPECS, read
from tests.components import component, running_opa, running_redis, running_s3
from tests.kubernetes.rendered import OVERLAYS, program

from .compose_project import (
    CHECKOUT,
    COMPOSE,
    SECRETS,
    VARIABLE,
    lasting,
    read_by_compose,
    services,
)

OURS = {"knowledge-base-gateway": "Dockerfile", "knowledge-base-core": "core.Dockerfile"}
NOBODY = "65532:65532"


def test_without_secrets_it_says_what_makes_them() -> None:
    """Compose tells it before anything is built, of just what ``gateway init`` writes."""
    text = COMPOSE.read_text("utf-8")
    done = read_by_compose(text)
    assert done.returncode != 0
    told = re.findall(r"required variable (\w+) is missing a value: run: gateway init", done.stderr)
    required = {found["name"] for found in VARIABLE.finditer(text) if found["how"] == "?"}
    assert set(told) == required <= set(NAMES)


@pytest.mark.parametrize("name", ["gateway", "setup"])
def test_the_gateway_takes_its_settings(name: str) -> None:
    """Each is known and good, and each address is a service's, at the port where it listens."""
    environment = services()[name]["environment"]
    reading = read(SPECS, environment, None)
    assert reading.faults == []
    addresses = [
        *reading.values["services_core"],
        *(reading.values[one] for one in ("services_opa", "services_temporal", "s3_endpoint")),
        environment["GATEWAY_REDIS_URL"],
    ]
    for address in addresses:
        host, _, port = address.rpartition("/")[2].partition(":")
        assert port in told(services()[host]), address


def told(service: Mapping[str, Any]) -> set[str]:
    """The ports that a service's own words name: its command, its settings, its health check."""
    words = [*(service.get("command") or ()), *(service.get("environment") or {}).values()]
    words += service["healthcheck"]["test"]
    return set(re.findall(r"\b\d{4}\b", " ".join(map(str, words))))


@pytest.mark.parametrize(("name", "component"), [("core", "core"), ("worker", "worker")])
def test_the_core_takes_its_settings(name: str, component: Any) -> None:
    """Both processes have the same folder and the token that the gateway sends."""
    settings = read_settings(services()[name]["environment"], component)
    [volume] = services()[name]["volumes"]
    assert str(settings.data_dir) == volume["target"]
    assert settings.token in ("", SECRETS["GATEWAY_CORE_TOKEN"])
    known = set(re.findall(r"CORE_[A-Z0-9_]+", (CHECKOUT / "docs" / "core.md").read_text("utf-8")))
    assert set(services()[name]["environment"]) <= known


def test_every_container_is_nobody_and_writes_nowhere() -> None:
    """One is root, with no right but that of giving a new volume to nobody."""
    for name, service in services().items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "devices", "pid", "ipc"} & service.keys(), name
        if name == "volumes":
            assert (service["user"], service["cap_add"]) == ("0:0", ["CHOWN"])
            assert service["network_mode"] == "none"
        else:
            assert (service["user"], service.get("cap_add")) == (NOBODY, None), name


def test_it_listens_on_this_machine_alone() -> None:
    """What a laptop opens to its network, strangers find."""
    ports = {
        name: [(port["host_ip"], port["published"]) for port in service["ports"]]
        for name, service in services().items()
        if service.get("ports")
    }
    assert ports == {"gateway": [("127.0.0.1", "8080")], "s3": [("127.0.0.1", "7070")]}


def test_each_container_has_the_secrets_that_it_needs_and_no_other() -> None:
    """The core cannot sign tokens or open the bucket of API keys, whoever is inside it."""
    secrets = {name: text for name, text in SECRETS.items() if re.search("SECRET|TOKEN|PASS", name)}
    seen = {
        name: {secret for secret, text in secrets.items() if text in str(service)}
        for name, service in services().items()
    }
    gateway = {one for one in secrets if one.startswith("GATEWAY_")} | {"CORE_TOKEN"}
    assert seen.pop("gateway") == seen.pop("setup") == gateway | {"ROOT_SECRET_KEY"}
    core = {"CORE_TOKEN", "GATEWAY_CORE_TOKEN", "CORE_S3_SECRET_KEY"}
    assert seen.pop("core") == seen.pop("worker") == core
    root = {"ROOT_SECRET_KEY", "GATEWAY_S3_SECRET_KEY"}
    assert seen.pop("s3") == root
    assert seen.pop("account") == root | {"CORE_S3_SECRET_KEY"}
    assert set().union(*seen.values()) == set()


def test_images_have_tags_that_are_known() -> None:
    """Others' are those of the dev overlay, whose flags are tried; ours are built here."""
    listed = yaml.safe_load((OVERLAYS / "dev" / "kustomization.yaml").read_text("utf-8"))["images"]
    tags = {one["name"]: one["newTag"] for one in listed}
    for name, service in services().items():
        image, _, tag = service["image"].partition(":")
        assert tag == tags[image], name
        if image in OURS:
            recipe = Path(service["build"]["dockerfile"])
            assert recipe.name == OURS[image]
            assert (CHECKOUT / recipe).exists()
        else:
            assert "build" not in service, name


def test_each_waits_for_what_it_needs() -> None:
    """For the health of what serves, and for the end of what ends; the worker listens nowhere."""
    checked = {name for name, one in lasting().items() if one["healthcheck"].get("test")}
    assert checked == lasting().keys() - {"worker"}
    for name, service in services().items():
        for needed, how in service.get("depends_on", {}).items():
            ends = needed not in lasting()
            wanted = "service_completed_successfully" if ends else "service_healthy"
            assert how["condition"] == wanted, (name, needed)


PROGRAMS = {"opa": "opa", "temporal": "temporal", "s3": "versitygw"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_others_programs_know_the_flags_they_are_given(name: str) -> None:
    """At the pinned version."""
    command = services()[name]["command"]
    words = [one for one in command if re.fullmatch(r"[a-z][a-z-]+", one)]
    flags = {one.partition("=")[0] for one in command if one.startswith("--")}
    assert flags <= set(re.findall(r"--[a-z-]+", help_of(PROGRAMS[name], words)))


def help_of(name: str, words: list[str]) -> str:
    said = ""
    for count in range(len(words) + 1):
        said += subprocess.run(
            [str(find_program(name) or program(name)), *words[:count], "--help"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
    return said


# --- Health --------------------------------------------------------------------------------------


@asynccontextmanager
async def running_temporal(folder: Path) -> AsyncIterator[Running]:
    found = component("temporal")
    running = await components.start(
        "temporal", lambda: components.launch_temporal(found, folder), env={}, timeout_s=60
    )
    try:
        yield running
    finally:
        await running.child.stop()


# Who starts it, and the port that compose.yaml has.
CHECKED = {
    "opa": (running_opa, "8181"),
    "redis": (running_redis, "6379"),
    "s3": (running_s3, "7070"),
    "temporal": (running_temporal, "7233"),
}


@pytest.mark.parametrize("name", CHECKED)
async def test_health_is_what_the_program_says_of_itself(name: str, tmp_path: Path) -> None:
    """The command ends with 0 beside a running one, and with another status beside a dead one."""
    start, port = CHECKED[name]
    async with start(tmp_path) as running:
        own_port = running.launch.address.rpartition(":")[2]
        environment = {"ADMIN_ACCESS_KEY": "access", "ADMIN_SECRET_KEY": "secret-key"}
        command = health_command(name, port, own_port)
        assert ask(command, environment) == 0
        await running.child.stop()
        assert ask(command, environment) != 0


def health_command(name: str, port: str, own_port: str) -> list[str]:
    kind, first, *rest = services()[name]["healthcheck"]["test"]
    assert kind == "CMD"
    found = [str(find_program(first)), *(word.replace(port, own_port) for word in rest)]
    return [*found[:1], "-p", own_port, *found[1:]] if name == "redis" else found


def ask(command: list[str], environment: Mapping[str, str]) -> int:
    return subprocess.run(
        command, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    ).returncode
