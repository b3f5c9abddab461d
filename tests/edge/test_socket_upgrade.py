"""The way into a socket: what is a valid upgrade, and that nothing gets in around it."""

from __future__ import annotations

import asyncio

import pytest

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, assert_error_shape, exchange, read_answer, request
from .sockets import ACCEPT, PATH, UPGRADE, Op, by_hand, close_frame, frame
from .stub_core import StubCore

BOTH_LOOPS = True
HERE = "https://app.example.com"


def without(name: str, **others: str) -> dict[str, str]:
    kept = {key: text for key, text in UPGRADE.items() if key != name}
    return {**kept, **{key.replace("_", "-"): text for key, text in others.items()}}


async def test_the_answer_is_the_one_of_the_standard(gateway: Gateway) -> None:
    """RFC 6455, 1.3: key and accept; the subprotocol, an id for the log, and no extension."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    offered = {**UPGRADE, "Sec-WebSocket-Extensions": "permessage-deflate"}
    writer.write(request("GET", PATH, {**offered, **await gateway.bearer()}))
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.close()
    lines = head.strip().split("\r\n")
    assert lines[0] == "HTTP/1.1 101 Switching Protocols"
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert len(fields.pop("X-Request-ID")) == 36
    assert fields == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": ACCEPT,
        "Sec-WebSocket-Protocol": "kbg.v1",
    }


FAULTY = {
    "no upgrade": (426, {}),
    "another upgrade": (426, without("Upgrade", Upgrade="h2c")),
    "two upgrades": (426, without("Upgrade", Upgrade="websocket, h2c")),
    "no connection option": (426, without("Connection", Connection="keep-alive")),
    "an old version": (426, without("Sec-WebSocket-Version", Sec_WebSocket_Version="8")),
    "two versions": (426, without("Sec-WebSocket-Version", Sec_WebSocket_Version="13, 8")),
    "no key": (400, without("Sec-WebSocket-Key")),
    "a short key": (400, without("Sec-WebSocket-Key", Sec_WebSocket_Key="c2hvcnQ=")),
    "no base64": (400, without("Sec-WebSocket-Key", Sec_WebSocket_Key="!" * 22 + "==")),
    "an unknown subprotocol": (
        400,
        without("Sec-WebSocket-Protocol", Sec_WebSocket_Protocol="graphql-ws"),
    ),
    "a subprotocol that is none": (
        400,
        without("Sec-WebSocket-Protocol", Sec_WebSocket_Protocol="kbg.v1, a b"),
    ),
    "a query string": (400, UPGRADE),
}


@pytest.mark.parametrize("fault", FAULTY)
async def test_a_faulty_upgrade_is_refused_and_the_connection_serves_on(
    fault: str, gateway: Gateway
) -> None:
    """In the one error shape; what follows on the connection is HTTP."""
    status, headers = FAULTY[fault]
    target = PATH + ("?x=1" if fault == "a query string" else "")
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(request("GET", target, {**headers, **await gateway.bearer()}))
    async with asyncio.timeout(TIMEOUT_S):
        answer = await read_answer(reader)
        assert_error_shape(answer)
        writer.write(request("GET", "/healthz"))
        assert (await read_answer(reader)).status == 200
    writer.close()
    assert answer.status == status
    if status == 426:
        assert answer.header("upgrade") == "websocket"
    if "version" in fault:
        assert answer.header("sec-websocket-version") == "13"


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE", "OPTIONS"])
async def test_only_get_upgrades(method: str, gateway: Gateway) -> None:
    headers = {**UPGRADE, **await gateway.bearer()}
    answer = await exchange(gateway.address, request(method, PATH, headers))
    assert answer.status == (426 if method == "HEAD" else 405)


async def test_http_1_0_does_not_upgrade(gateway: Gateway) -> None:
    """RFC 9110, 7.8: an Upgrade in HTTP/1.0 is to be ignored."""
    asked = request("GET", PATH, {**UPGRADE, **await gateway.bearer()})
    answer = await exchange(gateway.address, asked.replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert answer.status == 426


@pytest.mark.parametrize("body", [b"", b"x", frame(Op.TEXT, b"{}")])
async def test_an_upgrade_with_a_body_is_refused(body: bytes, gateway: Gateway) -> None:
    """Where it ends would be one reader's guess; so would be what is behind it."""
    length = request("GET", PATH, {**UPGRADE, **await gateway.bearer()}, body)
    chunked = {**UPGRADE, **await gateway.bearer(), "Transfer-Encoding": "chunked"}
    in_chunks = request("GET", PATH, chunked) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    for asked in (length, in_chunks) if body else (length,):
        answer = await exchange(gateway.address, asked)
        assert answer.status == 400
        assert_error_shape(answer)


@pytest.mark.parametrize("behind", [b"x", frame(Op.TEXT, b"{}"), b"GET /healthz HTTP/1.1\r\n\r\n"])
async def test_what_comes_behind_an_upgrade_is_not_read(behind: bytes, gateway: Gateway) -> None:
    """A proxy that saw no upgrade takes it for a request, one that did for frames."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(request("GET", PATH, {**UPGRADE, **await gateway.bearer()}) + behind)
    async with asyncio.timeout(TIMEOUT_S):
        answer = await read_answer(reader)
        assert answer.status == 400
        assert answer.header("connection") == "close"
        assert await reader.read() == b""
    writer.close()


async def test_a_half_closed_client_is_not_upgraded(gateway: Gateway) -> None:
    """It could say nothing any more."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(request("GET", PATH, {**UPGRADE, **await gateway.bearer()}))
    writer.write_eof()
    async with asyncio.timeout(TIMEOUT_S):
        seen = await reader.read()
    writer.close()
    # Its FIN may come later than its request: then it is a client that left.
    assert seen.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 101 "))


@pytest.mark.parametrize("target", ["/healthz", "/api/v1/auth/me", "/nothing"])
async def test_an_upgrade_on_any_other_route_is_ignored(target: str, gateway: Gateway) -> None:
    """RFC 9110, 7.8: a server may ignore it, and what follows is HTTP."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    asked = request("GET", target, {**UPGRADE, **await gateway.bearer()})
    writer.write(asked + request("GET", "/healthz"))
    async with asyncio.timeout(TIMEOUT_S):
        assert (await read_answer(reader)).status == (404 if target == "/nothing" else 200)
        assert (await read_answer(reader)).status == 200
    writer.close()


async def test_an_upgrade_may_follow_other_requests(gateway: Gateway) -> None:
    """On a connection that was kept alive; and it is the connection's last request."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    async with asyncio.timeout(TIMEOUT_S):
        writer.write(request("GET", "/healthz"))
        assert (await read_answer(reader)).status == 200
        writer.write(request("GET", PATH, {**UPGRADE, **await gateway.bearer()}))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(close_frame(1000) + request("GET", "/healthz"))
        assert (await reader.read())[:1] == b"\x88"
    writer.close()


async def test_pages_of_origins_that_are_not_listed_get_no_socket(core: StubCore) -> None:
    """No CORS holds for sockets: what browsers say of the page is the only sign there is."""
    async with running_gateway(core, CORS_ORIGINS=HERE) as gateway:
        bearer = await gateway.bearer()
        for origin in ("https://evil.example.com", "null", HERE + ".evil.example"):
            asked = request("GET", PATH, {**UPGRADE, **bearer, "Origin": origin})
            answer = await exchange(gateway.address, asked)
            assert (answer.status, answer.code) == (403, "FORBIDDEN")
        async with by_hand(gateway, **bearer, Origin=HERE) as socket:
            socket.send(close_frame(1000))
            assert (await socket.closed())[0] == 1000


async def test_without_a_list_no_page_gets_a_socket(gateway: Gateway) -> None:
    asked = request("GET", PATH, {**UPGRADE, **await gateway.bearer(), "Origin": HERE})
    assert (await exchange(gateway.address, asked)).status == 403


async def test_while_the_worker_ends_no_socket_is_opened(gateway: Gateway) -> None:
    bearer = await gateway.bearer()
    async with by_hand(gateway, **bearer):
        gateway.application.lifecycle.ending = True
        answer = await exchange(gateway.address, request("GET", PATH, {**UPGRADE, **bearer}))
        assert (answer.status, answer.code) == (503, "DRAINING")
