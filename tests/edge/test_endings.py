"""Every row of ``ENDINGS`` on real sockets, below Sanic's ``send`` and through it, in many splits.

What the client sees is read from its raw socket, what the core sees from its own, what the log
says from the log. A stream ends with exactly one ``done`` or ``error``, whole, on an event
boundary, or the transfer itself is broken.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from gateway.domain.sse import CONNECTED, SseParser
from gateway.domain.stream import ENDINGS, StreamOutcome
from gateway.domain.stream_state import StreamState
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.observe import log_output
from gateway.errors import (
    CredentialRevoked,
    Draining,
    Forbidden,
    GatewayError,
    Overloaded,
    PolicyUnavailable,
)

from .conftest import Gateway, Streaming, running_gateway
from .keeping_core import After, KeepingCore, Visit, keeping_core
from .raw import TIMEOUT_S, read_answer, read_chunk, read_head, request
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, chunk
from .test_logs import Lines, uncached

__all__ = ["uncached"]

BOTH_LOOPS = True

HALF = TOKEN[:-1]
COMMENT = b": the core is thinking\n\n"
ERROR = b'event: error\ndata: {"error":{"code":"%b","message":"secret","details":{}}}\n\n'
LENGTH_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"
CLOSE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

Then = Literal["end", "cut", "reset", "hold", "junk"]
WHOLE = 1 << 20


@dataclass(frozen=True)
class Shape:
    """How the core sends: its framing, its chunks' size, its writes' size."""

    framing: Literal["chunked", "length", "close"] = "chunked"
    chunk_bytes: int = WHOLE
    write_bytes: int = WHOLE


SHAPES = (
    Shape(),
    Shape(write_bytes=1),
    Shape(chunk_bytes=1),
    Shape(chunk_bytes=7, write_bytes=5),
    Shape("length", write_bytes=3),
    Shape("close", write_bytes=11),
)


@dataclass(frozen=True)
class Case:
    """What the core sends and does then; what of it the client gets, and what ends it.

    ``tells`` is the terminal event's code, ``"done"``, or ``None`` where the client is gone.
    ``act`` is done once the client has all that was forwarded.
    """

    outcome: StreamOutcome
    sends: bytes
    then: Then
    forwarded: bytes
    tells: str | None
    settings: Mapping[str, str] = field(default_factory=dict)
    act: Callable[[World], None] | None = None
    refuses: bytes | None = None
    shapes: tuple[Shape, ...] = SHAPES


@dataclass
class World:
    gateway: Gateway
    core: KeepingCore
    streams: OpenStreams
    lines: Lines
    asked: int = 0


def stop(error: Callable[[], GatewayError]) -> Callable[[World], None]:
    return lambda world: world.streams.stop_all(error())


CHUNKED_ONLY = tuple(shape for shape in SHAPES if shape.framing == "chunked")
FEW = (SHAPES[0], SHAPES[3])
EARLY = {"STREAM_EARLY_HEAD": "0s"}
OK = META + TOKEN + TOKEN


def in_lines(events: bytes) -> bytes:
    """The same data over several lines: a reader joins them with LF, which JSON does not mind."""
    return re.sub(rb"data: ([^ \n]*)([:,}])", rb"data: \1\ndata\ndata:\2", events)


# Every way to write an event that its standard knows; each event but the first takes the short way.
SPELLINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "in CR LF": lambda events: events.replace(b"\n", b"\r\n"),
    "in CR": lambda events: events.replace(b"\n", b"\r"),
    "with ids": lambda events: events.replace(b"event:", b"id: 7\nevent:"),
    "without a blank": lambda events: re.sub(rb"(?m)^(\w+): ", rb"\1:", events),
    "data first": lambda events: re.sub(rb"(event: .*\n)((?:data.*\n)+)", rb"\2\1", events),
    "in lines": in_lines,
    "with other fields": lambda events: events.replace(b"\ndata", b"\nretry: 9\nfoo\ndata"),
    "behind comments": lambda events: events.replace(b"event:", b": beat\n\nevent:"),
    "comments inside": lambda events: events.replace(b"\ndata", b"\n: beat\r\ndata"),
    "in CR LF, no blank": lambda events: events.replace(b": ", b":").replace(b"\n", b"\r\n"),
}
SPELLED: Mapping[str, tuple[StreamOutcome, bytes, bytes, Then, bytes, str]] = {
    "done": (StreamOutcome.DONE, OK, DONE, "end", DONE, "done"),
    "an error": (
        *(StreamOutcome.CORE_ERROR, OK, ERROR % b"CORE_TIMEOUT" + TOKEN, "hold"),
        *(b"", "CORE_TIMEOUT"),
    ),
    "excess": (StreamOutcome.EXCESS_AFTER_DONE, OK, DONE + TOKEN, "end", DONE, "done"),
    "ended in an event": (StreamOutcome.CORE_EOF, OK + OK, HALF, "end", b"", "CORE_TRUNCATED"),
}


def spelled(spelling: str, what: str) -> Case:
    """The same ending of an answer whose events are all written so."""
    spell = SPELLINGS[spelling]
    outcome, first, last, then, passes, tells = SPELLED[what]
    # An event of the core that nobody may see has no comment before it that somebody may.
    last = spell(last) if spelling != "behind comments" or passes else last
    return Case(
        *(outcome, spell(first) + last, then, spell(first) + (passes and spell(passes)), tells),
        shapes=(SHAPES[0], SHAPES[3], Shape(chunk_bytes=25), *SHAPES[4:]),
    )


CASES = {
    "done": Case(StreamOutcome.DONE, OK + DONE, "end", OK + DONE, "done"),
    "done in CR LF": Case(
        StreamOutcome.DONE,
        (OK + DONE).replace(b"\n", b"\r\n"),
        "end",
        (OK + DONE).replace(b"\n", b"\r\n"),
        "done",
    ),
    "done and nothing else": Case(StreamOutcome.DONE, DONE, "end", DONE, "done"),
    "comments between": Case(
        StreamOutcome.DONE,
        COMMENT + META + COMMENT + DONE,
        "end",
        COMMENT + META + COMMENT + DONE,
        "done",
    ),
    "done, and the core holds on": Case(
        StreamOutcome.DONE, META + DONE, "hold", META + DONE, "done", shapes=CHUNKED_ONLY
    ),
    "done, and the core is cut": Case(
        StreamOutcome.DONE, META + DONE, "cut", META + DONE, "done", shapes=CHUNKED_ONLY
    ),
    "events behind done": Case(
        StreamOutcome.EXCESS_AFTER_DONE, META + DONE + TOKEN + DONE, "end", META + DONE, "done"
    ),
    "events behind done, and more to come": Case(
        StreamOutcome.EXCESS_AFTER_DONE,
        META + DONE + TOKEN,
        "hold",
        META + DONE,
        "done",
        shapes=CHUNKED_ONLY,
    ),
    "an error of ours": Case(
        StreamOutcome.CORE_ERROR, OK + ERROR % b"CORE_TIMEOUT", "end", OK, "CORE_TIMEOUT"
    ),
    "an error, and more to come": Case(
        StreamOutcome.CORE_ERROR, OK + ERROR % b"BOOM" + TOKEN, "hold", OK, "CORE_PROTOCOL_ERROR"
    ),
    "ended without done": Case(StreamOutcome.CORE_EOF, OK, "end", OK, "CORE_TRUNCATED"),
    "ended in an event": Case(StreamOutcome.CORE_EOF, OK + HALF, "end", OK, "CORE_TRUNCATED"),
    "ended in done": Case(StreamOutcome.CORE_EOF, OK + DONE[:-1], "end", OK, "CORE_TRUNCATED"),
    "an empty answer": Case(StreamOutcome.CORE_EOF, b"", "end", b"", "CORE_TRUNCATED"),
    "cut": Case(
        StreamOutcome.CORE_TRUNCATED, OK + HALF, "cut", OK, "CORE_TRUNCATED", shapes=CHUNKED_ONLY
    ),
    "broken chunks": Case(
        StreamOutcome.CORE_TRUNCATED, OK + HALF, "junk", OK, "CORE_TRUNCATED", shapes=CHUNKED_ONLY
    ),
    "reset": Case(StreamOutcome.CORE_RESET, OK + HALF, "reset", OK, "CORE_TRUNCATED"),
    "failed after an early head": Case(
        StreamOutcome.CORE_FAILED,
        b"",
        "hold",
        b"",
        "CORE_UNAVAILABLE",
        EARLY,
        refuses=b"HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\nsecret",
        shapes=FEW,
    ),
    "a redirect after an early head": Case(
        StreamOutcome.CORE_FAILED,
        b"",
        "hold",
        b"",
        "CORE_PROTOCOL_ERROR",
        EARLY,
        refuses=b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        shapes=FEW,
    ),
    "no event, comments or not": Case(
        StreamOutcome.NO_FIRST_EVENT,
        COMMENT,
        "hold",
        COMMENT,
        "FIRST_EVENT_TIMEOUT",
        {"STREAM_FIRST_EVENT": "1s"},
        shapes=FEW,
    ),
    "no head": Case(
        StreamOutcome.NO_FIRST_EVENT,
        b"",
        "hold",
        b"",
        "FIRST_EVENT_TIMEOUT",
        {"STREAM_FIRST_EVENT": "1s", **EARLY},
        refuses=b"",
        shapes=FEW,
    ),
    "silence": Case(
        StreamOutcome.SILENT, OK + HALF, "hold", OK, "STREAM_IDLE_TIMEOUT", {"STREAM_IDLE": "600ms"}
    ),
    "too long": Case(
        StreamOutcome.TOO_LONG,
        OK + HALF,
        "hold",
        OK,
        "STREAM_MAX_DURATION",
        {"STREAM_TOTAL": "1s", "STREAM_FIRST_EVENT": "1s", "STREAM_IDLE": "1s"},
        shapes=FEW,
    ),
    "an event too large": Case(
        StreamOutcome.OVERSIZE,
        OK + b"data: " + b"x" * 2000,
        "hold",
        OK,
        "EVENT_TOO_LARGE",
        {"STREAM_EVENT_LIMIT": "1KiB"},
    ),
    "the token ends": Case(
        StreamOutcome.TOKEN_EXPIRED,
        OK + HALF,
        "hold",
        OK,
        "TOKEN_EXPIRED",
        {"JWT_EXPIRATION": "1s"},
        shapes=FEW[:1],
    ),
    "revoked": Case(
        StreamOutcome.REVOKED,
        OK + HALF,
        "hold",
        OK,
        "CREDENTIAL_REVOKED",
        act=stop(CredentialRevoked),
    ),
    "withdrawn": Case(
        StreamOutcome.WITHDRAWN, OK + HALF, "hold", OK, "FORBIDDEN", act=stop(Forbidden)
    ),
    "unverified": Case(
        StreamOutcome.UNVERIFIED,
        OK + HALF,
        "hold",
        OK,
        "POLICY_UNAVAILABLE",
        act=stop(PolicyUnavailable),
        shapes=FEW,
    ),
    "draining": Case(StreamOutcome.DRAINING, OK + HALF, "hold", OK, "DRAINING", act=stop(Draining)),
    "stopped": Case(
        StreamOutcome.STOPPED, OK + HALF, "hold", OK, "OVERLOADED", act=stop(Overloaded), shapes=FEW
    ),
    "the gateway's own fault": Case(
        StreamOutcome.INTERNAL,
        OK + b"event: done\ndata: poison\n\n",
        "hold",
        OK,
        "INTERNAL",
        shapes=FEW[:1],
    ),
    "the client leaves": Case(StreamOutcome.CLIENT_LEFT, OK + HALF, "hold", OK, None),
}


def test_every_row_of_the_table_has_a_case() -> None:
    """A row nobody provoked is a row nobody knows to work."""
    assert {case.outcome for case in CASES.values()} == set(ENDINGS) == set(StreamOutcome)


@pytest.fixture(params=["written below", "sent"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways a stream can be relayed: below Sanic's ``send``, and through it."""
    if request.param == "sent":
        monkeypatch.setattr("gateway.edge.http.event_streams.can_write_below", lambda _: False)
    return str(request.param)


@pytest.fixture
async def core() -> AsyncIterator[KeepingCore]:
    async with keeping_core() as running:
        yield running


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch) -> list[OpenStreams]:
    """The open streams of the gateways that start during the test."""
    found: list[OpenStreams] = []
    build = OpenStreams.__init__

    def catching(self: OpenStreams, *given: Any, **options: Any) -> None:
        build(self, *given, **options)
        found.append(self)

    monkeypatch.setattr(OpenStreams, "__init__", catching)
    return found


@pytest.fixture
def poisonous(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of our own, in the state machine, over certain bytes."""
    feed = StreamState.feed

    def faulty(self: StreamState, data: bytes, now: float) -> Any:
        if b"poison" in data:
            raise RuntimeError("a fault of ours")
        return feed(self, data, now)

    monkeypatch.setattr(StreamState, "feed", faulty)


# --- the core's part ------------------------------------------------------------------------------


def framed(case: Case, shape: Shape) -> tuple[bytes, bytes]:
    """What goes out at once, and what follows when the client has its part."""
    first, last = case.sends, b""
    if case.outcome is StreamOutcome.INTERNAL:
        first, last = OK, case.sends[len(OK) :]
    whole = first + last
    if shape.framing == "close":
        return CLOSE_HEAD + first, last
    if shape.framing == "length":
        missing = 0 if case.then == "end" else 50
        return LENGTH_HEAD % (len(whole) + missing) + first, last
    chunks = [first[i : i + shape.chunk_bytes] for i in range(0, len(first), shape.chunk_bytes)]
    end = END if case.then == "end" else b""
    return STREAM_HEAD + b"".join(chunk(part) for part in chunks) + end, last and chunk(last)


def playing(case: Case, shape: Shape) -> Callable[[Visit], Awaitable[After]]:
    async def play(visit: Visit) -> After:
        if case.refuses is not None:
            await visit.go.wait()
            if case.refuses:
                await visit.send(case.refuses, shape.write_bytes)
                return "keep"
            await visit.until_left()
            return "close"
        now, later = framed(case, shape)
        await visit.send(now, shape.write_bytes)
        if case.then == "end":
            return "close" if shape.framing == "close" else "keep"
        if case.then == "cut":
            return "close"
        await visit.go.wait()
        if case.then == "reset":
            return "reset"
        await visit.send(b"zz\r\n" if case.then == "junk" else later, shape.write_bytes)
        await visit.until_left()
        return "close"

    return play


# --- the client's part ----------------------------------------------------------------------------


async def asking(gateway: Gateway) -> Streaming:
    """A query, and behind it in the same write a request for the stream to leave alone."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    typed = {"Content-Type": "application/json", **await gateway.bearer()}
    query = request("POST", "/api/v1/query", typed, b'{"query": "hi"}')
    writer.write(query + request("GET", "/healthz"))
    async with asyncio.timeout(TIMEOUT_S):
        status, head = await read_head(reader)
    return Streaming(reader, writer, status, dict(head))


async def read_until(streaming: Streaming, wanted: bytes) -> bytes:
    """Chunks until that much has come: each ends on an event boundary."""
    seen = b""
    async with asyncio.timeout(TIMEOUT_S):
        while len(seen) < len(wanted):
            piece = await read_chunk(streaming.reader)
            # Our first comment ends in LF, whatever the core's lines end in.
            assert piece.endswith((b"\n", wanted[-1:])), (seen, piece)
            seen += piece
    return seen


async def check(world: World, case: Case, shape: Shape) -> None:
    """One stream from its beginning to its end, and what everybody saw of it."""
    world.core.play = playing(case, shape)
    streaming = await asking(world.gateway)
    try:
        assert streaming.status == 200, world.lines.text
        await follow(world, case, shape, streaming)
    finally:
        await closed(streaming.writer)


async def follow(world: World, case: Case, shape: Shape, streaming: Streaming) -> None:
    seen = await read_until(streaming, CONNECTED + case.forwarded)
    visit = await world.core.visit(world.asked)
    visit.go.set()
    if case.act is not None:
        case.act(world)
    if case.tells is None:
        streaming.writer.transport.abort()
        assert seen == CONNECTED + case.forwarded
    else:
        seen += await streaming.rest()  # it ends with a clean last chunk
        assert_ends_once(seen, case, streaming)
        await assert_serves_on(streaming)
    await assert_core_saw(world, case, shape, visit)
    await assert_logged(world, case, streaming)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def assert_ends_once(seen: bytes, case: Case, streaming: Streaming) -> None:
    """The core's whole events byte for byte, and exactly one terminal event, whole."""
    start = CONNECTED + case.forwarded
    assert seen.startswith(start)
    events = SseParser().feed(seen)
    assert [one.type for one in events if one.type in ("done", "error")] == [events[-1].type]
    if case.tells == "done":
        assert seen == start
        return
    error = json.loads(events[-1].data)["error"]
    tail = seen[len(start) :]
    assert tail.startswith(b"event: error\ndata: ")
    assert tail.endswith(b"\n\n")
    assert tail.count(b"\n") == 3
    assert error["code"] == case.tells
    assert error["details"]["request_id"] == streaming.headers["x-request-id"]
    assert b"secret" not in seen


async def assert_serves_on(streaming: Streaming) -> None:
    """The request that was waiting behind the stream has its answer."""
    async with asyncio.timeout(TIMEOUT_S):
        assert (await read_answer(streaming.reader)).status == 200


async def assert_core_saw(world: World, case: Case, shape: Shape, visit: Visit) -> None:
    """Its connection closed at once, while the client's still stands; or serving the next query.

    A body that came to its end leaves nothing to close, whatever it said.
    """
    ended = case.then == "end" or bool(case.refuses)
    if not ended or shape.framing == "close":
        if case.then not in ("cut", "reset"):
            await visit.until_left()
        return
    world.core.play = world.core.plays_well
    number = len(world.core.visits)
    again = await world.gateway.client.post(
        "/api/v1/query", json={"query": "again"}, headers=await world.gateway.bearer()
    )
    assert again.content == CONNECTED + DONE
    used = world.core.visits[number]
    if ENDINGS[case.outcome].core == "reuse":
        assert used.connection == visit.connection


async def assert_logged(world: World, case: Case, streaming: Streaming) -> None:
    line = await world.lines.request(streaming.headers["x-request-id"])
    assert line["stream_end"] == case.outcome.value
    assert line.get("error") == (None if case.tells in (None, "done") else case.tells)
    if case.tells is None:
        assert line["bytes"] == len(CONNECTED + case.forwarded)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_each_ending_is_what_the_table_says(
    case: Case,
    core: KeepingCore,
    caught: list[OpenStreams],
    uncached: None,
    request: pytest.FixtureRequest,
) -> None:
    """Client, core and log, at every size and split; the connections serve on where they may."""
    if case.outcome is StreamOutcome.INTERNAL:
        request.getfixturevalue("poisonous")
    await check_all([case], core, caught)


@pytest.mark.parametrize("what", SPELLED)
async def test_an_ending_is_the_same_however_events_are_written(
    what: str, core: KeepingCore, caught: list[OpenStreams], uncached: None
) -> None:
    """Every legal shape of an event, in chunks and without, cut and whole."""
    await check_all([spelled(spelling, what) for spelling in SPELLINGS], core, caught)


async def check_all(cases: Sequence[Case], core: KeepingCore, caught: list[OpenStreams]) -> None:
    async with running_gateway(core, **cases[0].settings) as gateway:
        lines = Lines()
        log_output.configure("debug", "json", lines.stream)
        on_uvloop = not isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
        for case in cases:
            for shape in case.shapes if on_uvloop else case.shapes[:2]:
                world = World(gateway, core, caught[-1], lines, len(core.visits))
                await check(world, case, shape)
        assert len(caught[-1]) == 0
