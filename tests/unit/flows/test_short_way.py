"""A relay with its short ways says, read by read, what one that parses everything says.

From the core's socket to the client's: chunks and reads are cut anywhere, sizes are spelled in many
ways, bodies have a length, an end of their connection or chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain import event_messages
from gateway.domain.event_messages import EventMessages
from gateway.domain.sse import EventSplitter
from gateway.domain.stream_state import StreamState
from gateway.errors import CoreProtocolError, CoreTruncated, GatewayError
from gateway.flows.answer_stream import Answer
from gateway.flows.relay import Relay
from gateway.flows.ticker import Ticker
from gateway.http_client.connection import Connection
from gateway.http_client.exchange import Exchange
from gateway.http_client.slots import Slot
from tests.unit.domain.event_parts import bodies, cut

from .scripted_core import far_limits

HEADS = {
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
}
TOKEN = b"event: token\ndata: {}\n\n"
LIMIT_BYTES = 64


class Wire:
    """A socket to the core: nothing is sent on it, and whether it is closed can be asked."""

    def __init__(self) -> None:
        self.closed = False

    def write(self, data: bytes) -> None: ...

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None:
        self.closed = True


class Chunked:
    """A client that takes chunks, and reads what it gets strictly."""

    send_usual: Any = None

    def __init__(self) -> None:
        self.data = b""
        self.pieces: list[bytes] = []

    def send_framed(self, data: bytes) -> bool:
        digits, _, rest = data.partition(b"\r\n")
        body = rest[:-2]
        assert rest.endswith(b"\r\n")
        assert digits.lower() == b"%x" % len(body)
        return self.send(body)

    def send(self, data: bytes) -> bool:
        assert data
        self.data += data
        self.pieces.append(data)
        return True

    def on_room(self, call: Callable[[], None]) -> None: ...

    def stalled(self, now: float) -> bool:
        return False


class Parsing(Chunked):
    """A client with another framing: what it gets has passed the HTTP parser."""

    send_framed = None  # type: ignore[assignment]


class Messages(Parsing):
    """A client that makes messages of events, the usual ones at once."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: EventMessages = EventMessages(b'"1"')

    def send_usual(self, data: bytes) -> bool | None:
        frames = self.messages.usual(data)
        self.data += frames or b""
        return None if frames is None else True

    def send(self, data: bytes) -> bool:
        self.data += self.messages.frames(data)
        if self.messages.broken:
            raise CoreProtocolError
        return True


class NothingUsual(EventMessages):
    def usual(self, piece: bytes) -> None:
        return None


class ParsedMessages(Messages):
    """It takes none for a usual one."""

    send_usual = None

    def __init__(self) -> None:
        super().__init__()
        self.messages = NothingUsual(b'"1"')


class ParsingSplitter(EventSplitter):
    """It has no short way."""

    __slots__ = ()

    def pass_plain(self, data: bytes) -> None:
        return None

    def _take_back(self) -> None: ...


class FreeSlot:
    def release(self) -> None: ...


@dataclass
class Asked:
    """What a relay wants to know of the answer that it relays."""

    state: StreamState
    request_id: str = "req-1"


class World:
    """One answer under way, from the core's socket to the client."""

    def __init__(self, head: bytes, client: Chunked, splitter: EventSplitter) -> None:
        self.client = client
        self.state = StreamState(
            far_limits(event_limit_bytes=LIMIT_BYTES), "req-1", now=0.0, expires_at=1e12
        )
        self.state.splitter = splitter
        self.state.opened()
        self.wire = Wire()
        self.connection = Connection(lambda _: None, lambda _: None)
        self.connection.connection_made(cast(asyncio.Transport, self.wire))
        self.exchange = Exchange(cast(Slot, FreeSlot()), 1 << 16)
        self.connection.send(self.exchange, b"")
        self.read(head)
        relay = Relay(cast(Answer, Asked(self.state)), client, Ticker())
        self.exchange.attach(cast(Any, Ended(relay)))

    def read(self, data: bytes) -> None:
        if not self.wire.closed:
            self.connection.data_received(data)

    def eof(self) -> None:
        if not self.wire.closed:
            self.connection.eof_received()

    def seen(self) -> tuple[object, ...]:
        """What each side sees of it, and what is written down."""
        end, state, exchange = self.state.end, self.state, self.exchange
        ended = (end.outcome, end.code, end.by, end.events, end.sent_bytes) if end else None
        return (
            *(self.client.data, ended, state.events, state.sent_bytes, state.phase),
            *(self.wire.closed, exchange.complete, exchange.excess, type(exchange.error)),
            state.splitter.held_bytes,
        )


class Ended:
    """The relay, with the transport's failures in our words."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.received, self.framed_taker = relay.received, relay.framed_taker
        if isinstance(relay._client, Parsing) and relay._client.send_usual is None:
            # What it gets has passed the HTTP parser, whatever the reads are.
            self.framed_taker = lambda parse, _: parse

    def ended(self, error: Exception | None) -> None:
        ours: GatewayError | None = None if error is None else CoreTruncated()
        self._relay.ended(ours)


SIZES = st.sampled_from([b"%x", b"%x", b"%x", b"%x", b"%X", b"0%x", b"%x;a=b", b"%x ", b"zz%x"])
LAST = st.sampled_from([b"0\r\n\r\n", b"0\r\n\r\n", b"", b"0\r\nTrailer: x\r\n\r\n", b"zz\r\n"])


@st.composite
def chunked(draw: st.DrawFn) -> list[bytes]:
    """A body in chunks, and reads that mostly hold whole ones."""
    body = draw(st.sampled_from([b"", TOKEN])) + draw(bodies())
    parts = draw(st.one_of(cut(body), st.just([body] if body else [])))
    sizes = draw(st.one_of(st.just(b"%x"), SIZES))
    framed = [sizes % len(part) + b"\r\n" + part + b"\r\n" for part in parts]
    framed.append(draw(LAST))
    if draw(st.integers(0, 3)) == 0:
        return draw(cut(b"".join(framed)))
    reads: list[bytes] = [b""]
    for frame in framed:
        if draw(st.booleans()):
            reads.append(frame)
        else:
            reads[-1] += frame
    return [read for read in reads if read]


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A head, and reads of the body behind it."""
    framing = draw(st.sampled_from(["chunks", "chunks", "chunks", "close", "length"]))
    if framing == "chunks":
        return HEADS[framing], draw(chunked())
    body = draw(st.sampled_from([b"", TOKEN])) + draw(bodies())
    head = HEADS[framing]
    return head % (len(body) + draw(st.integers(0, 1))) if b"%" in head else head, draw(cut(body))


@pytest.fixture
def loop() -> Any:
    """A relay looks for a loop, and asks it the time."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.mark.parametrize("clients", [(Chunked, Parsing), (Messages, ParsedMessages)])
@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=answers(), ends=st.booleans())
def test_short_and_long_way_say_the_same(
    loop: asyncio.AbstractEventLoop,
    clients: tuple[type[Chunked], type[Chunked]],
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[bytes, list[bytes]],
    ends: bool,
) -> None:
    """Bytes, ending, counts and what becomes of the connection, after each read and at the end."""
    head, reads = answer
    # Little of what is drawn is JSON.
    monkeypatch.setattr(event_messages, "_is_json", bytes.isascii)

    async def relay() -> None:
        short = World(head, clients[0](), EventSplitter(LIMIT_BYTES))
        long = World(head, clients[1](), ParsingSplitter(LIMIT_BYTES))
        for data in reads:
            short.read(data)
            long.read(data)
            assert short.seen() == long.seen()
        if ends:
            short.eof()
            long.eof()
            assert short.seen() == long.seen()

    loop.run_until_complete(relay())


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_event_never_waits_and_never_meets_the_parser(
    loop: asyncio.AbstractEventLoop, end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, in two chunks of one read, in two reads, with others: at once, by the short way."""
    event = TOKEN.replace(b"\n", end)
    half = event.index(b"data")

    def chunk(data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data)

    async def relay() -> None:
        world = World(HEADS["chunks"], Chunked(), EventSplitter())
        world.read(chunk(event))
        monkeypatch.setattr(Exchange, "feed", lambda *_: pytest.fail("it was parsed"))
        monkeypatch.setattr(EventSplitter, "feed", lambda *_: pytest.fail("it was parsed"))
        whole, first, second = chunk(event), chunk(event[:half]), chunk(event[half:])
        reads = [whole, first + second, first, second, whole * 8, chunk(event * 8), whole + first]
        events = [1, 1, 0, 1, 8, 8, 1]
        for data, count in zip([*reads, second], [*events, 1], strict=True):
            before = len(world.client.data)
            world.read(data)
            assert world.client.data[before:] == event * count
        assert world.state.events == 1 + sum(events) + 1

    loop.run_until_complete(relay())
