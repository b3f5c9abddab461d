"""A query from the client's socket to the core's and back, with every kind of ending."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import requests

from gateway.domain.sse import CONNECTED
from gateway.domain.stream import core_error_code

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, assert_error_shape, exchange, request, reset
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, StubCore, chunk

SOURCES = (
    b'event: sources\ndata: [{"document_id":"d","filename":"f.txt","chunk_id":"c","score":1.5,'
    b'"text":"hello there"}]\n\n'
)
CITATION = b'event: citation\ndata: {"source":0,"start":0,"end":5}\n\n'
USAGE = b'event: usage\ndata: {"prompt_tokens":3,"completion_tokens":1}\n\n'
JSON_ANSWER = {
    "answer": "hello",
    "citations": [{"source": 0, "start": 0, "end": 5}],
    "sources": [
        {
            "document_id": "d",
            "filename": "f.txt",
            "chunk_id": "c",
            "score": 1.5,
            "text": "hello there",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    "finish_reason": "stop",
    "query_id": "q-1",
    "model": "stub",
}
WHOLE = META + SOURCES + TOKEN + CITATION + USAGE + DONE


@pytest.fixture(params=["written below", "sent"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways a stream can be relayed: below Sanic's ``send``, and through it."""
    if request.param == "sent":
        monkeypatch.setattr("gateway.edge.http.event_streams.can_write_below", lambda _: False)
    return str(request.param)


def terminal(body: bytes) -> dict[str, Any]:
    """The one terminal ``error`` event's object; it is the last event, whole."""
    assert body.endswith(b"\n\n")
    assert body.count(b"event: error\n") == 1
    assert b"event: done\n" not in body
    last = body[:-2].split(b"\n\n")[-1].split(b"\n")
    assert last[0] == b"event: error"
    error: dict[str, Any] = json.loads(last[1].removeprefix(b"data: "))["error"]
    return error


async def ask(
    gateway: Gateway, body: dict[str, Any] | None = None, who: str = "alice", **headers: str
) -> Any:
    return await gateway.client.post(
        "/api/v1/query",
        json={"query": "hi", **(body or {})},
        headers={**await gateway.bearer(who), **headers},
    )


# --- good endings ---------------------------------------------------------------------------------


async def test_the_cores_events_arrive_byte_for_byte(gateway: Gateway) -> None:
    """After a comment that says the stream stands comes what the core sent, unchanged."""
    gateway.core.sends(STREAM_HEAD, chunk(WHOLE), END)
    response = await ask(gateway)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "no-transform" in response.headers["cache-control"]
    assert response.headers["x-accel-buffering"] == "no"
    assert response.content == CONNECTED + WHOLE


async def test_text_of_a_stream_is_not_taken_for_latin_1(gateway: Gateway) -> None:
    """Clients that guess by the header break words, and lines at 0x85, which stands in ``Å``."""
    token = 'event: token\ndata: {"text":"Ångström – €"}\n\n'
    gateway.core.sends(STREAM_HEAD, chunk(META + token.encode() + DONE), END)
    answer = await asyncio.to_thread(
        requests.post,
        f"http://{gateway.address[0]}:{gateway.address[1]}/api/v1/query",
        json={"query": "hi"},
        headers=await gateway.bearer(),
        timeout=TIMEOUT_S,
    )
    assert answer.encoding == "utf-8"
    assert token in "\n".join(answer.text.splitlines()) + "\n"


async def test_events_go_out_as_they_come(gateway: Gateway) -> None:
    """The first token is there while the core is still thinking about the rest."""
    go_on = gateway.core.holds(STREAM_HEAD, chunk(META), chunk(TOKEN))
    streaming = await gateway.asking()
    assert await streaming.until(TOKEN) == CONNECTED + META + TOKEN
    go_on.set()
    assert terminal(await streaming.rest())["code"] == "CORE_TRUNCATED"
    streaming.writer.close()


async def test_an_event_in_pieces_goes_out_whole(gateway: Gateway) -> None:
    """The core's chunks say nothing about events: half of one waits for its other half."""
    parts = [chunk(WHOLE[i : i + 7]) for i in range(0, len(WHOLE), 7)]
    gateway.core.sends(STREAM_HEAD, *parts, END)
    assert (await ask(gateway)).content == CONNECTED + WHOLE


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"stream": False}, {}),
        ({}, {"Accept": "application/json"}),
        ({}, {"Accept": "application/json; charset=utf-8"}),
        ({}, {"Accept": "Application/JSON, */*;q=0.1"}),
        ({"stream": False}, {"Accept": "text/event-stream"}),
    ],
)
async def test_one_json_answer_from_the_same_stream(
    gateway: Gateway, body: dict[str, Any], headers: dict[str, str]
) -> None:
    """``"stream": false`` or ``Accept: application/json`` gives the events as one document."""
    gateway.core.sends(STREAM_HEAD, chunk(WHOLE), END)
    response = await ask(gateway, body, **headers)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == JSON_ANSWER


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "text/event-stream",
        "",
        "text/html",
        "text/event-stream, application/json",
        "nonsense",
        "application/json;q=0",
        "application/jsonlines",
        "text/*",
    ],
)
async def test_any_other_accept_gets_the_stream(gateway: Gateway, accept: str) -> None:
    """The stream is the answer; a client that names it beside JSON, or refuses JSON, gets it."""
    response = await ask(gateway, Accept=accept)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.content.endswith(DONE)


async def test_what_follows_done_is_dropped(gateway: Gateway) -> None:
    """Also in the same chunk: the client sees one ending."""
    gateway.core.sends(STREAM_HEAD, chunk(META + DONE + TOKEN + DONE), END)
    assert (await ask(gateway)).content == CONNECTED + META + DONE


async def test_the_connection_serves_on_after_a_stream(gateway: Gateway) -> None:
    """A stream that ended well ends as HTTP says, so the next request needs no new connection."""
    streaming = await gateway.asking()
    assert (await streaming.rest()).endswith(DONE)
    streaming.writer.write(request("GET", "/healthz"))
    assert (await streaming.reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    streaming.writer.close()


# --- failures before the first byte ---------------------------------------------------------------


HTTP = b"HTTP/1.1 "
EARLY = {
    "500": (HTTP + b"500 Oops\r\nContent-Length: 6\r\n\r\nsecret", 502, "CORE_UNAVAILABLE"),
    "503": (HTTP + b"503 Busy\r\nContent-Length: 0\r\n\r\n", 503, "OVERLOADED"),
    "401": (HTTP + b"401 Who\r\nContent-Length: 0\r\n\r\n", 502, "CORE_UNAVAILABLE"),
    "redirect": (
        HTTP + b"302 Found\r\nLocation: http://evil.test/\r\nContent-Length: 0\r\n\r\n",
        502,
        "CORE_PROTOCOL_ERROR",
    ),
    "another 2xx": (HTTP + b"204 No Content\r\n\r\n", 502, "CORE_PROTOCOL_ERROR"),
    "another type": (
        HTTP + b"200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\nsecret",
        502,
        "CORE_PROTOCOL_ERROR",
    ),
    "no type": (HTTP + b"200 OK\r\nContent-Length: 0\r\n\r\n", 502, "CORE_PROTOCOL_ERROR"),
    "compressed": (
        STREAM_HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n",
        502,
        "CORE_PROTOCOL_ERROR",
    ),
    "nonsense": (b"SSH-2.0-OpenSSH\r\n\r\n", 502, "CORE_PROTOCOL_ERROR"),
    "hung up": (b"", 502, "CORE_UNAVAILABLE"),
    "a header of 100 KB": (
        STREAM_HEAD[:-2] + b"A: " + b"x" * 100_000 + b"\r\n\r\n" + chunk(DONE) + END,
        502,
        "CORE_PROTOCOL_ERROR",
    ),
    **{
        told: (STREAM_HEAD.replace(old, new) + chunk(DONE) + END, 502, "CORE_PROTOCOL_ERROR")
        for told, old, new in (
            ("coded twice", b": chunked", b": gzip, chunked"),
            ("another coding", b": chunked", b": xchunked"),
            ("chunked twice", b": chunked", b": chunked\r\nTransfer-Encoding: chunked"),
            ("chunked in HTTP/1.0", b"HTTP/1.1", b"HTTP/1.0"),
            ("HTTP/0.9", b"HTTP/1.1", b"HTTP/0.9"),
            ("RTSP", b"HTTP/1.1", b"RTSP/1.0"),
            ("no status", b" 200 ", b" 000 "),
            ("another protocol", b"HTTP/1.1 200", b"HTTP/1.1 101"),
        )
    },
}


@pytest.mark.parametrize("as_json", [False, True], ids=["stream", "json"])
@pytest.mark.parametrize("case", EARLY.values(), ids=EARLY.keys())
async def test_a_failure_before_the_head_keeps_its_status(
    gateway: Gateway, case: tuple[bytes, int, str], as_json: bool
) -> None:
    """Until the head goes out a failure is a plain HTTP answer, with nothing of the core's text."""
    sent, status, code = case
    gateway.core.sends(sent)
    response = await ask(gateway, {"stream": not as_json})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert b"secret" not in response.content


async def test_a_core_that_refuses_is_a_502(core: StubCore) -> None:
    """Nobody listens there."""
    core.url = "http://127.0.0.1:1"
    async with running_gateway(core) as gateway:
        response = await ask(gateway)
        assert (response.status_code, response.json()["error"]["code"]) == (502, "CORE_UNAVAILABLE")


async def test_a_silent_core_gets_its_head_sent_for_it(core: StubCore) -> None:
    """After the early window the client has its head and a sign of life, and then what comes."""
    async with running_gateway(core, STREAM_EARLY_HEAD="0s") as gateway:
        go_on = core.holds()
        streaming = await gateway.asking()
        assert streaming.status == 200
        assert await streaming.until(b"\n\n") == CONNECTED
        go_on.set()
        assert terminal(await streaming.rest())["code"] in {"CORE_UNAVAILABLE", "CORE_TRUNCATED"}
        streaming.writer.close()


# --- failures after it ----------------------------------------------------------------------------


ERROR = b'event: error\ndata: {"error":{"code":"%b","message":"secret","details":{}}}\n\n'
BROKEN = {
    "cut": ((chunk(META), chunk(TOKEN[:-9])), META, "CORE_TRUNCATED"),
    "ended early": ((chunk(META), chunk(TOKEN[:-1]), END), META, "CORE_TRUNCATED"),
    "ended on a boundary": ((chunk(META), END), META, "CORE_TRUNCATED"),
    "cut in a chunk": ((chunk(META), b"ff\r\nevent: token\nda"), META, "CORE_TRUNCATED"),
    "an error of ours": ((chunk(META + ERROR % b"CORE_TIMEOUT"), END), META, "CORE_TIMEOUT"),
    "an error of its own": (
        (chunk(META + ERROR % b"SEGFAULT"), END),
        META,
        "CORE_PROTOCOL_ERROR",
    ),
    "an event too large": (
        (chunk(META), chunk(b"data: " + b"x" * 5000)),
        META,
        "EVENT_TOO_LARGE",
    ),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_stream_ends_with_one_error_on_a_boundary(
    core: StubCore, case: tuple[tuple[bytes, ...], bytes, str]
) -> None:
    """Whole events, then one ``error`` with our message and our id; the half event is dropped."""
    parts, forwarded, code = case
    core.sends(STREAM_HEAD, *parts)
    async with running_gateway(core, STREAM_EVENT_LIMIT="4KiB") as gateway:
        streaming = await gateway.asking()
        body = await streaming.rest()
        streaming.writer.close()
    assert body.startswith(CONNECTED + forwarded + b"event: error\n")
    error = terminal(body)
    assert error["code"] == code
    assert error["details"] == {"request_id": streaming.headers["x-request-id"]}
    assert b"secret" not in body
    assert core_error_code(json.dumps({"error": error})) == code


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ((chunk(META), chunk(TOKEN)), 502, "CORE_TRUNCATED"),
        ((chunk(b"event: token\ndata: 7\n\n" + DONE), END), 502, "CORE_PROTOCOL_ERROR"),
        ((chunk(META + ERROR % b"CORE_TIMEOUT"), END), 504, "CORE_TIMEOUT"),
    ],
)
async def test_a_broken_stream_is_a_status_for_a_json_answer(
    gateway: Gateway, parts: tuple[bytes, ...], status: int, code: str
) -> None:
    """Nothing went out yet, so the failure is the whole answer."""
    gateway.core.sends(STREAM_HEAD, *parts)
    response = await ask(gateway, {"stream": False})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_broken_framing_in_a_stream_ends_it_with_an_error(gateway: Gateway) -> None:
    """Chunked transfer gone wrong after whole events is a truncation, told at once."""
    go_on = asyncio.Event()

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(META))
        await go_on.wait()
        writer.write(b"zz\r\n")

    gateway.core.script = script
    streaming = await gateway.asking()
    assert await streaming.until(META) == CONNECTED + META
    go_on.set()
    assert terminal(META + await streaming.rest())["code"] == "CORE_TRUNCATED"
    streaming.writer.close()


async def test_a_trailer_without_end_ends_the_cores_connection(gateway: Gateway) -> None:
    """Behind ``done`` the client has all of it; what the core goes on with is read no further."""
    trailing = b"0\r\nA: " + b"x" * (1 << 20)
    gateway.core.holds(STREAM_HEAD, chunk(META + DONE), trailing)
    response = await ask(gateway)
    assert response.content == CONNECTED + META + DONE
    async with asyncio.timeout(TIMEOUT_S):
        await gateway.core.closed.wait()
    gateway.core.holds(STREAM_HEAD, chunk(META), trailing)
    assert terminal((await ask(gateway)).content)["code"] == "CORE_TRUNCATED"


async def test_a_token_that_ends_ends_its_stream(core: StubCore) -> None:
    """A stream never outlives the credential it was opened with."""
    async with running_gateway(core, JWT_EXPIRATION="1s") as gateway:
        core.holds(STREAM_HEAD, chunk(META))
        streaming = await gateway.asking()
        body = await streaming.rest()
        streaming.writer.close()
    assert terminal(body)["code"] == "TOKEN_EXPIRED"


async def test_an_answer_too_large_to_hold_is_refused(core: StubCore) -> None:
    """One JSON answer is held in memory, so it has a limit; a stream is not and has none."""
    core.sends(STREAM_HEAD, chunk(TOKEN * 100 + DONE), END)
    async with running_gateway(core, ANSWER_LIMIT="1KiB") as gateway:
        response = await ask(gateway, {"stream": False})
        assert response.status_code == 502
        assert response.json()["error"]["code"] == "CORE_PROTOCOL_ERROR"
        assert (await ask(gateway)).content.endswith(DONE)


# --- the client leaves ----------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b'{"query": "hi"}', b'{"query": "hi", "stream": false}'])
async def test_a_client_that_leaves_closes_the_cores_connection(
    gateway: Gateway, body: bytes
) -> None:
    """Whatever way it asked: the core learns at once that nobody listens."""
    gateway.core.holds(STREAM_HEAD, chunk(META))
    headers = {"Content-Type": "application/json", **await gateway.bearer()}
    _, writer = await asyncio.open_connection(*gateway.address)
    writer.write(request("POST", "/api/v1/query", headers, body))
    async with asyncio.timeout(20):
        await gateway.core.asked.wait()
        reset(writer)
        await gateway.core.closed.wait()


async def test_a_client_that_takes_nothing_is_cut_off(core: StubCore) -> None:
    """Who reads no byte for the stall limit is reset, and the core's connection is closed."""

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        while not writer.is_closing():
            writer.write(chunk(TOKEN * 2000))
            await writer.drain()

    core.script = flood
    async with running_gateway(core, STREAM_CLIENT_STALL="200ms") as gateway:
        streaming = await gateway.asking()
        core.closed.clear()
        async with asyncio.timeout(20):
            await core.closed.wait()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await streaming.rest()
        streaming.writer.close()


# --- what the core is told ------------------------------------------------------------------------


async def test_the_core_is_told_the_owner_and_who_acts_for_him(gateway: Gateway) -> None:
    """An admin looking after another user: the owner as the subject, himself as the actor."""
    body = b'{"documents":[],"next_cursor":null}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    gateway.core.sends(head % len(body), body)
    for query, subject, actor in (("?owner=bob", "bob", "root"), ("", "root", None)):
        response = await gateway.client.get(
            f"/api/v1/documents{query}",
            headers={**await gateway.bearer("root"), "X-KB-Actor": "mallory"},
        )
        assert response.status_code == 200
        sent = gateway.core.headers_of("GET /v1/documents?limit=20 ")
        assert (sent["x-kb-subject"], sent["x-kb-tenant"]) == (subject, "acme")
        assert sent.get("x-kb-actor") == actor


SPOOFED = {
    "X-KB-Subject": "root",
    "X-KB-Tenant": "other",
    "X-KB-Roles": "admin",
    "X-KB-Actor": "root",
    "X_KB_Subject": "root",
    "X-Forwarded-User": "root",
    "Cookie": "session=1",
    "X-API-Version": "2",
    "Forwarded": "for=1.2.3.4",
    "Accept-Encoding": "gzip",
    "User-Agent": "client/1.0",
    "Baggage": "a=b",
    "tracestate": "a=b",
}


async def test_the_core_is_told_exactly_the_allow_list(gateway: Gateway) -> None:
    """Identity comes from the principal; nothing a client wrote under those names goes on."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    response = await ask(gateway, **SPOOFED, traceparent=trace)
    assert response.status_code == 200
    sent = gateway.core.headers_of_query()
    assert sent.pop("host") in gateway.core.url
    assert sent == {
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "authorization": "Bearer core-token",
        "connection": "keep-alive",
        "content-length": str(len(gateway.core.bodies[-1])),
        "content-type": "application/json",
        "traceparent": trace,
        "user-agent": "kb-gateway",
        "x-kb-roles": "editor",
        "x-kb-subject": "alice",
        "x-kb-tenant": "acme",
        "x-request-id": response.headers["x-request-id"],
    }


@pytest.mark.parametrize(
    "trace",
    [
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "nonsense",
    ],
)
async def test_a_bad_trace_context_ends_here(gateway: Gateway, trace: str) -> None:
    """W3C Trace Context, 3.2: what is not well formed is not passed on."""
    await ask(gateway, traceparent=trace)
    assert "traceparent" not in gateway.core.headers_of_query()


async def test_the_core_is_asked_what_the_client_asked_without_how(gateway: Gateway) -> None:
    """``stream`` is between the client and the gateway; what was left out stays out."""
    document = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
    asked = {"query": "wo ist's? 🦉", "top_k": 3, "document_ids": [document]}
    await ask(gateway, {**asked, "stream": True})
    assert json.loads(gateway.core.bodies[-1]) == asked
    await ask(gateway)
    assert json.loads(gateway.core.bodies[-1]) == {"query": "hi"}


async def test_a_cookie_of_the_cores_travels_nowhere(gateway: Gateway) -> None:
    """Neither to the client nor, on the next request, back to the core."""
    gateway.core.sends(STREAM_HEAD[:-2] + b"Set-Cookie: a=1\r\n\r\n", chunk(DONE), END)
    for _ in range(2):
        response = await ask(gateway)
        assert "set-cookie" not in response.headers
        assert "cookie" not in gateway.core.headers_of_query()


async def test_a_query_by_http_1_0_is_answered(gateway: Gateway) -> None:
    """An old client gets its refusal and its JSON too; the connection is closed behind it."""
    answer = await exchange(
        gateway.address, request("GET", "/nothing").replace(b"HTTP/1.1", b"HTTP/1.0")
    )
    assert answer.status == 404
    assert answer.header("connection") == "close"
    assert_error_shape(answer)
