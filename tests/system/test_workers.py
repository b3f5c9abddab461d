"""``gateway serve`` with one worker and with four: the same routes, limits and answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from devstack.components import free_port
from devstack.stack import Stack

from .conftest import ACCOUNTS
from .people import Person, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]


@dataclass
class Served:
    """A ``gateway serve`` of its own beside the stack's."""

    base_url: str
    process: asyncio.subprocess.Process


@contextlib.asynccontextmanager
async def serving(stack: Stack, workers: int, **settings: str) -> AsyncIterator[Served]:
    port = free_port()
    env = {
        **{name: text for name, text in os.environ.items() if not name.startswith("GATEWAY_")},
        **stack.env_for_gateway(port, free_port()),
        # The stack's own gateway listens on the port that is set.
        "GATEWAY_GRPC_PORT": "0",
        "GATEWAY_SERVER_WORKERS": str(workers),
        "GATEWAY_LOG_FORMAT": "json",
        **{f"GATEWAY_{name}": text for name, text in settings.items()},
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", "serve"),
        env=env,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        # A worker that fails at start kills its whole process group: not the tests' group.
        start_new_session=True,
    )
    served = Served(f"http://127.0.0.1:{port}", process)
    try:
        await until(lambda: is_ready(served.base_url), limit_s=60)
        yield served
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def is_ready(base_url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return (await client.get(f"{base_url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False


CALLS: list[tuple[str, str, dict[str, object]]] = [
    ("GET", "/healthz", {}),
    ("GET", "/readyz", {}),
    ("GET", "/openapi.json", {}),
    ("GET", "/docs", {}),
    ("GET", "/nothing/here", {}),
    ("PUT", "/healthz", {}),
    ("BREW", "/healthz", {}),
    ("GET", "/api/v1/auth/me", {}),
    ("GET", "/api/v1/documents?limit=101", {}),
    ("GET", "/api/v1/documents?owner=bob", {}),
    ("GET", "/api/v1/documents/not-an-id", {}),
    ("POST", "/api/v1/query", {"content": b"{", "headers": {"Content-Type": "application/json"}}),
    ("POST", "/api/v1/query", {"json": {"query": "x" * 9000}}),
    ("POST", "/api/v1/query", {"json": {"query": "hello", "stream": False}}),
    ("POST", "/api/v1/documents", {"content": b"x" * (1024 * 1024 + 1)}),
    ("POST", "/api/v1/keys", {"json": {"name": "k", "scopes": []}}),
]


async def answers(base_url: str) -> list[tuple[str, int, str]]:
    """Each call with and without a credential, on a new connection: any worker may get it."""
    person = await Person(base_url, "alice", ACCOUNTS["alice"][0]).log_in()
    credential = {"Authorization": person.http.headers["Authorization"]}
    await person.aclose()
    found = []
    for method, path, options in CALLS:
        for extra in ({}, credential):
            arguments = {**options, "headers": {**options.get("headers", {}), **extra}}  # type: ignore[dict-item]
            async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=30) as client:
                answer = await client.request(method, path, **arguments)  # type: ignore[arg-type]
            code = answer.json().get("error", {}).get("code", "") if answer.is_error else ""
            found.append((f"{method} {path}", answer.status_code, code))
    return found


async def test_one_worker_and_four_behave_the_same(stack: Stack) -> None:
    """Every route and limit, asked of both; several rounds, so that every worker is asked."""
    async with serving(stack, 1) as one, serving(stack, 4) as four:
        expected = await answers(one.base_url)
        for _ in range(4):
            assert await answers(four.base_url) == expected


async def test_sigterm_ends_streams_with_an_event_and_the_process_with_zero(
    stack: Stack,
) -> None:
    """A running stream is told ``DRAINING`` before its connection ends; nothing is left."""
    async with serving(stack, 2, DRAIN_LIMIT="0s", STREAM_FIRST_EVENT="60s") as served:
        alice = await Person(served.base_url, "alice", "acme").log_in()
        stack.freeze("core")
        try:
            async with alice.http.stream(
                "POST", "/api/v1/query", json={"query": "still there?"}
            ) as answer:
                assert answer.status_code == 200
                served.process.send_signal(signal.SIGTERM)
                raw = await answer.aread()
        finally:
            stack.thaw("core")
        await alice.aclose()
        assert raw.count(b"event: ") == 1
        assert b'"code":"DRAINING"' in raw.replace(b" ", b"")
        assert await asyncio.wait_for(served.process.wait(), 60) == 0
