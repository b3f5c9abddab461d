"""Object stores and a Temporal server for the contract tests of their ports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devstack.components import cache_dir
from gateway.adapters.s3 import S3ObjectStore
from gateway.adapters.s3_client import S3Access, S3Client
from gateway.commands.setup_buckets import set_up_documents, set_up_keys

BUCKET = "documents"
KEYS_BUCKET = "keys"
ORIGIN = "https://app.example.com"


def component(name: str) -> str:
    """The program's path; without it the test skips, or fails where it is required."""
    beside = Path(sys.executable).parent
    places = f"{beside}:{os.environ.get('PATH', '')}:{Path.home() / 'go/bin'}:{cache_dir()}"
    found = shutil.which(name, path=places)
    if found is None:
        if os.environ.get("GATEWAY_REQUIRE_REAL") == "1":
            pytest.fail(f"{name} is required and not installed")
        pytest.skip(f"{name} is not installed; see tools/go.mod and the devstack extra")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class Server:
    """A component as a process on a fixed port, so that it can go and come back."""

    command: list[str]
    environment: dict[str, str]
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def listening(self) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                return

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@dataclass
class RunningStore:
    store: S3ObjectStore
    client: S3Client
    access: S3Access
    server: Server
    checks_nothing: bool

    def soon(self) -> float:
        return asyncio.get_running_loop().time() + 30


def versitygw(directory: Path) -> Server:
    port = free_port()
    for name in ("objects", "versions"):
        (directory / name).mkdir()
    command = [component("versitygw"), "--port", f"127.0.0.1:{port}", "--quiet", "posix"]
    command += ["--versioning-dir", str(directory / "versions"), str(directory / "objects")]
    return Server(command, {"ROOT_ACCESS_KEY": "access", "ROOT_SECRET_KEY": "secret-key"}, port)


def moto(directory: Path) -> Server:
    port = free_port()
    program = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    return Server([sys.executable, "-W", "ignore", "-c", program], {}, port)


STORES = {"versitygw": versitygw, "moto": moto}


@contextlib.asynccontextmanager
async def running(kind: str, directory: Path) -> AsyncIterator[RunningStore]:
    server = STORES[kind](directory)
    server.start()
    try:
        await server.listening()
        access = S3Access(
            f"http://127.0.0.1:{server.port}", "us-east-1", "access", "secret-key", 5.0
        )
        client = S3Client(access)
        deadline = asyncio.get_running_loop().time() + 60
        await set_up_documents(BUCKET, [ORIGIN], client, deadline)
        await set_up_keys(KEYS_BUCKET, client, deadline)
        store = S3ObjectStore(client, access, BUCKET)
        yield RunningStore(store, client, access, server, checks_nothing=kind == "moto")
        store.close()
        client.close()
    finally:
        server.stop()


@pytest.fixture(params=["versitygw", "moto"])
async def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningStore]:
    async with running(request.param, tmp_path) as found:
        yield found


@pytest.fixture
async def real_store(tmp_path: Path) -> AsyncIterator[RunningStore]:
    async with running("versitygw", tmp_path) as found:
        yield found


@pytest.fixture
async def temporal() -> AsyncIterator[Server]:
    """A Temporal server; its memory does not outlive a restart."""
    port = free_port()
    command = [component("temporal"), "server", "start-dev", "--headless", "--ip", "127.0.0.1"]
    server = Server([*command, "--port", str(port), "--log-level", "never"], {}, port)
    server.start()
    try:
        await server.listening()
        yield server
    finally:
        server.stop()
