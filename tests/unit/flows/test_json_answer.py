"""One JSON answer out of the stream: the same words, the true errors, within limits."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
import pytest

from gateway.errors import (
    CoreProtocolError,
    CoreTruncated,
    CoreUnavailable,
    GatewayError,
    Overloaded,
    StreamMaxDuration,
)
from gateway.flows.answer_stream import Query
from gateway.flows.json_answer import QueryAnswer, collect
from gateway.ports import Core, OnBehalfOf

WHO = OnBehalfOf("ann", "acme", frozenset({"reader"}), "req-1")
SOURCE = {
    "document_id": "d",
    "filename": "f.pdf",
    "chunk_id": "c",
    "score": 1.5,
    "text": "t",
    "page": 2,
}


class SystemClock:
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class SaidCore:
    """Says these bytes, then ends the body or (``forever``) says nothing more."""

    def __init__(self, *said: bytes, forever: bool = False) -> None:
        self.said, self.forever = said, forever
        self.closed = False

    async def open_query(
        self, who: OnBehalfOf, body: Mapping[str, Any], on_sent: Callable[[], None] | None = None
    ) -> SaidCore:
        return self

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self.said:
            yield chunk
        if self.forever:
            await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.closed = True

    def as_port(self) -> Core:
        return self  # type: ignore[return-value]  # only open_query is asked for here


def said(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


DONE = said("done", {"finish_reason": "stop"})


async def collected(core: SaidCore, **limits: Any) -> QueryAnswer:
    async with Query(core.as_port(), SystemClock()).open(WHO, {"query": "why?"}) as answer:
        return await collect(answer, **limits)


async def test_the_answer_is_what_the_stream_said() -> None:
    """Every event of the contract finds its place; an unknown one says nothing to us."""
    core = SaidCore(
        said("meta", {"query_id": "q", "model": "m"}),
        said("sources", [SOURCE]),
        said("token", {"text": "Hel"}) + said("later-invention", {"x": 1}),
        said("token", {"text": "lo €"}),
        said("citation", {"source": 0, "start": 0, "end": 3}),
        said("usage", {"prompt_tokens": 3, "completion_tokens": 2}) + DONE,
    )
    assert msgspec.to_builtins(await collected(core)) == {
        "answer": "Hello €",
        "citations": [{"source": 0, "start": 0, "end": 3}],
        "sources": [SOURCE],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        "finish_reason": "stop",
        "query_id": "q",
        "model": "m",
    }


async def test_what_the_core_leaves_out_is_empty() -> None:
    """``done`` alone is an answer too."""
    got = await collected(SaidCore(DONE))
    assert (got.answer, got.sources, got.usage, got.query_id) == ("", [], None, None)


@pytest.mark.parametrize(
    "event",
    [said("token", {"text": 7}), said("token", {}), b"event: token\ndata: {\n\n",
     said("sources", {"a": 1}), said("citation", {"source": "0"}), said("done", "stop"),
     b'event: token\ndata: {"text":"\\ud800"}\n\n', b"event: usage\ndata: NaN\n\n"],
)  # fmt: skip
async def test_nonsense_in_an_event_is_a_protocol_error(event: bytes) -> None:
    """Decoded strictly: what is not in the contract makes no answer."""
    core = SaidCore(event, DONE)
    with pytest.raises(CoreProtocolError):
        await collected(core)
    assert core.closed


@pytest.mark.parametrize(
    ("last", "kind", "status"),
    [(b"", CoreTruncated, 502),
     (said("error", {"error": {"code": "OVERLOADED"}}), Overloaded, 503),
     (said("error", {"error": {"code": "CORE_UNAVAILABLE"}}), CoreUnavailable, 502),
     (said("error", {"error": {"code": "?"}}), CoreProtocolError, 502)],
)  # fmt: skip
async def test_a_stream_that_ends_badly_is_the_true_error(
    last: bytes, kind: type[GatewayError], status: int
) -> None:
    """With the status it would have had before a head; half an answer is none."""
    with pytest.raises(kind) as caught:
        await collected(SaidCore(said("token", {"text": "a"}), last))
    assert caught.value.status == status


@pytest.mark.parametrize("event", [said("token", {}), said("done", {})], ids=["token", "done"])
async def test_an_answer_that_says_nonsense_is_the_cores_doing(event: bytes) -> None:
    """The log and the metrics must not take it for a client that left."""
    opened = Query(SaidCore(event).as_port(), SystemClock()).open(WHO, {"query": "why?"})
    with pytest.raises(CoreProtocolError):
        async with opened as answer:
            await collect(answer)
    assert opened.end is not None
    assert (opened.end.outcome, opened.end.by) == ("core_failed", "core")
    assert opened.end.code == CoreProtocolError.code


async def test_an_answer_over_the_limit_is_refused() -> None:
    """A core that never ends does not fill our memory."""
    core = SaidCore(*[said("token", {"text": "a" * 100})] * 50, forever=True)
    with pytest.raises(CoreProtocolError):
        await collected(core, limit_bytes=1000)
    assert core.closed


async def test_an_answer_over_time_is_refused() -> None:
    """The whole answer has a clock of its own where one is set."""
    core = SaidCore(said("token", {"text": "a"}), forever=True)
    with pytest.raises(StreamMaxDuration):
        await collected(core, timeout_s=0.01)
    assert core.closed
