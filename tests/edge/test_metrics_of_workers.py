"""Several workers and their deaths: one page, whichever worker is asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from gateway.telemetry import catalogue as c
from gateway.telemetry import stream_metrics

from .conftest import Streaming
from .raw import TIMEOUT_S, exchange, request
from .served import Served, served
from .stub_core import META, STREAM_HEAD, StubCore, chunk
from .test_metrics import Found, read, since

WORKERS = 2


@dataclass
class Fleet:
    running: Served
    admin: tuple[str, int]

    async def samples(self) -> Found:
        answer = await exchange(self.admin, request("GET", "/metrics"))
        assert answer.status == 200
        return read(answer.body.decode())

    async def until(self, reached: Callable[[Found], bool]) -> Found:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                # A connection to a worker that dies is reset; the next one finds another.
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    found = await self.samples()
                    if reached(found):
                        return found
                await asyncio.sleep(0.05)

    async def pid_of_a_worker(self) -> int:
        answer = await exchange(self.admin, request("GET", "/readyz"))
        return int(answer.json()["worker_pid"])


@pytest.fixture
async def fleet(core: StubCore, tmp_path: Path) -> AsyncIterator[Fleet]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"ADMIN_LISTEN_PORT": str(port), "DRAIN_GRACE": "0s"}
    async with served(core, tmp_path, WORKERS, **settings) as running:
        yield Fleet(running, ("127.0.0.1", port))


async def opened(fleet: Fleet, number: int) -> list[Streaming]:
    """Streams that have their first event."""
    found = [await fleet.running.asking() for _ in range(number)]
    for streaming in found:
        await streaming.until(META)
    return found


def counters(found: Found) -> Found:
    suffixes = ("_total", "_bucket", "_count", "_sum")
    return {key: value for key, value in found.items() if key[0].endswith(suffixes)}


async def test_any_worker_answers_for_all(fleet: Fleet, core: StubCore) -> None:
    """Twelve streams over two workers are twelve, and a request is one, each time one looks."""
    core.holds(STREAM_HEAD, chunk(META))
    before = await fleet.samples()
    streams = await opened(fleet, 12)

    # Of the other worker's streams the page has what they were at its last tick: maybe no event.
    def all_counted(one: Found) -> bool:
        events = since(before, one, stream_metrics.STREAM_EVENTS.name)
        return one[stream_metrics.STREAMS_OPEN.name,] == 12 and events == {(): 12}

    await fleet.until(all_counted)
    for _ in range(20):
        found = await fleet.samples()
        assert found[stream_metrics.STREAMS_OPEN.name,] == 12
        assert found[c.WORKERS.name, "ready"] == WORKERS
        assert since(before, found, stream_metrics.STREAM_EVENTS.name) == {(): 12}
    for streaming in streams:
        streaming.writer.close()
    found = await fleet.until(lambda one: one[stream_metrics.STREAMS_OPEN.name,] == 0)
    ended = since(before, found, stream_metrics.STREAMS_ENDED.name)
    assert ended == {("sse", "client_left", "none", "client"): 12}


async def test_a_killed_worker_takes_no_count_with_it_and_leaves_no_gauge(
    fleet: Fleet, core: StubCore
) -> None:
    """``kill -9`` amid streams, three times: no counter goes back."""
    core.holds(STREAM_HEAD, chunk(META))
    streams = await opened(fleet, 12)
    # All twelve streams' events are on the page before a worker dies.
    before = await fleet.until(lambda one: one[stream_metrics.STREAM_EVENTS.name,] == 12)
    last = before
    for death in range(1, 4):
        os.kill(await fleet.pid_of_a_worker(), signal.SIGKILL)
        found = await fleet.until(partial(replaced, death))
        gone_back = [
            key for key, value in counters(last).items() if counters(found).get(key, -1.0) < value
        ]
        assert gone_back == []
        assert found[c.RESTARTS.name, "signal"] == death
        last = found
    # The last death took the streams of its worker; those of the other worker go on.
    assert last[stream_metrics.STREAMS_OPEN.name,] < 12
    for streaming in streams:
        streaming.writer.close()
    found = await fleet.until(lambda one: one[stream_metrics.STREAMS_OPEN.name,] == 0)
    assert found[stream_metrics.STREAM_EVENTS.name,] == 12
    answers = [await fleet.running.send(request("GET", "/healthz")) for _ in range(20)]
    assert {answer.status for answer in answers} == {200}
    assert since(found, await fleet.samples(), c.REQUESTS.name)["GET", "/healthz", "200"] == 20


def replaced(deaths: int, found: Found) -> bool:
    restarts = sum(value for key, value in found.items() if key[0] == c.RESTARTS.name)
    return restarts == deaths and found[c.WORKERS.name, "ready"] == WORKERS
