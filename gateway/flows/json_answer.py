"""One JSON answer out of the stream (``"stream": false``): read to its end, within limits.

The collector is a client of the relay as any other: it asks for events, takes them at once, and so
never holds the core up. A stream that ends badly becomes the error it ended with, with its true
status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.domain import core_json
from gateway.domain.core_records import Passage
from gateway.domain.sse import Event
from gateway.domain.stream_state import StreamState
from gateway.errors import CoreProtocolError, CoreTruncated, StreamMaxDuration
from gateway.flows.answer_stream import Answer
from gateway.flows.relay import ParsedEvents, Relay
from gateway.flows.ticker import Ticker


class Source(Passage, frozen=True, omit_defaults=True):
    """A passage the answer draws on."""


class Citation(msgspec.Struct, frozen=True):
    """``source`` (an index into ``sources``) carries the answer's characters ``start``..``end``."""

    source: int
    start: int
    end: int


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int


class QueryAnswer(msgspec.Struct, frozen=True):
    """The whole answer, as its JSON has it."""

    answer: str
    citations: list[Citation]
    sources: list[Source]
    usage: Usage | None
    finish_reason: str
    query_id: str | None = None
    model: str | None = None


class _Meta(msgspec.Struct):
    query_id: str
    model: str


class _Token(msgspec.Struct):
    text: str


class _Done(msgspec.Struct):
    finish_reason: str


_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "meta": msgspec.json.Decoder(_Meta),
    "sources": msgspec.json.Decoder(list[Source]),
    "token": msgspec.json.Decoder(_Token),
    "citation": msgspec.json.Decoder(Citation),
    "usage": msgspec.json.Decoder(Usage),
    "done": msgspec.json.Decoder(_Done),
}


def value_of(name: str, data: str | bytes) -> Any:
    """What an event of this name says; ``None`` for a name that the contract does not have.

    Raises:
        CoreProtocolError: its data is not what the contract says.
    """
    decoder = _DECODERS.get(name)
    return None if decoder is None else core_json.decode(decoder, data)


@dataclass(slots=True)
class Collected:
    """What was told of one answer so far."""

    meta: _Meta | None = None
    done: _Done | None = None
    usage: Usage | None = None
    text: list[str] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Adds what one event says; one of a name that the contract does not have adds nothing."""
        value = value_of(event.type, event.data)
        match event.type:
            case "token":
                self.text.append(value.text)
            case "citation":
                self.citations.append(value)
            case "sources":
                self.sources.extend(value)
            case "usage":
                self.usage = value
            case "meta":
                self.meta = value
            case "done":
                self.done = value

    def answer(self) -> QueryAnswer:
        if self.done is None:
            raise CoreTruncated
        return QueryAnswer(
            answer="".join(self.text),
            citations=self.citations,
            sources=self.sources,
            usage=self.usage,
            finish_reason=self.done.finish_reason,
            query_id=self.meta.query_id if self.meta is not None else None,
            model=self.meta.model if self.meta is not None else None,
        )


class _Collector:
    """Implements ``flows.relay.EventClient``; ``sent_bytes`` of ``state`` is what it was given."""

    __slots__ = ("_limit_bytes", "_state", "_take")

    def __init__(
        self, take: Callable[[Event], object], state: StreamState, limit_bytes: int
    ) -> None:
        self._take = take
        self._state = state
        self._limit_bytes = limit_bytes

    def take(self, events: Sequence[Event]) -> bool:
        if self._state.sent_bytes > self._limit_bytes:
            raise CoreProtocolError
        for event in events:
            self._take(event)
        return True

    def on_room(self, call: Callable[[], None]) -> None:
        """There always is."""
        call()

    def stalled(self, now: float) -> bool:
        return False


async def collect(
    answer: Answer, ticker: Ticker, *, limit_bytes: int, timeout_s: float | None = None
) -> QueryAnswer:
    """Reads an entered answer to its end; raises what ``read_whole`` does.

    A kept answer that was read before is not read again.
    """
    before = answer.read_before(limit_bytes)
    if isinstance(before, QueryAnswer):
        return before
    collected = Collected()
    await read_whole(answer, ticker, collected.take, limit_bytes=limit_bytes, timeout_s=timeout_s)
    found = collected.answer()
    if answer.cached is not None:
        answer.cached.keep_read(found)
    return found


async def read_whole(
    answer: Answer,
    ticker: Ticker,
    take: Callable[[Event], object],
    *,
    limit_bytes: int,
    timeout_s: float | None = None,
) -> None:
    """Gives ``take`` each event of an entered answer. The stream's own clocks run as always.

    Raises:
        GatewayError: whatever the stream ended with: ``CoreTruncated``, ``CoreUnavailable``, …
        CoreProtocolError: an event's data is not what the contract says, or the whole answer is
            larger than ``limit_bytes``.
        StreamMaxDuration: it took longer than ``timeout_s``.
    """
    collector = _Collector(take, answer.state, limit_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            await Relay(answer, ParsedEvents(collector), ticker).run()
    except TimeoutError as exc:
        raise StreamMaxDuration from exc
    if answer.error is not None:
        raise answer.error
