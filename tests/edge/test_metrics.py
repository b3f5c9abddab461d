"""The metrics of a running gateway, as Prometheus gets them."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry import catalogue as c
from gateway.telemetry import stream_metrics

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, exchange, request, reset
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, StubCore, chunk

Found = dict[tuple[str, ...], float]


@dataclass
class Watched:
    gateway: Gateway
    admin: tuple[str, int]

    async def page(self) -> str:
        answer = await exchange(self.admin, request("GET", "/metrics"))
        assert answer.status == 200
        assert answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
        return answer.body.decode()

    async def samples(self) -> Found:
        return read(await self.page())

    async def until(self, reached: Callable[[Found], bool]) -> Found:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                found = await self.samples()
                if reached(found):
                    return found
                await asyncio.sleep(0.02)


def read(page: str) -> Found:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def since(before: Found, after: Found, name: str) -> Found:
    """What a metric's label sets grew by."""
    grown = {key[1:]: after[key] - before.get(key, 0.0) for key in after if key[0] == name}
    return {labels: value for labels, value in grown.items() if value}


@pytest.fixture
async def watched(core: StubCore) -> AsyncIterator[Watched]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with running_gateway(core, ADMIN_LISTEN_PORT=str(port)) as gateway:
        yield Watched(gateway, ("127.0.0.1", port))


async def test_requests_by_method_template_and_status(watched: Watched) -> None:
    """The URL's own parts are in none of them."""
    gateway = watched.gateway
    bearer = await gateway.bearer()
    before = await watched.samples()
    for path in ("/healthz", "/api/v1/documents/nonsense-1", "/api/v1/documents/nonsense-2", "/x"):
        await gateway.client.get(path, headers=bearer)
    await gateway.client.head("/healthz")
    await gateway.client.put("/healthz")
    after = await watched.samples()
    assert since(before, after, c.REQUESTS.name) == {
        ("GET", "/healthz", "200"): 1,
        ("HEAD", "/healthz", "200"): 1,
        ("GET", "/api/v1/documents/<document_id:str>", "404"): 2,
        ("GET", c.UNMATCHED, "404"): 1,
        ("PUT", c.UNMATCHED, "501"): 1,
    }
    assert since(before, after, f"{c.REQUEST_SECONDS.name}_count")["GET", "/healthz"] == 1


async def test_a_stream_and_its_end(watched: Watched) -> None:
    """Open while it runs, its events and bytes too; then how it ended, and how fast it was."""
    gateway = watched.gateway
    before = await watched.samples()
    gateway.core.holds(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking()
    await streaming.until(META)
    during = await watched.samples()
    assert during[stream_metrics.STREAMS_OPEN.name,] == 1
    assert during[c.POOL.name, "core", "in_use"] == 0  # the test's core client has no pool of ours
    assert since(before, during, stream_metrics.STREAM_EVENTS.name) == {(): 1}
    assert since(before, during, stream_metrics.STREAM_BYTES.name)[()] >= len(META)
    reset(streaming.writer)
    after = await watched.until(lambda found: not found[stream_metrics.STREAMS_OPEN.name,])
    assert since(before, after, stream_metrics.STREAMS_ENDED.name) == {
        ("sse", "client_left", "none", "client"): 1
    }
    assert after[stream_metrics.STREAM_EVENTS.name,] == during[stream_metrics.STREAM_EVENTS.name,]
    for name in (stream_metrics.STREAM_SECONDS.name, stream_metrics.FIRST_EVENT_SECONDS.name):
        assert since(before, after, f"{name}_count") == {(): 1}


async def test_streams_that_end_well_and_badly(watched: Watched) -> None:
    """One row of the endings each, answers in one piece too."""
    gateway, core = watched.gateway, watched.gateway.core
    before = await watched.samples()
    core.sends(STREAM_HEAD + chunk(META) + chunk(TOKEN) + chunk(DONE) + END)
    streaming = await gateway.asking()
    await streaming.rest()
    streaming.writer.close()
    core.sends(STREAM_HEAD + chunk(META) + END)
    streaming = await gateway.asking()
    await streaming.rest()
    streaming.writer.close()
    answer = await gateway.client.post(
        "/api/v1/query", json={"query": "hi", "stream": False}, headers=await gateway.bearer()
    )
    assert answer.status_code == 502
    after = await watched.samples()
    assert since(before, after, stream_metrics.STREAMS_ENDED.name) == {
        ("sse", "done", "none", "nobody"): 1,
        ("sse", "core_eof", "CORE_TRUNCATED", "core"): 1,
        ("json", "core_eof", "CORE_TRUNCATED", "core"): 1,
    }
    assert since(before, after, f"{stream_metrics.GAP_SECONDS.name}_count") == {(): 1}
    assert since(before, after, c.REQUESTS.name)["POST", "/api/v1/query", "502"] == 1


async def test_decisions_and_caches(watched: Watched) -> None:
    """Asked, then remembered, then refused."""
    gateway = watched.gateway
    bearer, bobs = await gateway.bearer(), await gateway.bearer("bob")
    before = await watched.samples()
    for _ in range(3):
        await gateway.client.get("/api/v1/auth/me", headers=bearer)
    await gateway.client.get("/api/v1/documents?owner=alice", headers=bobs)

    after = await watched.samples()
    assert since(before, after, c.DECISIONS.name) == {
        ("allow", "false"): 1,
        ("allow", "true"): 2,
        ("deny", "false"): 1,
    }
    assert since(before, after, c.CACHE_LOOKUPS.name) == {
        ("token", "miss"): 2,
        ("token", "hit"): 2,
        ("policy", "miss"): 2,
        ("policy", "hit"): 2,
    }


async def test_refused_credentials_by_reason(watched: Watched) -> None:
    """By the log's ``auth_reason``, where the catalogue lists it; no answer has it."""
    gateway = watched.gateway
    bearer = (await gateway.bearer())["Authorization"]
    forged = f"{bearer.rpartition('.')[0]}.{'A' * 43}"
    before = await watched.samples()
    for value in (None, "Basic x", "Bearer a.b.c", forged):
        headers = {} if value is None else {"Authorization": value}
        await gateway.client.get("/api/v1/auth/me", headers=headers)
    await gateway.client.post("/auth/login", json={"username": "alice", "password": "wrong"})
    after = await watched.samples()
    assert since(before, after, c.AUTH_FAILURES.name) == {
        ("missing",): 1,
        ("scheme",): 1,
        ("malformed",): 1,
        ("signature",): 1,
        ("password",): 1,
    }


async def test_the_worker_itself(watched: Watched) -> None:
    """State, connections, dependencies, lag, versions."""
    gateway = watched.gateway
    await gateway.client.get("/healthz")
    found = await watched.samples()
    assert found[c.WORKERS.name, "ready"] == 1
    assert found[c.CONNECTIONS_OPEN.name,] == 1
    assert found[c.DEPENDENCY.name, "core", "ok"] == 1
    assert found[c.DEPENDENCY.name, "core", "down"] == 0
    assert [key for key in found if key[0] == c.BUILD.name]
    await watched.until(lambda found: found[f"{c.LAG.name}_count",] > 0)


CANARY = "c4n4ry"
_TOLD = re.compile(CANARY, re.IGNORECASE)


async def test_nothing_a_client_sends_becomes_a_label(watched: Watched) -> None:
    """Not its path, method, names, ids, credentials, headers, bodies, nor what a core answers."""
    gateway, core = watched.gateway, watched.gateway.core
    bearer = (await gateway.bearer())["Authorization"]
    before = set(await watched.samples())
    error = f'event: error\ndata: {{"error":{{"code":"{CANARY}"}}}}\n\n'.encode()
    core.sends(STREAM_HEAD + chunk(META) + chunk(error) + END)
    for headers in ({"Authorization": bearer}, {"Authorization": f"Bearer {CANARY}.a.b"}, {}):
        known = {"User-Agent": CANARY, "X-Request-ID": CANARY, "X-KB-Tenant": CANARY, **headers}
        for method, target in (
            ("GET", f"/{CANARY}"),
            ("GET", f"/api/v1/documents/{CANARY}"),
            ("GET", f"/api/v1/documents?owner={CANARY}"),
            (CANARY.upper(), "/healthz"),
            ("DELETE", f"/api/v1/keys/{CANARY}"),
            ("GET", f"/healthz?{CANARY}=%0a{CANARY}"),
        ):
            await exchange(gateway.address, request(method, target, known))
        typed = {"Content-Type": "application/json", **known}
        for target, body in (
            ("/auth/login", b'{"username": "c4n4ry", "password": "c4n4ry"}'),
            ("/api/v1/query", b'{"query": "c4n4ry"}'),
            ("/api/v1/query", b'{"c4n4ry": 1}'),
            ("/api/v1/keys", b'{"name": "c4n4ry", "scopes": ["c4n4ry"]}'),
        ):
            await exchange(gateway.address, request("POST", target, typed, body))
    await exchange(gateway.address, f"{CANARY} {CANARY}\r\n\r\n".encode())
    page = await watched.page()
    assert not _TOLD.search(page)
    new = read(page).keys() - before
    assert new  # or nothing would have been shown


async def test_the_public_side_has_no_metrics(watched: Watched) -> None:
    """They are for those inside."""
    assert (await watched.gateway.client.get("/metrics")).status_code == 404
