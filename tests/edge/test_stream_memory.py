"""What an open stream keeps in memory: nothing of what it was asked."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import blueprints
import gateway as package

from .conftest import Gateway, Streaming
from .stub_core import META, STREAM_HEAD, TOKEN, StubCore, chunk

STREAMS = 10
OURS = [
    tracemalloc.Filter(True, str(Path(str(one.__file__)).parent / "*"))
    for one in (package, blueprints, json)  # the gateway parses bodies with ``json``
]


async def opened(gateway: Gateway, question: str, credential: dict[str, str]) -> list[Streaming]:
    """So many streams with that question; their first events are there."""
    body = json.dumps({"query": question}).encode()
    streams = [await gateway.asking(body, credential) for _ in range(STREAMS)]
    for stream in streams:
        await stream.until(TOKEN)
    return streams


async def kept_bytes(gateway: Gateway, question: str, credential: dict[str, str]) -> float:
    """Bytes that the gateway's own code has allocated and still has, for each open stream."""
    tracemalloc.start()
    try:
        streams = await opened(gateway, question, credential)
        traces = tracemalloc.take_snapshot().filter_traces(OURS).traces
        size = sum(trace.size for trace in traces)
    finally:
        tracemalloc.stop()
    for stream in streams:
        stream.writer.close()
    return size / STREAMS


async def test_an_open_stream_keeps_nothing_of_its_question(
    gateway: Gateway, core: StubCore
) -> None:
    """Thousands are open for minutes, and a question may have 8 KiB."""
    core.holds(STREAM_HEAD + chunk(META) + chunk(TOKEN))
    credential = await gateway.bearer()
    for question in ("warm", "w" * 8000):
        await kept_bytes(gateway, question, credential)
    short = await kept_bytes(gateway, "short", credential)
    long = await kept_bytes(gateway, "l" * 8000, credential)
    assert long - short < 500, (short, long)
