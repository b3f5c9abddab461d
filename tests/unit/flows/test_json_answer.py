"""One JSON answer out of the stream: the same words, the true errors, within limits."""

from __future__ import annotations

import json
import time
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
from gateway.flows.ticker import Ticker

from .scripted_core import WHO, ScriptedCore, far_limits

SOURCE = {
    "document_id": "d",
    "filename": "f.pdf",
    "chunk_id": "c",
    "score": 1.5,
    "text": "t",
    "page": 2,
    "section": ["Rules", "Fees"],
}


class SystemClock:
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def said(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


DONE = said("done", {"finish_reason": "stop"})


def saying(*data: bytes) -> ScriptedCore:
    return ScriptedCore(*data, None)


async def collected(core: ScriptedCore, **limits: Any) -> QueryAnswer:
    query = Query(core.as_port(), SystemClock(), far_limits())
    async with query.open(WHO, {"query": "why?"}) as answer:
        return await collect(answer, Ticker(), **{"limit_bytes": 1 << 20, **limits})


async def test_the_answer_is_what_the_stream_said() -> None:
    """Every event of the contract finds its place; an unknown one says nothing to us."""
    core = saying(
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
    got = await collected(saying(DONE))
    assert (got.answer, got.sources, got.usage, got.query_id) == ("", [], None, None)


@pytest.mark.parametrize(
    "event",
    [said("token", {"text": 7}), said("token", {}), b"event: token\ndata: {\n\n",
     said("sources", {"a": 1}), said("citation", {"source": "0"}), said("done", "stop"),
     b'event: token\ndata: {"text":"\\ud800"}\n\n', b"event: usage\ndata: NaN\n\n"],
)  # fmt: skip
async def test_nonsense_in_an_event_is_a_protocol_error(event: bytes) -> None:
    """Decoded strictly: what is not in the contract makes no answer."""
    core = saying(event, DONE)
    with pytest.raises(CoreProtocolError):
        await collected(core)
    assert core.stream.closed


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
        await collected(saying(said("token", {"text": "a"}), last))
    assert caught.value.status == status


@pytest.mark.parametrize("event", [said("token", {}), said("done", {})], ids=["token", "done"])
async def test_an_answer_that_says_nonsense_is_the_cores_doing(event: bytes) -> None:
    """The log and the metrics must not take it for a client that left."""
    query = Query(saying(event).as_port(), SystemClock(), far_limits())
    opened = query.open(WHO, {"query": "why?"})
    with pytest.raises(CoreProtocolError):
        async with opened as answer:
            await collect(answer, Ticker(), limit_bytes=1 << 20)
    assert opened.end is not None
    assert (opened.end.outcome, opened.end.by) == ("core_failed", "core")
    assert opened.end.code == CoreProtocolError.code


async def test_an_answer_over_the_limit_is_refused() -> None:
    """A core that never ends does not fill our memory."""
    core = ScriptedCore(*[said("token", {"text": "a" * 100})] * 50)
    with pytest.raises(CoreProtocolError):
        await collected(core, limit_bytes=1000)
    assert core.stream.closed


async def test_the_limit_is_kept_to_the_byte() -> None:
    """An answer of just that size is whole; one byte less, and it is refused."""
    events = [said("token", {"text": "a" * 100}), said("token", {"text": "b"}), DONE]
    size = sum(map(len, events))
    assert (await collected(saying(*events), limit_bytes=size)).answer == "a" * 100 + "b"
    with pytest.raises(CoreProtocolError):
        await collected(saying(*events), limit_bytes=size - 1)


async def test_sources_that_come_in_two_events_are_all_there() -> None:
    """A citation's number counts over all of them."""
    more = {**SOURCE, "chunk_id": "c2"}
    core = saying(
        said("sources", [SOURCE]),
        said("sources", [more]),
        said("citation", {"source": 1, "start": 0, "end": 3}),
        DONE,
    )
    got = await collected(core)
    assert [source.chunk_id for source in got.sources] == ["c", "c2"]
    assert got.sources[got.citations[0].source].chunk_id == "c2"


async def test_an_answer_over_time_is_refused() -> None:
    """The whole answer has a clock of its own where one is set."""
    core = ScriptedCore(said("token", {"text": "a"}))
    with pytest.raises(StreamMaxDuration):
        await collected(core, timeout_s=0.01)
    assert core.stream.closed
