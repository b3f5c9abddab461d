"""Security headers on every answer: of every route, of every refusal, of every listener."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sanic.server.protocols.http_protocol import HttpProtocol

from gateway.edge.observe import admin_listener
from gateway.edge.wire.security_headers import CONTENT_SECURITY_POLICY
from gateway.flows.health import Health
from tests.certificates import Authority, client

from .conftest import Gateway, running_gateway
from .fakes import MovableClock
from .raw import TIMEOUT_S, Answer, exchange, read_answer, read_head, request
from .stub_core import StubCore
from .test_bad_inputs import TABLE

DAY = "max-age=86400"
ORIGIN = "https://app.example.com"
QUERY = b'{"query": "hi"}'
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def gateway(core: StubCore) -> AsyncIterator[Gateway]:
    """TLS ends in front of it, so HSTS is switched on by its setting."""
    async with running_gateway(core, HSTS_MAX_AGE="1d", CORS_ORIGINS=ORIGIN) as running:
        yield running


def lacking(
    answer: Answer,
    policy: str = CONTENT_SECURITY_POLICY,
    hsts: str | None = DAY,
    kept: str = "no-store",
) -> str:
    """What is missing, or too much; empty when all is well."""
    wanted = {
        "x-content-type-options": "nosniff",
        "content-security-policy": policy,
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "strict-transport-security": hsts,
        "server": None,
        "x-powered-by": None,
        "via": None,
    }
    wrong = [name for name, value in wanted.items() if answer.header(name) != value]
    if kept not in (answer.header("cache-control") or ""):
        wrong.append("cache-control")
    return f"{answer.status}: {', '.join(wrong)}" if wrong else ""


async def test_every_route_has_them(gateway: Gateway) -> None:
    """With a good credential and with none, whatever the route answers."""
    bearer = await gateway.bearer("root")
    missing = {}
    asked = 0
    for route in gateway.app.router.routes:
        path = "/" + re.sub(r"<[^>]+>", "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b", route.path)
        page = path in ("/docs", "/console")
        # The list of versions is everybody's, and may be kept; a page is, but is asked for again.
        kept = {"/api": "public", "/console": "no-cache"}.get(path, "no-store")
        for method in route.methods:
            for headers in ({}, bearer):
                body = QUERY if method == "POST" else None
                data = request(method, path, {**headers, **JSON}, body)
                answer = await exchange(gateway.address, data)
                asked += 1
                policy = answer.header("content-security-policy") or ""
                if fault := lacking(answer, policy if page else CONTENT_SECURITY_POLICY, kept=kept):
                    missing[f"{method} {path}"] = fault
    assert missing == {}
    assert asked > 30


async def test_the_page_lets_nothing_in_but_its_own(gateway: Gateway) -> None:
    """Its policy is stricter than "anything from here", and nobody may frame it."""
    answer = await exchange(gateway.address, request("GET", "/docs"))
    policy = answer.header("content-security-policy") or ""
    told = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert told["default-src"] == told["frame-ancestors"] == told["base-uri"] == "'none'"
    assert told["script-src"] == told["style-src"] == "'self'"
    assert "unsafe" not in policy
    assert "*" not in policy


async def test_every_bad_input_has_them(gateway: Gateway) -> None:
    """The whole table: bodies, targets, tokens, methods, and what is refused at the wire."""
    tokens = {name: await gateway.token(name) for name in ("alice", "root")}
    missing = {}
    for bad in TABLE:
        data = bad.data
        for name, token in tokens.items():
            data = data.replace(b"{%b}" % name.encode(), token.encode())
        answer = await exchange(gateway.address, data, head_only=data.startswith(b"HEAD"))
        if fault := lacking(answer):
            missing[bad.name] = fault
    assert missing == {}


async def test_good_answers_of_every_kind_have_them(gateway: Gateway) -> None:
    """Streams, JSON, compressed JSON, HTTP/1.0, answers to pages and to their preflights."""
    post = {**JSON, **await gateway.bearer()}
    one_zero = request("POST", "/api/v1/query", post, QUERY).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    doors = {
        "stream": request("POST", "/api/v1/query", post, QUERY),
        "stream to HTTP/1.0": one_zero,
        "json": request("POST", "/api/v1/query", {**post, "Accept": "application/json"}, QUERY),
        "page": request("GET", "/openapi.json", {"Origin": ORIGIN, "Accept-Encoding": "gzip"}),
        "preflight": request(
            "OPTIONS",
            "/api/v1/query",
            {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"},
        ),
    }
    missing = {}
    for name, data in doors.items():
        reader, writer = await asyncio.open_connection(*gateway.address)
        writer.write(data)
        async with asyncio.timeout(TIMEOUT_S):
            status, headers = await read_head(reader)
        assert status in (200, 204), name
        if fault := lacking(Answer(status, headers, b"")):
            missing[name] = fault
        writer.close()
    assert missing == {}


@pytest.mark.parametrize(
    ("settings", "sent", "status"),
    [
        ({"HEAD_TIMEOUT": "1s"}, b"GET / HTTP/1.1\r\n", 408),
        (
            {"BODY_TIMEOUT": "100ms"},
            b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 9\r\n\r\n{",
            408,
        ),
        ({"CONNECTIONS_LIMIT": "1"}, b"", 503),
    ],
    ids=["a head too late", "a body too late", "a connection too many"],
)
async def test_what_the_wire_refuses_has_them(
    core: StubCore, settings: dict[str, str], sent: bytes, status: int
) -> None:
    """Also where no request was ever read."""
    async with running_gateway(core, HSTS_MAX_AGE="1d", **settings) as gateway:
        kept = None
        if not sent:
            _, kept = await asyncio.open_connection(*gateway.address)
        reader, writer = await asyncio.open_connection(*gateway.address)
        writer.write(sent)
        async with asyncio.timeout(TIMEOUT_S):
            answer = await read_answer(reader)
        assert (answer.status, lacking(answer)) == (status, "")
        writer.close()
        if kept is not None:
            kept.close()


async def test_a_client_too_many_behind_a_proxy_has_them(core: StubCore) -> None:
    """Behind a proxy, where the cap is checked only once the head is read."""
    behind = {"X-Forwarded-For": "203.0.113.9"}
    async with running_gateway(
        core, HSTS_MAX_AGE="1d", TRUSTED_PROXIES="127.0.0.0/8", CONNECTIONS_PER_ADDRESS="1"
    ) as gateway:
        core.holds()
        headers = {**JSON, **behind, **await gateway.bearer()}
        _, kept = await asyncio.open_connection(*gateway.address)
        kept.write(request("POST", "/api/v1/query", headers, QUERY))
        async with asyncio.timeout(TIMEOUT_S):
            await core.asked.wait()
        answer = await exchange(gateway.address, request("GET", "/healthz", behind))
        assert (answer.status, lacking(answer)) == (503, "")
        kept.close()


async def test_a_fault_of_ours_has_them(gateway: Gateway) -> None:
    """A 500 is an answer as well."""

    async def explode(*_: object) -> None:
        raise RuntimeError

    gateway.workflows.list_open = explode  # type: ignore[method-assign,assignment]
    headers = await gateway.bearer()
    answer = await exchange(gateway.address, request("GET", "/api/v1/documents", headers))
    assert (answer.status, lacking(answer)) == (500, "")


async def test_a_gateway_that_leaves_has_them(gateway: Gateway) -> None:
    """``DRAINING`` is a refusal like any other."""
    headers = {**JSON, **await gateway.bearer()}
    await gateway.drain()
    answer = await exchange(gateway.address, request("POST", "/api/v1/query", headers, QUERY))
    assert (answer.status, answer.code, lacking(answer)) == (503, "DRAINING", "")


async def test_a_server_without_the_guard_has_them(core: StubCore) -> None:
    """It answers nothing but 500, with all of the headers."""
    async with running_gateway(core, protocol=HttpProtocol, HSTS_MAX_AGE="1d") as gateway:
        answer = await exchange(gateway.address, request("GET", "/healthz"))
        assert (answer.status, lacking(answer)) == (500, "")


async def test_the_admin_listener_has_them() -> None:
    """It is for monitors, and has the same headers but HSTS."""
    health = Health({}, MovableClock())
    server = await admin_listener.listen("127.0.0.1", 0, health, lambda: b"")
    address = server.sockets[0].getsockname()
    for target in ("/readyz", "/metrics", "/nothing"):
        answer = await exchange(address, request("GET", target))
        assert lacking(answer, hsts=None) == ""
    server.close()
    await server.wait_closed()


async def test_https_is_insisted_on_only_where_it_is_served(core: StubCore, tmp_path: Path) -> None:
    """Without TLS it would lock browsers out; under TLS it is sent, for a year."""
    async with running_gateway(core) as gateway:
        answer = await exchange(gateway.address, request("GET", "/healthz"))
        assert lacking(answer, hsts=None) == ""
    authority = Authority(tmp_path)
    pair = authority.issue()
    files = {"TLS_CERT_FILE": str(pair.cert), "TLS_KEY_FILE": str(pair.key)}
    async with running_gateway(core, trust=client(authority), **files) as gateway:
        answer = await exchange(gateway.address, request("GET", "/healthz"), trust=gateway.trust)
        assert lacking(answer, hsts="max-age=31536000") == ""
