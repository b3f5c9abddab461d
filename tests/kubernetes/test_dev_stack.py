"""The dev overlay starts its parts with commands and settings that they know."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

from devstack.components import free_port
from devstack.core.settings import read_settings
from tests.components import component as real_component

from .rendered import Manifest, containers, environment, of_kind, pods, program

# Image → the program in it, for those that are not built from this checkout.
PROGRAMS = {
    "openpolicyagent/opa": "opa",
    "temporalio/temporal": "temporal",
    "versity/versitygw": "versitygw",
}


def foreign() -> list[tuple[str, Manifest]]:
    """Containers of others' images, each with its program."""
    found = []
    for _, template in pods("dev"):
        for container in containers(template):
            name = container["image"].partition(":")[0]
            if name in PROGRAMS:
                found.append((PROGRAMS[name], container))
    return found


def help_of(name: str, words: list[str]) -> str:
    """What the program says of itself, of its command and of that one's commands."""
    said = []
    for count in range(len(words) + 1):
        done = subprocess.run(
            [program(name), *words[:count], "--help"],
            capture_output=True,
            text=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
        )
        said.append(done.stdout)
    return "\n".join(said)


def test_others_programs_know_the_flags_they_are_given() -> None:
    """The pinned ones are asked; an image of another version is at the user's own risk."""
    seen = set()
    for name, container in foreign():
        words = [word for word in container["args"] if re.fullmatch(r"[a-z][a-z-]+", word)]
        flags = {word.partition("=")[0] for word in container["args"] if word.startswith("--")}
        assert flags
        known = set(re.findall(r"--[a-z-]+", help_of(name, words)))
        assert flags <= known, name
        seen.add(name)
    assert seen == set(PROGRAMS.values())


def test_redis_starts_with_what_it_is_given_and_evicts_nothing(tmp_path: Path) -> None:
    """A real one takes every argument; it has no list of them that could be asked for."""
    [template] = [template for owner, template in pods("dev") if owner == "redis"]
    [container] = containers(template)
    port = free_port()
    args = [str(port) if word == "6379" else word for word in container["args"]]
    running = subprocess.Popen(
        [str(real_component("redis").path), *args],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert running.stdout is not None
        assert any("Ready to accept connections" in line for line in running.stdout)
        with socket.create_connection(("127.0.0.1", port)) as asked:
            asked.sendall(b"CONFIG GET maxmemory-policy\r\nQUIT\r\n")
            assert b"noeviction" in b"".join(iter(lambda: asked.recv(4096), b""))
    finally:
        running.kill()
        running.communicate()


@pytest.mark.parametrize("component", ["core", "worker"])
def test_the_core_takes_its_settings(component: str) -> None:
    """Those that are Secrets are given some text."""
    [template] = [template for owner, template in pods("dev") if owner == "core"]
    [container] = [one for one in containers(template) if one["name"] == component]
    env = environment("dev", container)
    secret = {one["name"]: "secret" for one in container["env"] if "valueFrom" in one}
    settings = read_settings(env | secret, "core" if component == "core" else "worker")
    assert settings.port == 8100
    assert str(settings.data_dir) == "/data"


def test_a_service_stands_before_every_part() -> None:
    """Each selects pods that there are, at a port that they open."""
    for service in of_kind("dev", "Service"):
        wanted = service["spec"]["selector"]
        [template] = [
            template
            for _, template in pods("dev")
            if wanted.items() <= template["metadata"]["labels"].items()
        ]
        opened = {port["name"] for one in containers(template) for port in one.get("ports", [])}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= opened
