"""Real components and real core processes for the core's own tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from temporalio.testing import WorkflowEnvironment

from devstack import buckets
from devstack.components import S3Account
from tests.components import component, running_s3

_PASSED_ON = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG")
START_LIMIT_S = 60.0
BUCKET = "documents"


@contextlib.asynccontextmanager
async def ended(process: asyncio.subprocess.Process) -> AsyncIterator[asyncio.subprocess.Process]:
    """Let a process live for the block: SIGTERM afterwards, SIGKILL when that is not enough."""
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


@dataclass(frozen=True)
class Bucket:
    """A versioned bucket on a running S3 server."""

    endpoint: str
    access_key: str
    secret_key: str
    client: Any

    def put(self, key: str, body: bytes) -> dict[str, Any]:
        """Store an object; what the gateway would send as the signal."""
        stored = self.client.put_object(Bucket=BUCKET, Key=key, Body=body)
        return {"etag": stored["ETag"], "version_id": stored["VersionId"], "size": len(body)}

    def versions(self, key: str) -> list[str]:
        """The version ids under a key, delete markers too."""
        page = self.client.list_object_versions(Bucket=BUCKET, Prefix=key)
        entries = (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        return [entry["VersionId"] for entry in entries if entry["Key"] == key]


@contextlib.asynccontextmanager
async def versioned_bucket(folder: Path) -> AsyncIterator[Bucket]:
    """A bucket with versions on a versitygw of its own."""
    account = S3Account("core-test", secrets.token_hex(16))
    async with running_s3(folder, account=account) as server:
        client = buckets.client(server.launch.address, account)
        await asyncio.to_thread(_make_bucket, client)
        yield Bucket(server.launch.address, account.access_key, account.secret_key, client)
        client.close()


def _make_bucket(client: Any) -> None:
    client.create_bucket(Bucket=BUCKET)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


@contextlib.asynccontextmanager
async def forwarding(port: int, target: int) -> AsyncIterator[None]:
    """Let what connects to one local port reach another."""
    tasks: set[asyncio.Task[None]] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        try:
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            far_writer.close()
            writer.close()
            tasks.discard(task)

    async with await asyncio.start_server(forward, "127.0.0.1", port) as server:
        yield
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(65536):
        writer.write(block)
        await writer.drain()
    writer.write_eof()


@contextlib.asynccontextmanager
async def running_temporal() -> AsyncIterator[WorkflowEnvironment]:
    """Temporal's development server."""
    program = str(component("temporal").path)
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=program) as server:
        yield server


@contextlib.asynccontextmanager
async def started(
    kind: str, environ: dict[str, str], stderr: int | None = asyncio.subprocess.PIPE
) -> AsyncIterator[asyncio.subprocess.Process]:
    """One of the core's processes, ready or not; its stdin stays open for the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "devstack.core", kind),
        # Not the repository: what is tested is what is installed.
        cwd=environ["CORE_DATA_DIR"],
        env={name: os.environ[name] for name in _PASSED_ON if name in os.environ} | environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
    )
    async with ended(process):
        yield process


@contextlib.asynccontextmanager
async def core_process(
    kind: str, environ: dict[str, str]
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """One of the core's processes once it is ready, with its ready line."""
    async with started(kind, environ, stderr=None) as process:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_LIMIT_S)
        if not line:
            raise RuntimeError(f"{kind} ended with {await process.wait()} before it was ready")
        yield process, json.loads(line)


@dataclass(frozen=True)
class CoreApi:
    """The core over HTTP, as the gateway of one user would call it."""

    session: aiohttp.ClientSession
    base_url: str
    token: str
    tenant: str = "acme"
    subject: str = "alice"

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self.token}",
            "X-KB-Tenant": self.tenant,
            "X-KB-Subject": self.subject,
            "X-KB-Roles": "editor",
        }

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any] | None]:
        """Status and JSON of a call."""
        async with self.session.request(
            method, self.base_url + path, headers=self.headers, **more
        ) as response:
            raw = await response.read()
            return response.status, json.loads(raw) if raw else None

    async def ask(self, query: str, **more: Any) -> list[tuple[str, Any]]:
        """The events of an answer."""
        async with self.session.post(
            self.base_url + "/v1/query", headers=self.headers, json={"query": query, **more}
        ) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            return parse_events(await response.read())


def parse_events(raw: bytes) -> list[tuple[str, Any]]:
    """Name and data of each event of a whole stream."""
    assert raw.endswith(b"\n\n")
    events = []
    for block in raw.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


def answer_text(events: list[tuple[str, Any]]) -> str:
    return "".join(data["text"] for name, data in events if name == "token")


def uuid7(at_ms: int | None = None) -> str:
    """A fresh UUIDv7."""
    stamp = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    tail = secrets.token_hex(10)
    variant = "89ab"[int(tail[3], 16) % 4]
    head = f"{stamp:012x}"
    return f"{head[:8]}-{head[8:]}-7{tail[:3]}-{variant}{tail[4:7]}-{tail[7:19]}"
