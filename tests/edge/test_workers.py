"""``gateway serve`` as it runs in production: worker processes on one address, and real signals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import ENVIRONMENT, Streaming
from .fakes import PASSWORD
from .raw import Answer, exchange, read_head, request
from .stub_core import DONE, META, STREAM_HEAD, StubCore, chunk
from .test_bad_inputs import ANNOUNCEMENTS, BODIES, METHODS, TARGETS, WIRE, Bad
from .test_query import terminal

START_S = 90.0
# This one asks Temporal, which nobody runs here.
ASKING_OTHERS = {"parts of a document that is none"}
SENT = [
    bad
    for bad in (*BODIES, *ANNOUNCEMENTS, *TARGETS, *METHODS, *WIRE)
    if bad.name not in ASKING_OTHERS
]


@dataclass
class Served:
    """A gateway in processes of its own; ``log`` is its stderr."""

    process: asyncio.subprocess.Process
    address: tuple[str, int]
    log: Path
    token: str = ""

    async def send(self, data: bytes) -> Answer:
        for name in (b"{alice}", b"{root}"):
            data = data.replace(name, self.token.encode())
        return await exchange(self.address, data)

    async def asking(self) -> Streaming:
        reader, writer = await asyncio.open_connection(*self.address)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        writer.write(request("POST", "/api/v1/query", headers, b'{"query": "hi"}'))
        async with asyncio.timeout(START_S):
            status, head = await read_head(reader)
        return Streaming(reader, writer, status, dict(head))


@contextlib.asynccontextmanager
async def served(core: StubCore, folder: Path, workers: int) -> AsyncIterator[Served]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    inherited = {name: text for name, text in os.environ.items() if "GATEWAY_" not in name}
    settings = {
        **ENVIRONMENT,
        "GATEWAY_SERVICES_CORE": core.url,
        "GATEWAY_SERVER_PORT": str(port),
        "GATEWAY_SERVER_WORKERS": str(workers),
        "GATEWAY_S3_ENDPOINT": "http://127.0.0.1:1",
        "GATEWAY_LOG_FORMAT": "json",
    }
    log = folder / "gateway.log"
    with log.open("wb") as stderr:
        # A session of its own: a worker that fails to start kills its whole process group.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve"),
            env={**inherited, **settings},
            stdout=stderr,
            stderr=stderr,
            start_new_session=True,
        )
    running = Served(process, ("127.0.0.1", port), log)
    try:
        await _ready(running, workers)
        running.token = await _token(running)
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(60):
                await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


async def _ready(running: Served, workers: int) -> None:
    async with asyncio.timeout(START_S):
        while running.log.read_text().count('"worker ready"') < workers:
            assert running.process.returncode is None, running.log.read_text()
            await asyncio.sleep(0.1)


async def _token(running: Served) -> str:
    body = json.dumps({"username": "root", "password": PASSWORD}).encode()
    headers = {"Content-Type": "application/json"}
    answer = await exchange(running.address, request("POST", "/auth/login", headers, body))
    assert answer.status == 200, answer.body
    return str(answer.json()["access_token"])


async def disagreements(running: Served, bad: Bad) -> list[str]:
    answer = await running.send(bad.data)
    got = (answer.status, answer.code)
    return [] if got == (bad.status, bad.code) else [f"{bad.name}: {got}"]


@pytest.mark.parametrize("workers", [1, 4])
async def test_every_route_and_limit_is_the_same_with_any_number_of_workers(
    core: StubCore, tmp_path: Path, workers: int
) -> None:
    """The table of bad inputs, and a good stream, by real processes: not one answer differs."""
    async with served(core, tmp_path, workers) as running:
        wrong: list[str] = []
        for bad in SENT:
            wrong += await disagreements(running, bad)
        assert wrong == []
        streaming = await running.asking()
        assert (await streaming.rest()).endswith(DONE)
        streaming.writer.close()
    assert running.process.returncode == 0


async def test_a_stop_signal_ends_streams_and_the_process(core: StubCore, tmp_path: Path) -> None:
    """SIGTERM: each open stream gets its ``DRAINING`` event, and all processes end with 0."""
    async with served(core, tmp_path, 2) as running:
        core.holds(STREAM_HEAD, chunk(META))
        open_streams = [await running.asking() for _ in range(6)]
        for streaming in open_streams:
            await streaming.until(META)
        running.process.send_signal(signal.SIGTERM)
        for streaming in open_streams:
            assert terminal(META + await streaming.rest())["code"] == "DRAINING"
            streaming.writer.close()
        async with asyncio.timeout(60):
            assert await running.process.wait() == 0
    lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    ended = [line["stream_end"] for line in lines if line.get("stream_end")]
    assert ended == ["draining"] * 6
    assert not [line for line in lines if line["level"] == "error"]
