"""``gateway serve`` in processes of its own, before a stub core, as it runs in production."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .conftest import ENVIRONMENT, Streaming
from .fakes import PASSWORD
from .raw import Answer, exchange, read_head, request
from .stub_core import StubCore

START_S = 90.0
# What a test waits at most for what happens by itself.
WAIT_S = 60.0
QUESTION = b'{"query": "hi"}'


@dataclass
class Served:
    """A running gateway; ``log`` is its stderr."""

    process: asyncio.subprocess.Process
    address: tuple[str, int]
    log: Path
    token: str = ""
    # What clients bring to a gateway that serves HTTPS.
    trust: ssl.SSLContext | None = None
    grpc_port: int = 0

    async def send(self, data: bytes) -> Answer:
        for name in (b"{alice}", b"{root}"):
            data = data.replace(name, self.token.encode())
        return await exchange(self.address, data, trust=self.trust)

    async def get(self, target: str, token: str | None = None) -> Answer:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return await exchange(self.address, request("GET", target, headers), trust=self.trust)

    async def asking(self, body: bytes = QUESTION, *, path: str = "/api/v1/query") -> Streaming:
        reader, writer = await asyncio.open_connection(*self.address, ssl=self.trust)
        writer.write(self.question(body, path))
        async with asyncio.timeout(START_S):
            status, head = await read_head(reader)
        return Streaming(reader, writer, status, dict(head))

    def question(self, body: bytes = QUESTION, path: str = "/api/v1/query") -> bytes:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        return request("POST", path, headers, body)

    async def log_in(self, name: str = "root") -> str:
        body = json.dumps({"username": name, "password": PASSWORD}).encode()
        headers = {"Content-Type": "application/json"}
        login = request("POST", "/auth/login", headers, body)
        answer = await exchange(self.address, login, trust=self.trust)
        assert answer.status == 200, answer.body
        return str(answer.json()["access_token"])

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        async with asyncio.timeout(WAIT_S):
            return await self.process.wait()

    # --- what it says --------------------------------------------------------------------------

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """The log's lines; those of one event, where it is named."""
        said = [json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{"]
        return [line for line in said if event in (None, line["event"])]

    async def said(self, event: str, times: int = 1) -> list[dict[str, Any]]:
        """Waits until it has been said so often."""
        await until(lambda: len(self.lines(event)) >= times, lambda: self.log.read_text())
        return self.lines(event)

    def workers(self) -> list[int]:
        """Their process ids, by number; of each number the latest."""
        latest = {line["worker"]: line["pid"] for line in self.lines("worker ready")}
        return [latest[number] for number in sorted(latest)]


async def until(true: Callable[[], bool], why: Callable[[], str] = str) -> None:
    """Waits for what becomes true by itself; ``why`` tells what to look at when it does not."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not true():  # noqa: ASYNC110  # it happens in another process
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(why()) from None


def environment(core: StubCore, port: int, settings: Mapping[str, str]) -> dict[str, str]:
    """For ``gateway serve``; ``settings`` without their prefix, and empty to leave one out."""
    inherited = {name: text for name, text in os.environ.items() if "GATEWAY_" not in name}
    chosen = {
        **ENVIRONMENT,
        "GATEWAY_SERVICES_CORE": core.url,
        "GATEWAY_SERVER_PORT": str(port),
        "GATEWAY_S3_ENDPOINT": "http://127.0.0.1:1",
        "GATEWAY_LOG_FORMAT": "json",
        **{f"GATEWAY_{name}": text for name, text in settings.items()},
    }
    return {**inherited, **{name: text for name, text in chosen.items() if text}}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextlib.asynccontextmanager
async def served(
    core: StubCore,
    folder: Path,
    workers: int,
    *,
    port: int | None = None,
    trust: ssl.SSLContext | None = None,
    **settings: str,
) -> AsyncIterator[Served]:
    """Started, ready, and a user logged in; at the end it is told to stop and waited for."""
    port = port or free_port()
    log = folder / "gateway.log"
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "--workers", str(workers)),
            env=environment(core, port, settings),
            stdout=stderr,
            stderr=stderr,
            # What is left of it at the end is one process group.
            start_new_session=True,
        )
    grpc_port = int(settings.get("GRPC_PORT", 0))
    running = Served(process, ("127.0.0.1", port), log, trust=trust, grpc_port=grpc_port)
    try:
        async with asyncio.timeout(START_S):
            while log.read_text().count('"worker ready"') < workers:
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.05)
        running.token = await running.log_in()
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await running.ended()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
