"""``CoreHttp`` and the query flow against a core on a real socket, a good one and bad ones."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from random import Random
from typing import Any

import httpx
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.adapters.core_http import CoreHttp, CoreTimeouts
from gateway.domain.balancing import Address, Balancer
from gateway.domain.documents import CoreDocument
from gateway.domain.headers import CORE_REQUEST_HEADERS
from gateway.domain.plain_events import Framing
from gateway.domain.sse import CONNECTED, SseParser
from gateway.errors import (
    CoreProtocolError,
    CoreTimeout,
    CoreUnavailable,
    GatewayError,
    NotFound,
    Overloaded,
    ValidationFailed,
)
from gateway.flows.answer_stream import Answer, Query
from gateway.flows.relay import Relay
from gateway.flows.ticker import Ticker
from gateway.http_client.discovery import Discovery
from gateway.http_client.dns_lookup import DnsLookup
from gateway.http_client.transport import CoreTransport
from gateway.ports import Core, OnBehalfOf
from tests.unit.flows.scripted_core import TakingClient, far_limits
from tests.unit.http_client.name_server import name_server
from tests.unit.http_client.scripted import CHUNKED, Peer, Server, answering, once, serve, until

ID = "01920000-0000-7000-8000-000000000001"
LATER = "01920000-0000-7000-8000-000000000002"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
WHO = OnBehalfOf("ann", "acme", frozenset({"reader", "editor"}), "req-1", traceparent=TRACE)
TOKEN = b'event: token\ndata: {"text":"a"}\n\n'
DONE = b'event: done\ndata: {"finish_reason":"stop"}\n\n'
ERROR = b'event: error\ndata: {"error":{"code":"OVERLOADED","message":"secret"}}\n\n'
RECORD: dict[str, Any] = {
    "document_id": ID,
    "filename": "a.pdf",
    "content_type": "application/pdf",
    "size": 3,
    "status": "indexed",
    "error": None,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "sha256": "0" * 64,
    "warnings": ("Page 2 could not be read.",),
}
EVENTS = "Content-Type: text/event-stream"
PATIENT = CoreTimeouts(connect_s=30, pool_s=30, head_s=30, call_s=30, check_s=30)
PLAIN: dict[str, Any] = {"timeouts": PATIENT, "body_limit_bytes": 4 * 1024 * 1024}


def times(**some: float) -> CoreTimeouts:
    return CoreTimeouts(**{"connect_s": 2.0, "call_s": 1.5, **some})


class SystemClock:
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


@asynccontextmanager
async def core_at(*urls: str, **options: Any) -> AsyncIterator[tuple[CoreHttp, CoreTransport]]:
    transport = CoreTransport(limit=options.pop("limit", 10))
    async with aclosing(transport):
        yield CoreHttp(transport, urls, "s3cret", **{**PLAIN, **options}), transport
        assert transport.slots.in_use == 0


@asynccontextmanager
async def app(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """An aiohttp server that gives every request to ``handler``."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await runner.cleanup()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def reply(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def error_shape(code: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": "upstream secret"}}).encode()


def unused_url() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


class Watching(TakingClient):
    """Notes when ``: connected`` and each token reached it."""

    def __init__(self, *, greeted: asyncio.Event, got_token: asyncio.Event) -> None:
        super().__init__()
        self._greeted, self._got_token = greeted, got_token

    def send(self, data: bytes) -> bool:
        (self._got_token if TOKEN in data else self._greeted).set()
        return super().send(data)


async def relayed(core: Core, client: TakingClient, who: OnBehalfOf = WHO, **limits: Any) -> Answer:
    """One question, relayed to ``client`` to its end, greeted as the edge does it."""
    query = Query(core, SystemClock(), far_limits(**limits))
    async with query.open(who, {"query": "How long is green tea steeped?"}) as answer:
        client.send(CONNECTED)
        await Relay(answer, client, Ticker()).run()
    assert answer.end is not None
    return answer


async def ask(core: Core, **limits: Any) -> tuple[bytes, str, str | None]:
    """Everything a client gets of one question, the log's word and the terminal code."""
    client = TakingClient()
    answer = await relayed(core, client, **limits)
    assert answer.end is not None
    return b"".join(client.got), answer.end.outcome, answer.end.code


# --- a good core ------------------------------------------------------------------------


async def test_a_question_travels_as_the_contract_says() -> None:
    """Identity, token, request id and trace in the head; the body as given; nothing else."""
    seen: list[tuple[web.Request, Any]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append((request, await request.json()))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        await response.write(TOKEN)
        await response.write(DONE)
        return response

    async with app(handler) as url, core_at(url) as (core, transport):
        for _ in range(3):
            assert await ask(core) == (CONNECTED + TOKEN + DONE, "done", None)
        # A whole answer leaves its connection to the next question.
        assert transport.idle_connections == 1
    request, body = seen[0]
    asked = {"query": "How long is green tea steeped?"}
    assert (request.method, request.raw_path, body) == ("POST", "/v1/query", asked)
    expected = {
        "Authorization": "Bearer s3cret",
        "X-KB-Subject": "ann",
        "X-KB-Tenant": "acme",
        "X-KB-Roles": "editor,reader",
        "X-Request-ID": "req-1",
        "traceparent": TRACE,
    }
    assert {name: request.headers.get(name) for name in expected} == expected
    assert {name.lower() for name in request.headers} <= CORE_REQUEST_HEADERS
    assert "X-KB-Actor" not in request.headers


async def test_documents_are_listed_read_and_deleted() -> None:
    """The query string is built afresh; the admin travels beside the owner."""
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        if request.method == "DELETE":
            return web.Response(status=204)
        if request.path == "/v1/documents":
            page = {"documents": [RECORD], "next_cursor": request.query.get("cursor")}
            return web.json_response(page)
        return web.json_response(RECORD)

    who = OnBehalfOf("ann", "acme", frozenset({"admin"}), "r", actor="root")
    async with app(handler) as url, core_at(url + "/") as (core, _):
        page = await core.list_documents(who, limit=5, cursor=LATER)
        assert page.documents == [CoreDocument(**RECORD)]
        assert page.more
        assert not (await core.list_documents(who, limit=5, cursor=None)).more
        assert await core.get_document(who, ID) == CoreDocument(**RECORD)
        await core.delete_document(who, ID)
        await core.check()
    assert [request.raw_path for request in seen] == [
        f"/v1/documents?limit=5&cursor={LATER}",
        "/v1/documents?limit=5",
        f"/v1/documents/{ID}",
        f"/v1/documents/{ID}",
        "/healthz",
    ]
    assert [request.headers.get("X-KB-Actor") for request in seen[:4]] == ["root"] * 4
    assert "X-KB-Subject" not in seen[4].headers


async def test_a_document_that_is_not_there_is_none_and_deleted() -> None:
    """A 404 is an answer for both."""
    absent = reply(404, error_shape("NOT_FOUND"))
    async with serve(answering(absent)) as server, core_at(server.url) as (core, _):
        assert await core.get_document(WHO, ID) is None
        await core.delete_document(WHO, ID)


@pytest.mark.parametrize("status", [200, 400])
async def test_a_core_whose_answer_does_not_end_is_left_at_the_limit(status: int) -> None:
    """An answer, or the body of a refusal: neither is read for as long as the core sends."""
    pieces, sent = 1024, 0

    async def sends_much(peer: Peer, _server: Server) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(CHUNKED.replace(b"200", b"%d" % status))
        for _ in range(pieces):
            await peer.send(chunk(b" " * 65536))
            sent += 1

    async with (
        serve(sends_much) as server,
        core_at(server.url, body_limit_bytes=4096) as (core, transport),
    ):
        with pytest.raises(CoreProtocolError):
            await core.list_documents(WHO, limit=20, cursor=None)
        await server.until(lambda: server.open == 0)
        assert sent < pieces // 2
        assert transport.open_connections == 0


async def test_an_id_that_is_none_never_reaches_the_core() -> None:
    """Ids are checked before any use; a path is never built from anything else."""
    async with core_at(unused_url()) as (core, _):
        with pytest.raises(ValueError, match="checked"):
            await core.get_document(WHO, "../keys")


async def test_a_core_that_refuses_the_token_is_told_to_the_operator() -> None:
    """The two tokens differ: `gateway check --connect` names the setting."""
    async with serve(answering(reply(401))) as server, core_at(server.url) as (core, _):
        with pytest.raises(CoreUnavailable) as caught:
            await core.check()
    assert "GATEWAY_CORE_TOKEN" in str(caught.value.__cause__)


# --- a core that says no ----------------------------------------------------------------

REFUSALS = [
    (reply(400, error_shape("VALIDATION_ERROR")), ValidationFailed),
    (reply(422, error_shape("VALIDATION_ERROR")), ValidationFailed),
    (reply(400, b"<html>upstream secret"), CoreProtocolError),
    (reply(400, error_shape("OTHER")), CoreProtocolError),
    (reply(401, error_shape("UNAUTHENTICATED")), CoreUnavailable),
    (reply(403), CoreUnavailable),
    (reply(409), CoreProtocolError),
    (reply(429), Overloaded),
    (reply(503), Overloaded),
    (reply(500, b"Traceback: upstream secret"), CoreUnavailable),
    (reply(502), CoreUnavailable),
    (reply(307, b"", "Location: /elsewhere"), CoreProtocolError),
    (b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", CoreProtocolError),
    (b"nonsense\r\n\r\n", CoreProtocolError),
    (b"", CoreUnavailable),
]  # fmt: skip
WRONG_STREAMS = [
    (reply(404, error_shape("NOT_FOUND")), NotFound),
    (reply(404), CoreProtocolError),
    (reply(200, b"{}", "Content-Type: application/json"), CoreProtocolError),
    (reply(200, b"x"), CoreProtocolError),
    (reply(204), CoreProtocolError),
    (reply(200, b"x", EVENTS, "Content-Encoding: gzip"), CoreProtocolError),
]  # fmt: skip
WRONG_DOCUMENTS = [
    (reply(200, b"{"), CoreProtocolError),
    (reply(200, b"[]"), CoreProtocolError),
    (reply(200, b"\xff"), CoreProtocolError),
    (reply(200, json.dumps({**RECORD, "status": "odd"}).encode()), CoreProtocolError),
    (reply(200, json.dumps({**RECORD, "size": "3"}).encode()), CoreProtocolError),
    (reply(200, json.dumps({**RECORD, "document_id": ID[:-1] + "2"}).encode()), CoreProtocolError),
    (reply(200, b"{}", "Content-Encoding: gzip"), CoreProtocolError),
    (reply(204), CoreProtocolError),
    (reply(200, json.dumps(RECORD | {"more": "x" * 5000}).encode()), CoreProtocolError),
    (reply(200, json.dumps(RECORD).encode())[:-5], CoreProtocolError),
]  # fmt: skip


WRONG_RECORDS = [
    {"document_id": "../x"},
    {"document_id": ID[:-1] + "A"},
    {"size": -1},
    {"size": 3.5},
    {"sha256": "0" * 63},
    {"created_at": "yesterday"},
    {"updated_at": None},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_RECORDS, ids=str)
async def test_a_record_that_cannot_be_is_the_cores_fault(wrong: dict[str, Any]) -> None:
    """Alone or in a page: nothing of it is shown, and the log names the field."""
    record = RECORD | wrong
    page = {"documents": [record], "next_cursor": None}
    one, many = (reply(200, json.dumps(body).encode()) for body in (record, page))
    async with serve(answering(one)) as server, core_at(server.url) as (core, _):
        with pytest.raises(CoreProtocolError):
            await core.get_document(WHO, ID)
    async with serve(answering(many)) as server, core_at(server.url) as (core, _):
        with pytest.raises(CoreProtocolError):
            await core.list_documents(WHO, limit=5, cursor=None)


async def test_a_page_that_is_none_is_the_cores_fault() -> None:
    """More records than were asked for, twice the same, and what is not below the cursor."""
    many = [RECORD | {"document_id": f"{ID[:-4]}{n:04}"} for n in range(500, 0, -1)]
    for records, cursor in ((many, None), ([RECORD, RECORD], None), ([RECORD], ID)):
        page = reply(200, json.dumps({"documents": records, "next_cursor": ID}).encode())
        async with serve(answering(page)) as server, core_at(server.url) as (core, _):
            with pytest.raises(CoreProtocolError):
                await core.list_documents(WHO, limit=100, cursor=cursor)


@pytest.mark.parametrize(("answer", "kind"), [*REFUSALS, *WRONG_STREAMS])
async def test_a_question_the_core_refuses_has_its_true_status(
    answer: bytes, kind: type[GatewayError]
) -> None:
    """Before the first byte went out; nothing the core wrote is in it; no slot stays taken."""
    async with serve(once(answer)) as server, core_at(server.url) as (core, _):
        with pytest.raises(GatewayError) as caught:
            await core.open_query(WHO, {"query": "why?"})
        assert type(caught.value) is kind
        assert "secret" not in repr((caught.value.message, caught.value.details))
        # A question is asked once: the core may have begun to answer it.
        assert server.connections == 1


@pytest.mark.parametrize(("answer", "kind"), [*REFUSALS, *WRONG_DOCUMENTS])
async def test_a_document_call_the_core_refuses_has_its_true_status(
    answer: bytes, kind: type[GatewayError]
) -> None:
    """The same table, and answers are decoded strictly and bounded."""
    async with (
        serve(once(answer)) as server,
        core_at(server.url, body_limit_bytes=4096) as (core, _),
    ):
        with pytest.raises(GatewayError) as caught:
            await core.get_document(WHO, ID)
        assert type(caught.value) is kind
        assert "secret" not in repr((caught.value.message, caught.value.details))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("Retry-After: 7", 7), ("Retry-After: 0", 1), ("Retry-After: 99999", 300), ("X: y", 1),
     ("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT", 1), ("Retry-After: " + "9" * 5000, 1)],
)  # fmt: skip
async def test_an_overloaded_core_says_when_to_come_back(header: str, seconds: int) -> None:
    """Its ``Retry-After`` is taken over within reason."""
    busy = reply(503, b"", header)
    async with serve(answering(busy)) as server, core_at(server.url) as (core, _):
        with pytest.raises(Overloaded) as caught:
            await core.open_query(WHO, {})
        assert caught.value.retry_after_s == seconds


async def test_a_refused_connection_is_unavailable() -> None:
    """For each kind of call."""
    async with core_at(unused_url()) as (core, _):
        for call in (
            core.open_query(WHO, {}),
            core.get_document(WHO, ID),
            core.check(),
        ):
            with pytest.raises(CoreUnavailable):
                await call


async def test_a_silent_core_is_a_timeout_within_the_calls_bound() -> None:
    """One bound for the whole call, also when the body trickles."""
    trickle = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
    for answer in (b"HTTP/1.1 200", trickle):
        async with serve(answering(answer)) as server:
            short = times(call_s=0.05, head_s=0.05, check_s=0.05)
            async with core_at(server.url, timeouts=short) as (core, _):
                with pytest.raises(CoreTimeout):
                    await core.get_document(WHO, ID)
                with pytest.raises(CoreTimeout):
                    await core.check()
                await server.until(lambda server=server: server.open == 0)


async def test_no_head_in_the_window_is_a_timeout() -> None:
    """Also for a question, where no flow keeps a clock of its own."""
    short = times(head_s=0.05)
    async with (
        serve(answering(b"HTTP/1.1 200")) as server,
        core_at(server.url, timeouts=short) as (core, _),
    ):
        with pytest.raises(CoreTimeout):
            await core.open_query(WHO, {})
        await server.until(lambda: server.open == 0)


async def test_a_full_pool_is_overloaded() -> None:
    """The gateway's own limit, told as such."""
    async with serve(answering(CHUNKED)) as server:
        options = {"limit": 1, "timeouts": times(pool_s=0.01)}
        async with core_at(server.url, **options) as (core, _):
            held = await core.open_query(WHO, {})
            with pytest.raises(Overloaded):
                await core.open_query(WHO, {})
            await held.aclose()
            await held.aclose()


# --- several addresses ------------------------------------------------------------------


async def test_addresses_are_used_in_turn() -> None:
    """Where none has more calls in flight than another."""
    page = reply(200, json.dumps({"documents": [], "next_cursor": None}).encode())
    async with serve(answering(page)) as a, serve(answering(page)) as b:
        async with core_at(a.url, b.url) as (core, _):
            for _ in range(6):
                await core.list_documents(WHO, limit=1, cursor=None)
        assert (len(a.requests), len(b.requests)) == (3, 3)


async def test_a_refused_connection_is_tried_at_the_next_address() -> None:
    """Nothing was sent, so a question may go elsewhere too."""
    stream = reply(200, DONE, EVENTS)
    async with serve(answering(stream)) as server, core_at(unused_url(), server.url) as (core, _):
        for _ in range(4):
            assert (await ask(core))[1] == "done"
        await core.check()


async def test_a_safe_call_that_broke_is_made_once_more() -> None:
    """A stale connection costs nobody an error; a core that always breaks is not asked for ever."""
    async with serve(once(b"")) as bad:
        page = reply(200, json.dumps({"documents": [], "next_cursor": None}).encode())
        async with serve(answering(page)) as good, core_at(bad.url, good.url) as (core, _):
            await core.list_documents(WHO, limit=1, cursor=None)
        async with core_at(bad.url) as (core, _):
            with pytest.raises(CoreUnavailable):
                await core.list_documents(WHO, limit=1, cursor=None)
        assert bad.connections == 3


async def test_a_question_that_broke_is_never_asked_twice() -> None:
    """The first core may be answering it still."""
    async with serve(once(b"")) as bad, serve(answering(b"")) as other:
        async with core_at(bad.url, other.url) as (core, _):
            with pytest.raises(CoreUnavailable):
                await core.open_query(WHO, {})
        assert (bad.connections, other.connections) == (1, 0)


LISTING = reply(200, json.dumps({"documents": [], "next_cursor": None}).encode())


async def listed(core: CoreHttp) -> None:
    await core.list_documents(WHO, limit=1, cursor=None)


def address_of(url: str) -> Address:
    """An address as a look-up would tell it."""
    parsed = httpx.URL(url)
    assert parsed.port is not None
    return Address("http://core.test", (parsed.host, parsed.port))


@asynccontextmanager
async def found_core(
    *addresses: Address, **options: Any
) -> AsyncIterator[tuple[CoreHttp, Balancer]]:
    """A core at addresses that somebody else keeps up to date."""
    balancer = Balancer(Random(1), addresses)
    transport = CoreTransport(limit=options.pop("limit", 10))
    async with aclosing(transport):
        yield CoreHttp(transport, balancer, "s3cret", **{**PLAIN, **options}), balancer
        assert transport.slots.in_use == 0
        assert [balancer.streams(address) for address in addresses] == [0] * len(addresses)


async def test_a_core_found_by_name_is_called_by_its_name() -> None:
    """The connection goes to the address, the ``Host`` header says the name."""
    async with serve(answering(LISTING)) as server, found_core(address_of(server.url)) as (core, _):
        await listed(core)
        await core.check()
        assert [b"host: core.test\r\n" in one.lower() for one in server.requests] == [True, True]


async def test_a_core_that_was_not_found_is_unavailable() -> None:
    """At once, for calls and for the health check, until somebody finds it."""
    async with serve(answering(LISTING)) as server, found_core() as (core, balancer):
        for ask in (listed, lambda core: core.open_query(WHO, {}), CoreHttp.check):
            with pytest.raises(CoreUnavailable) as caught:
                await ask(core)
            assert "no address" in str(caught.value.__cause__)
        balancer.update([address_of(server.url)], 0.0)
        await listed(core)


async def test_a_stream_counts_at_its_address_until_its_end() -> None:
    """So a new question goes where fewer streams are, however many calls came since."""
    head = reply(200, b"", EVENTS).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")

    async def script(peer: Peer, server: Server) -> None:
        while await peer.request():
            await peer.send(head)

    async with serve(script) as a, serve(script) as b:
        one, other = address_of(a.url), address_of(b.url)
        async with found_core(one, other) as (core, balancer):
            streams = [await core.open_query(WHO, {}) for _ in range(6)]
            assert (balancer.streams(one), balancer.streams(other)) == (3, 3)
            for stream in streams[::2]:
                await stream.aclose()
                await stream.aclose()
            assert {balancer.streams(one), balancer.streams(other)} == {0, 3}
            streams += [await core.open_query(WHO, {}) for _ in range(3)]
            assert (balancer.streams(one), balancer.streams(other)) == (3, 3)
            for stream in streams:
                await stream.aclose()


class Taken:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""
        self.end: list[GatewayError | None] = []

    def received(self, data: bytes) -> None:
        self.data += data

    def framed_taker(
        self, parse: Callable[[bytes], None], framing: Framing
    ) -> Callable[[bytes], None]:
        return parse

    def ended(self, error: GatewayError | None) -> None:
        self.end.append(error)


@pytest.mark.parametrize("whole", [True, False])
async def test_a_pushed_stream_counts_until_its_end_too(whole: bool) -> None:
    """Well or not; closing it afterwards counts nothing twice."""
    go_on = asyncio.Event()

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(TOKEN))
        await asyncio.wait_for(go_on.wait(), 30)
        await peer.send(chunk(DONE) + (b"0\r\n\r\n" if whole else b""))

    async with serve(script) as server, found_core(address_of(server.url)) as (core, balancer):
        stream, taken = await core.open_query(WHO, {}), Taken()
        stream.attach(taken)
        await until(lambda: taken.data == TOKEN)
        assert balancer.streams(address_of(server.url)) == 1
        go_on.set()
        await until(lambda: bool(taken.end))
        assert (taken.data, taken.end == [None]) == (TOKEN + DONE, whole)
        assert balancer.streams(address_of(server.url)) == 0
        await stream.aclose()
        assert balancer.streams(address_of(server.url)) == 0


async def test_a_pushed_stream_that_is_closed_early_counts_no_more() -> None:
    """The client left: its sink gets nothing more, and the count is right all the same."""
    async with (
        serve(answering(CHUNKED + chunk(TOKEN))) as server,
        found_core(address_of(server.url)) as (core, balancer),
    ):
        stream = await core.open_query(WHO, {})
        stream.attach(Taken())
        assert balancer.streams(address_of(server.url)) == 1
        await stream.aclose()
        assert balancer.streams(address_of(server.url)) == 0


async def test_a_forgotten_stream_counts_no_more() -> None:
    """Nobody closed it."""
    async with (
        serve(answering(CHUNKED + chunk(TOKEN))) as server,
        found_core(address_of(server.url)) as (core, balancer),
    ):
        await core.open_query(WHO, {})
        gc.collect()
        await until(lambda: balancer.streams(address_of(server.url)) == 0)
        await server.until(lambda: server.open == 0)


async def test_an_address_that_refuses_is_ejected_and_logged() -> None:
    """One failure and no call is tried there for a while; no client notices."""
    async with serve(answering(LISTING)) as server:
        gone = address_of(unused_url())
        async with found_core(gone, address_of(server.url)) as (core, balancer):
            with capture_logs() as logs:
                for _ in range(20):
                    await listed(core)
            assert gone in balancer.ejected(asyncio.get_running_loop().time())
        assert len(server.requests) == 20
    out = [line for line in logs if line["event"] == "core address ejected"]
    assert len(out) == 1
    assert out[0]["outcome"] == "unreachable"
    assert "core.test at 127.0.0.1:" in out[0]["address"]


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_an_address_that_cannot_serve_is_ejected_after_three_answers(status: int) -> None:
    """What a proxy in front of a dead core says; the call itself has its true status."""
    stream = reply(200, DONE, EVENTS)
    async with serve(answering(reply(status))) as bad, serve(answering(stream)) as good:
        async with found_core(address_of(bad.url), address_of(good.url)) as (core, _):
            refused = 0
            for _ in range(20):
                try:
                    assert (await ask(core))[1] == "done"
                except GatewayError:
                    refused += 1
        assert (refused, len(bad.requests), len(good.requests)) == (3, 3, 17)


async def test_an_address_that_breaks_its_streams_is_ejected_after_three() -> None:
    """A good head is not enough: it would draw all streams by ending them so fast."""
    async with (
        serve(once(CHUNKED + chunk(TOKEN))) as bad,
        serve(once(CHUNKED + chunk(DONE) + LAST)) as good,
        found_core(address_of(bad.url), address_of(good.url)) as (core, balancer),
    ):
        words = [(await ask(core))[1] for _ in range(12)]
        assert balancer.ejected(asyncio.get_running_loop().time()) == (address_of(bad.url),)
    assert words.count("core_truncated") == 3


async def test_clients_that_leave_take_no_core_away() -> None:
    """Neither before its head nor after it."""

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        server.requests.append(b"")
        if server.connections % 2:
            await peer.send(CHUNKED)
        await peer.left()

    async with (
        serve(script) as server,
        serve(script) as other,
        found_core(address_of(server.url), address_of(other.url)) as (core, balancer),
    ):
        for n in range(20):
            client = asyncio.ensure_future(ask(core))
            await until(lambda n=n: len(server.requests) + len(other.requests) > n)
            client.cancel()
            with pytest.raises(asyncio.CancelledError):
                await client
        assert balancer.ejected(asyncio.get_running_loop().time()) == ()


async def test_a_silent_address_is_ejected_after_three_timeouts() -> None:
    """A frozen core takes connections and answers nothing."""
    async with serve(answering(b"")) as frozen, serve(answering(LISTING)) as good:
        short = times(call_s=0.5, head_s=30)
        async with found_core(address_of(frozen.url), address_of(good.url), timeouts=short) as (
            core,
            balancer,
        ):
            late = 0
            while not balancer.ejected(asyncio.get_running_loop().time()):
                try:
                    await listed(core)
                except CoreTimeout:
                    late += 1
            assert late == 3


async def test_what_is_repeated_keeps_to_the_budget() -> None:
    """When every address breaks every call, the load grows by a fifth, not by a factor."""
    async with serve(once(b"")) as a, serve(once(b"")) as b, serve(once(b"")) as c:
        async with found_core(*(address_of(server.url) for server in (a, b, c))) as (core, _):
            for _ in range(50):
                with pytest.raises(CoreUnavailable):
                    await listed(core)
        calls = sum(len(server.requests) for server in (a, b, c))
        assert 50 < calls <= 50 + 3 + 10


async def test_a_question_goes_on_to_a_third_address() -> None:
    """Two cores went away in the same moment."""
    stream = reply(200, DONE, EVENTS)
    async with serve(answering(stream)) as server:
        gone = [address_of(unused_url()) for _ in range(2)]
        async with found_core(*gone, address_of(server.url)) as (core, _):
            assert (await ask(core))[1] == "done"


async def test_calls_follow_a_name_to_where_it_leads() -> None:
    """From the name server's record to the connection, and on to the next record."""
    asleep, awake = asyncio.Event(), asyncio.Event()

    async def sleep(length_s: float) -> None:
        asleep.set()
        await awake.wait()
        awake.clear()

    async with (
        serve(answering(LISTING)) as a,
        serve(answering(LISTING)) as b,
        name_server() as names,
        found_core() as (core, balancer),
    ):
        names.records["core.kb", "A"] = (5, ["127.0.0.1"])
        names.records["_http._tcp.core.kb", "SRV"] = (5, [f"0 1 {httpx.URL(a.url).port} core.kb."])
        discovery = Discovery(
            ["srv+http://_http._tcp.core.kb"],
            DnsLookup(["127.0.0.1"], names.port),
            lambda found: balancer.update(found, asyncio.get_running_loop().time()),
            sleep=sleep,
        )
        await discovery.start(within_s=30)
        await listed(core)
        names.records["_http._tcp.core.kb", "SRV"] = (5, [f"0 1 {httpx.URL(b.url).port} core.kb."])
        await asyncio.wait_for(asleep.wait(), 30)
        asleep.clear()
        awake.set()
        await asyncio.wait_for(asleep.wait(), 30)
        await listed(core)
        await discovery.aclose()
        assert (len(a.requests), len(b.requests)) == (1, 1)
        assert b"host: core.kb\r\n" in b.requests[0].lower()


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that takes no connection and refuses none: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as sock, ExitStack() as stack:
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


async def test_a_document_call_has_time_left_for_another_address() -> None:
    """A machine that vanished refuses nothing: connecting gets half of the call's time."""
    async with serve(answering(LISTING)) as server:
        with black_hole() as url:
            long = times(connect_s=30, call_s=4)
            async with found_core(address_of(url), address_of(server.url), timeouts=long) as (
                core,
                balancer,
            ):
                await listed(core)
                assert balancer.ejected(asyncio.get_running_loop().time()) == (address_of(url),)


async def test_one_healthy_address_is_a_healthy_core() -> None:
    """The others refuse, fail or say nothing: each of them is not waited for."""
    well = reply(200, b"{}")
    async with (
        serve(answering(b"")) as frozen,
        serve(answering(reply(500))) as failing,
        serve(answering(well)) as good,
    ):
        addresses = [
            address_of(unused_url()),
            address_of(frozen.url),
            address_of(failing.url),
            address_of(good.url),
        ]
        async with found_core(*addresses) as (core, _):
            for _ in range(6):
                await core.check()
        await frozen.until(lambda: frozen.open == 0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_no_healthy_address_is_the_last_ones_failure() -> None:
    """And a timeout when the last ones only keep silent."""
    async with serve(answering(b"")) as frozen, serve(answering(reply(500))) as failing:
        async with found_core(address_of(unused_url()), address_of(failing.url)) as (core, _):
            with pytest.raises(CoreUnavailable):
                await core.check()
        short = times(check_s=0.2)
        async with found_core(address_of(frozen.url), address_of(failing.url), timeouts=short) as (
            core,
            _,
        ):
            with pytest.raises(CoreTimeout):
                await core.check()
    assert asyncio.all_tasks() == {asyncio.current_task()}


# --- endings ----------------------------------------------------------------------------

LAST = b"0\r\n\r\n"
ENDINGS = [
    ("whole", chunk(TOKEN + DONE) + LAST, False, "done", "done"),
    ("cut behind done", chunk(TOKEN + DONE), False, "done", "done"),
    ("reset behind done", chunk(TOKEN + DONE), True, "done", "done"),
    ("junk behind done", chunk(TOKEN + DONE + TOKEN) + LAST, False, "done", "excess_after_done"),
    ("clean end, no done", chunk(TOKEN) + LAST, False, "CORE_TRUNCATED", "core_eof"),
    ("cut in an event", chunk(TOKEN + TOKEN[:9]), False, "CORE_TRUNCATED", "core_truncated"),
    ("cut in a chunk", chunk(TOKEN)[:-9], False, "CORE_TRUNCATED", "core_truncated"),
    ("end in an event", chunk(TOKEN + DONE[:-1]) + LAST, False, "CORE_TRUNCATED", "core_eof"),
    ("error event", chunk(TOKEN + ERROR + TOKEN) + LAST, False, "OVERLOADED", "core_error"),
    ("error and cut", chunk(TOKEN + ERROR), False, "OVERLOADED", "core_error"),
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("body", "reset", "code", "word"), [row[1:] for row in ENDINGS], ids=[row[0] for row in ENDINGS]
)
async def test_every_ending_on_a_socket_is_told_truly(
    body: bytes, reset: bool, code: str, word: str, size: int
) -> None:
    """Written in pieces of any size, the client reads exactly one ending, on a boundary."""

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for start in range(0, len(body), size):
            await peer.send(body[start : start + size])
            if size < 100:
                await asyncio.sleep(0)
        if reset:
            peer.reset()

    async with serve(script) as server, core_at(server.url) as (core, _):
        data, got_word, got_code = await ask(core)
        await server.until(lambda: server.open == 0)
    events = SseParser().feed(data)
    endings = [one for one in events if one.type in ("done", "error")]
    assert len(endings) == 1
    assert endings == events[-1:]
    assert b"secret" not in data
    # Junk cut off from its `done` may not have come yet when the stream ends: both words are true.
    assert got_word in {word, "done"} if word == "excess_after_done" else got_word == word
    assert got_code == (None if code == "done" else code)
    if code != "done":
        shape = json.loads(endings[0].data)["error"]
        assert shape["code"] == code
        assert shape["details"]["request_id"] == "req-1"


async def test_a_reset_in_mid_stream_is_told_as_a_truncation() -> None:
    """The client gets the same code as after a cut; the log has a word of its own."""
    read = asyncio.Event()

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(TOKEN))
        await asyncio.wait_for(read.wait(), 30)
        peer.reset()

    async with serve(script) as server, core_at(server.url) as (core, _):
        answer = await relayed(core, Watching(greeted=asyncio.Event(), got_token=read))
        assert answer.end is not None
        assert (answer.end.outcome, answer.end.code) == ("core_reset", "CORE_TRUNCATED")


async def test_a_chunk_that_is_none_is_a_truncation() -> None:
    """Framing gone wrong in mid-stream: what came before stands, the rest is not to be trusted."""
    read = asyncio.Event()

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(TOKEN))
        await asyncio.wait_for(read.wait(), 30)
        await peer.send(b"zz\r\n" + DONE)
        await peer.left()

    async with serve(script) as server, core_at(server.url) as (core, _):
        answer = await relayed(core, Watching(greeted=asyncio.Event(), got_token=read))
        assert answer.end is not None
        assert (answer.end.outcome, answer.end.code) == ("core_truncated", "CORE_TRUNCATED")


@pytest.mark.parametrize("head", [
    b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"
    % len(TOKEN + DONE),
])  # fmt: skip
async def test_other_framings_of_a_stream_are_read_too(head: bytes) -> None:
    """Close-delimited and counted bodies end with ``done`` as any other."""
    async with serve(once(head + TOKEN + DONE)) as server, core_at(server.url) as (core, _):
        assert await ask(core) == (CONNECTED + TOKEN + DONE, "done", None)


async def test_a_core_that_takes_its_time_gets_an_early_head() -> None:
    """The client gets ``: connected`` before the core's head; its failure comes as an event."""
    greeted = asyncio.Event()

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await asyncio.wait_for(greeted.wait(), 30)
        await peer.send(reply(500, b"Traceback: secret"))

    async with serve(script) as server, core_at(server.url) as (core, _):
        client = Watching(greeted=greeted, got_token=asyncio.Event())
        await relayed(core, client, early_head_s=0.01)
    assert client.got[0] == CONNECTED
    assert b'"code":"CORE_UNAVAILABLE"' in client.got[-1]
    assert b"secret" not in b"".join(client.got)


async def test_a_client_that_leaves_is_a_connection_closed_at_the_core() -> None:
    """The core sees the end of its connection, at whichever moment the client left."""

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        server.requests.append(b"")
        await peer.send(CHUNKED + chunk(TOKEN))
        await peer.left()

    async with serve(script) as server, core_at(server.url) as (core, transport):
        for n in itertools.count(1):
            client = asyncio.ensure_future(ask(core))
            if n < 30:
                for _ in range(n):
                    await asyncio.sleep(0)
            else:
                await until(lambda: len(server.requests) > 0)
            client.cancel()
            with pytest.raises(asyncio.CancelledError):
                await client
            await server.until(lambda: server.open == 0)
            assert transport.slots.in_use == 0
            if n == 30:
                break
            server.requests.clear()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_client_that_does_not_read_stops_the_core() -> None:
    """A full client pauses the relay: the core's writes block, our memory does not grow."""
    blocked = asyncio.Event()
    big = chunk(b"data: " + b"x" * 60_000 + b"\n\n")

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for _ in range(4096):
            peer.writer.write(big)
            if peer.writer.transport.get_write_buffer_size() > 4 * len(big):
                blocked.set()
                await peer.writer.drain()
            else:
                await asyncio.sleep(0)

    async with serve(script) as server, core_at(server.url) as (core, _):
        client = TakingClient()
        client.full = True
        relaying = asyncio.ensure_future(relayed(core, client))
        await asyncio.wait_for(blocked.wait(), 60)
        assert len(b"".join(client.got)) < 1 << 20
        relaying.cancel()
        await asyncio.wait([relaying])
        await server.until(lambda: server.open == 0)
