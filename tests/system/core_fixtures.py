"""Real components and real core processes for the core's own tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest
from botocore.client import Config
from temporalio.testing import WorkflowEnvironment

from devstack.components import cache_dir

_PASSED_ON = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG")
START_LIMIT_S = 60.0
BUCKET = "documents"


def component(name: str) -> str:
    """The path of a component: beside the interpreter, on PATH, or where Go installs."""
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
async def running_s3(directory: Path) -> AsyncIterator[Bucket]:
    """versitygw with one versioned bucket."""
    program, port = component("versitygw"), free_port()
    for name in ("objects", "versions"):
        (directory / name).mkdir(parents=True)
    access_key, secret_key = "core-test", secrets.token_hex(16)
    process = await asyncio.create_subprocess_exec(
        *(program, "--port", f"127.0.0.1:{port}", "--quiet"),
        *("posix", "--versioning-dir", str(directory / "versions"), str(directory / "objects")),
        env={"ROOT_ACCESS_KEY": access_key, "ROOT_SECRET_KEY": secret_key, "HOME": str(directory)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with ended(process):
        await _listening(port, process)
        endpoint = f"http://127.0.0.1:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        await asyncio.to_thread(_make_bucket, client)
        yield Bucket(endpoint, access_key, secret_key, client)
        client.close()


def _make_bucket(client: Any) -> None:
    client.create_bucket(Bucket=BUCKET)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.returncode is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        await writer.wait_closed()
        return
    raise RuntimeError(f"nothing listens on port {port}")


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
    program = component("temporal")
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
