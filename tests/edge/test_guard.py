"""What is refused at the wire, on real sockets, in whatever pieces it comes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sanic.server.protocols.http_protocol import HttpProtocol

from gateway.edge.wire import sanic_shape
from tests.unit.domain import wire_cases
from tests.unit.domain.wire_cases import Case

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, Answer, assert_error_shape, exchange, read_answer, request
from .stub_core import DONE, META, TOKEN, stub_core

BOTH_LOOPS = True
pytestmark = pytest.mark.asyncio(loop_scope="module")

# What an answer to this would give away: that something behind a refusal was read.
BEHIND = request("POST", "/auth/login", {"Content-Type": "application/json"}, b"{}")
# Cases of more than this are not sent byte by byte, but in as many pieces.
MOST_PIECES = 1500


def whole(data: bytes) -> list[bytes]:
    return [data]


def cut(data: bytes) -> list[bytes]:
    """At its quarters, so that some case of the table is cut in a line end, a name or a size."""
    marks = [len(data) * n // 4 for n in range(5)]
    return [data[a:b] for a, b in itertools.pairwise(marks) if a < b]


def at_line_ends(data: bytes) -> list[bytes]:
    """Between each CR and its LF, where readers of streams most often go wrong."""
    first, *rest = data.split(b"\r")
    return [first + b"\r" if rest else first, *(b + b"\r" for b in rest[:-1]), *rest[-1:]]


def byte_by_byte(data: bytes) -> list[bytes]:
    step = max(1, len(data) // MOST_PIECES)
    return [data[at : at + step] for at in range(0, len(data), step)]


WAYS = [whole, cut, at_line_ends, byte_by_byte]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded() -> AsyncIterator[Gateway]:
    async with stub_core() as core, running_gateway(core) as gateway:
        yield gateway


async def talk(gateway: Gateway, pieces: list[bytes]) -> tuple[asyncio.StreamReader, Any]:
    """A connection on which ``pieces`` were sent, each on its own."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    for piece in pieces:
        if reader.at_eof():
            break
        writer.write(piece)
        # A turn of the loop, for the gateway (on the same one) to read this piece alone.
        await asyncio.sleep(0)
    return reader, writer


async def only_answer(gateway: Gateway, pieces: list[bytes]) -> Answer:
    """The only answer; the connection ends after it."""
    reader, writer = await talk(gateway, pieces)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer = await read_answer(reader)
            assert await reader.read() == b"", "something behind the refusal was answered"
            return answer
    finally:
        writer.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", wire_cases.BAD, ids=lambda case: case.name)
async def test_a_bad_request_is_refused_and_nothing_behind_it_read(
    guarded: Gateway, case: Case, way: Any
) -> None:
    """One refusal in the one shape, a close, and no answer to the bytes that followed."""
    answer = await only_answer(guarded, way(case.data + BEHIND))
    assert (answer.status, answer.code) == (case.status, case.code), answer.body
    assert answer.header("connection") == "close"
    assert_error_shape(answer)


# Well-formed requests that lead to no route.
NOWHERE = {"absolute without a path", "absolute with a query alone", "a target of 8 KiB"}


def of_its_route(case: Case) -> tuple[int, str | None]:
    """What the route says: a log-in without its two fields is wrong, as is a query of a probe."""
    if case.name in NOWHERE:
        return 404, "NOT_FOUND"
    if case.data.startswith(b"OPTIONS "):
        return 204, None
    if case.name == "a query" or case.data.startswith(b"POST /auth/login "):
        return 400, "VALIDATION_ERROR"
    return 200, None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", wire_cases.GOOD, ids=lambda case: case.name)
async def test_a_good_request_is_answered_and_so_is_the_one_behind_it(
    guarded: Gateway, case: Case, way: Any
) -> None:
    """What is well formed gets to its route, and leaves the connection fit for the next one."""
    reader, writer = await talk(guarded, way(case.data + BEHIND))
    async with asyncio.timeout(TIMEOUT_S):
        answer = await read_answer(reader)
        behind = await read_answer(reader)
    writer.close()
    code = answer.code if answer.status >= 400 else None
    assert (answer.status, code) == of_its_route(case)
    assert answer.header("connection") == "keep-alive"
    assert (behind.status, behind.code) == (400, "VALIDATION_ERROR")


async def test_a_refusal_reaches_a_client_that_is_still_sending(guarded: Gateway) -> None:
    """A megabyte more does not turn the refusal into a reset."""
    data = b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: +9\r\n\r\n"
    reader, writer = await asyncio.open_connection(*guarded.address)
    writer.write(data + b"x" * 1_000_000)
    async with asyncio.timeout(TIMEOUT_S):
        await writer.drain()
        answer = await read_answer(reader)
        assert await reader.read() == b""
    writer.close()
    assert answer.status == 400


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"WebSocket, h2c", b"TLS/1.0"])
async def test_an_unwanted_upgrade_is_ignored(guarded: Gateway, protocol: bytes) -> None:
    """RFC 9110, 7.8: no switch, the answer as ever, and the connection goes on in HTTP/1.1."""
    asked = wire_cases.get(
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: " + protocol,
        b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Version: 13",
    )
    reader, writer = await talk(guarded, [asked, asked])
    async with asyncio.timeout(TIMEOUT_S):
        answers = [await read_answer(reader), await read_answer(reader)]
    writer.close()
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].header("upgrade") is None


async def test_http_1_0_gets_no_100_continue(guarded: Gateway) -> None:
    """RFC 9110, 10.1.1: such a client would take it for the answer."""
    asked = wire_cases.post(
        b"Content-Length: 2", b"Expect: 100-continue", version=b"HTTP/1.0", body=b"{}"
    )
    reader, writer = await talk(guarded, [asked])
    async with asyncio.timeout(TIMEOUT_S):
        seen = await reader.read()
    writer.close()
    assert seen.startswith(b"HTTP/1.1 400 ")


async def test_http_1_0_is_kept_only_when_it_asks(guarded: Gateway) -> None:
    """RFC 9112, 9.3."""
    once = wire_cases.get(version=b"HTTP/1.0")
    again = wire_cases.get(b"Connection: keep-alive", version=b"HTTP/1.0")
    reader, writer = await talk(guarded, [again, once, once])
    async with asyncio.timeout(TIMEOUT_S):
        kept, closed = await read_answer(reader), await read_answer(reader)
        assert await reader.read() == b""
    writer.close()
    assert (kept.header("connection"), closed.header("connection")) == ("keep-alive", "close")


async def test_http_1_0_gets_an_event_stream_without_chunks(guarded: Gateway) -> None:
    """Its body is the events, byte for byte, and the end of the connection is its end."""
    body = b'{"query": "hi"}'
    headers = {"Content-Type": "application/json", **await guarded.bearer()}
    asked = request("POST", "/api/v1/query", headers, body).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    reader, writer = await talk(guarded, [asked])
    async with asyncio.timeout(TIMEOUT_S):
        head = await reader.readuntil(b"\r\n\r\n")
        events = await reader.read()
    writer.close()
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head.lower()
    assert events == b": connected\n\n" + META + TOKEN + DONE


async def test_a_body_over_http_1_0_without_its_length_is_asked_for_it(guarded: Gateway) -> None:
    """It may not be chunked, and its end cannot be the connection's: the answer has to go there."""
    headers = {"Content-Type": "application/json", **await guarded.bearer()}
    head = request("POST", "/api/v1/query", headers).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    answer = await exchange(guarded.address, head + b'{"query": "hi"}')
    assert (answer.status, answer.code) == (411, "LENGTH_REQUIRED")
    assert answer.header("connection") == "close"


async def test_a_half_closed_client_gets_its_answers(guarded: Gateway) -> None:
    """All it asked before it closed its side is answered, and then the connection ends."""
    reader, writer = await talk(guarded, [wire_cases.get() + BEHIND])
    writer.write_eof()
    async with asyncio.timeout(TIMEOUT_S):
        answers = [await read_answer(reader), await read_answer(reader)]
        assert await reader.read() == b""
    writer.close()
    assert [answer.status for answer in answers] == [200, 400]


async def test_half_a_request_and_a_fin_is_no_request(guarded: Gateway) -> None:
    """A request that can never become whole is refused instead of waited for."""
    for half in (wire_cases.get()[:-2], wire_cases.post(b"Content-Length: 3")):
        reader, writer = await talk(guarded, [half])
        writer.write_eof()
        async with asyncio.timeout(TIMEOUT_S):
            answer = await read_answer(reader)
            assert await reader.read() == b""
        writer.close()
        assert (answer.status, answer.code) == wire_cases.MALFORMED


async def test_a_fin_without_a_request_is_answered_with_silence(guarded: Gateway) -> None:
    """A connection that was never used, and one that was, simply ends."""
    for pieces, expected in (([], 0), ([wire_cases.get()], 1)):
        reader, writer = await talk(guarded, pieces)
        async with asyncio.timeout(TIMEOUT_S):
            for _ in range(expected):
                assert (await read_answer(reader)).status == 200
            writer.write_eof()
            assert await reader.read() == b""
        writer.close()


async def test_a_server_started_without_the_guard_answers_nothing_but_500() -> None:
    """Forgetting to pass the protocol must not quietly open the wire."""
    async with stub_core() as core, running_gateway(core, protocol=HttpProtocol) as gateway:
        assert (await gateway.client.get("/healthz")).status_code == 500


async def test_a_sanic_of_another_shape_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway does not start on it, and says what is missing and what to install."""
    sanic_shape.check_shape()
    read = next(method for method in sanic_shape._SHAPE if method.__name__ == "read")
    monkeypatch.setitem(sanic_shape._SHAPE, read, {"gone_in_27"})
    with pytest.raises(RuntimeError, match=r"read: gone_in_27.*Install"):
        sanic_shape.check_shape()
