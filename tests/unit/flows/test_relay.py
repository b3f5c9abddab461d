"""What a relay does that no socket of a test can be brought to at will."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gateway.domain.sse import PING
from gateway.errors import CoreUnavailable, Draining, GatewayError
from gateway.flows.answer_stream import Query
from gateway.flows.relay import Relay
from gateway.flows.ticker import Ticker
from gateway.ports import Core, CoreSink, OnBehalfOf

from .scripted_core import WHO, far_limits

TOKEN = b"event: token\ndata: {}\n\n"
META = b"event: meta\ndata: {}\n\n"
DONE = b"event: done\ndata: {}\n\n"


class SystemClock:
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class PushedCore:
    """Its head comes when ``head`` is set; what it says is pushed by the test."""

    def __init__(self) -> None:
        self.head = asyncio.Event()
        self.fails_with: GatewayError | None = None
        self.sink: CoreSink | None = None
        self.paused = False

    async def open_query(
        self, who: OnBehalfOf, body: Mapping[str, Any], on_sent: Callable[[], None]
    ) -> PushedCore:
        on_sent()
        await self.head.wait()
        if self.fails_with is not None:
            raise self.fails_with
        return self

    def attach(self, sink: CoreSink) -> None:
        self.sink = sink

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    async def aclose(self) -> None:
        pass

    def as_port(self) -> Core:
        return self  # type: ignore[return-value]  # only open_query is asked for here


class FullClient:
    """Takes what it is sent, and has never room for more until the test says so."""

    def __init__(self) -> None:
        self.sent = b""
        self.is_stalled = False
        self.room: list[Callable[[], None]] = []

    send_framed = None

    def send(self, data: bytes) -> bool:
        self.sent += data
        return False

    def on_room(self, call: Callable[[], None]) -> None:
        self.room.append(call)

    def stalled(self, now: float) -> bool:
        return self.is_stalled


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not reached():  # noqa: ASYNC110  (what is waited for tells nobody)
            await asyncio.sleep(0)


async def test_a_client_that_was_full_before_the_core_spoke_stops_it_all_the_same() -> None:
    """A ping fills it up while the core's head is still to come; the core must wait even so."""
    core, client = PushedCore(), FullClient()
    limits = far_limits(early_head_s=0, ping_s=0)
    async with Query(core.as_port(), SystemClock(), limits).open(WHO, {}) as answer:
        running = asyncio.ensure_future(Relay(answer, client, Ticker(interval_s=0)).run())
        await until(lambda: PING in client.sent)
        core.head.set()
        await until(lambda: core.sink is not None)
        assert core.sink is not None
        core.sink.received(META)
        assert core.paused
        client.room.pop()()
        assert not core.paused
        core.sink.received(DONE)
        core.sink.ended(None)
        await running
    assert b"event: done" in client.sent


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("leaves", [True, False], ids=["the client leaves", "it is stopped"])
async def test_a_core_that_fails_as_the_stream_ends_is_no_news(leaves: bool, turns: int) -> None:
    """Nobody is left to whom the failure matters, and asyncio must not complain of it."""
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    core, client = PushedCore(), FullClient()
    core.fails_with = CoreUnavailable()
    limits = far_limits(early_head_s=0)
    async with Query(core.as_port(), SystemClock(), limits).open(WHO, {}) as answer:
        running = asyncio.ensure_future(Relay(answer, client, Ticker()).run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        core.head.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        if leaves:
            running.cancel()
        else:
            answer.stop(Draining())
        await asyncio.wait([running])
        if not running.cancelled():
            assert running.exception() is None
    for _ in range(5):
        await asyncio.sleep(0)
    del answer, running
    gc.collect()
    assert not faults


async def test_a_client_that_leaves_as_it_is_found_stalled_is_no_news() -> None:
    """Its handler, which waits for the core's head, is cancelled as the ticker gives it up."""
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    core, client = PushedCore(), FullClient()
    limits = far_limits(early_head_s=0)
    async with Query(core.as_port(), SystemClock(), limits).open(WHO, {}) as answer:
        relay = Relay(answer, client, Ticker())
        running = asyncio.ensure_future(relay.run())
        await asyncio.sleep(0)
        client.is_stalled = True
        relay.tick(asyncio.get_running_loop().time())
        running.cancel()
        await asyncio.wait([running])
    del relay, running, answer, core
    gc.collect()
    assert not faults


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "done"])
async def test_what_a_core_says_behind_the_end_reaches_nobody(stopped: bool) -> None:
    """Its terminal event is the last thing that a client sees, though the core has not left yet."""
    core, client = PushedCore(), FullClient()
    core.head.set()
    async with Query(core.as_port(), SystemClock(), far_limits()).open(WHO, {}) as answer:
        running = asyncio.ensure_future(Relay(answer, client, Ticker()).run())
        await until(lambda: core.sink is not None)
        assert core.sink is not None
        core.sink.received(META)
        if stopped:
            answer.stop(Draining())
        else:
            core.sink.received(DONE)
        ended = client.sent
        core.sink.received(TOKEN)
        core.sink.received(TOKEN[:9])
        core.sink.ended(None)
        await running
    assert client.sent == ended
    assert ended.count(b"event: error") + ended.count(b"event: done") == 1


@pytest.mark.parametrize("leaves", [True, False], ids=["the client leaves", "it is stopped"])
async def test_a_relay_that_has_ended_is_ticked_no_more(leaves: bool) -> None:
    """The ticker lives as long as the worker: it would keep each stream that ever was."""
    core, client, ticker = PushedCore(), FullClient(), Ticker()
    core.head.set()
    async with Query(core.as_port(), SystemClock(), far_limits()).open(WHO, {}) as answer:
        running = asyncio.ensure_future(Relay(answer, client, ticker).run())
        await until(lambda: core.sink is not None)
        assert len(ticker._streams) == 1
        if leaves:
            running.cancel()
        else:
            answer.stop(Draining())
        await asyncio.wait([running])
    assert not ticker._streams


async def test_an_answer_that_was_stopped_before_its_relay_ran_ends_at_once() -> None:
    """Nobody was there to act on it, and the ticker's next round may be a while away."""
    core, client = PushedCore(), FullClient()
    core.head.set()
    async with Query(core.as_port(), SystemClock(), far_limits()).open(WHO, {}) as answer:
        answer.stop(Draining())
        async with asyncio.timeout(20):
            await Relay(answer, client, Ticker(interval_s=3600)).run()
    assert b'"DRAINING"' in client.sent
    assert core.sink is None
