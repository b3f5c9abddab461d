"""Object stores and a Temporal server for the contract tests of their ports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from devstack.components import Running, free_port
from gateway.adapters.s3 import S3ObjectStore
from gateway.adapters.s3_client import S3Access, S3Client
from gateway.adapters.temporal import TemporalAccess
from gateway.commands.setup_buckets import set_up_documents, set_up_keys
from tests.components import ACCOUNT, STORES, component, running_s3
from tests.freezing import frozen

BUCKET = "documents"
KEYS_BUCKET = "keys"
ORIGIN = "https://app.example.com"


def temporal_at(port: int, **changes: str) -> TemporalAccess:
    """Temporal on this machine, with the namespace and task queue that settings have by default."""
    access = TemporalAccess(f"127.0.0.1:{port}", "default", "documents", retry_budget_s=1.0)
    return replace(access, **changes)


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
        with frozen(self.process):
            yield


@dataclass
class RunningStore:
    store: S3ObjectStore
    client: S3Client
    access: S3Access
    server: Running
    checks_nothing: bool

    def soon(self) -> float:
        return asyncio.get_running_loop().time() + 30

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        self.server.child.freeze()
        try:
            yield
        finally:
            self.server.child.thaw()


@contextlib.asynccontextmanager
async def running(kind: str, folder: Path) -> AsyncIterator[RunningStore]:
    async with running_s3(folder, STORES[kind]) as server:
        access = access_to(server)
        client = S3Client(access)
        deadline = asyncio.get_running_loop().time() + 60
        await set_up_documents(BUCKET, [ORIGIN], client, deadline)
        await set_up_keys(KEYS_BUCKET, client, deadline)
        store = S3ObjectStore(client, access, BUCKET)
        yield RunningStore(store, client, access, server, checks_nothing=kind == "moto")
        store.close()
        client.close()


def access_to(server: Running) -> S3Access:
    keys = (ACCOUNT.access_key, ACCOUNT.secret_key)
    return S3Access(server.launch.address, ACCOUNT.region, *keys, 5.0)


@pytest.fixture(params=STORES)
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
    command = [
        str(component("temporal").path),
        "server",
        "start-dev",
        "--headless",
        "--ip",
        "127.0.0.1",
    ]
    server = Server([*command, "--port", str(port), "--log-level", "never"], {}, port)
    server.start()
    try:
        await server.listening()
        yield server
    finally:
        server.stop()
