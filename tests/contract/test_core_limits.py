"""``CoreHttp`` with a limit for each address, against cores on real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random

import pytest

from gateway.adapters.core_http import CoreHttp, CoreTimeouts
from gateway.adapters.core_stream import HttpCoreStream
from gateway.adapters.limited_calls import CoreLimits, LimitedCalls
from gateway.domain.adaptive_limit import LimitRules
from gateway.domain.balancing import Address, Balancer, Outcome
from gateway.errors import CoreUnavailable, Overloaded
from gateway.http_client.transport import CoreTransport
from gateway.ports import OnBehalfOf
from gateway.telemetry import core_metrics, samples
from tests.unit.http_client.scripted import CHUNKED, Peer, Server, serve, until

WHO = OnBehalfOf("ann", "acme", frozenset({"reader"}), "req-1")
ROOM = 2
LISTING = json.dumps({"documents": [], "next_cursor": None}).encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


@dataclass
class SlowCore:
    """Answers document calls and health checks, and questions when it is told to."""

    url: str = ""
    asked: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def script(self, peer: Peer, _: Server) -> None:
        while request := await peer.request():
            if request.startswith(b"POST /v1/query"):
                self.asked += 1
                await self.go_on.wait()
                await peer.send(CHUNKED)
                await peer.left()
                return
            await peer.send(OK % (len(LISTING), LISTING))


@dataclass
class World:
    cores: list[SlowCore]
    core: CoreHttp
    balancer: Balancer
    limits: CoreLimits

    @property
    def under_way(self) -> int:
        _, questions, documents = self.limits.places
        return questions + documents

    async def ask(self, count: int) -> list[asyncio.Task[HttpCoreStream]]:
        """So many questions whose heads are still to come."""
        before = sum(core.asked for core in self.cores)
        tasks = [asyncio.create_task(self.core.open_query(WHO, {})) for _ in range(count)]
        await until(lambda: sum(core.asked for core in self.cores) == before + count)
        return tasks

    async def answer(self, tasks: list[asyncio.Task[HttpCoreStream]]) -> None:
        for core in self.cores:
            core.go_on.set()
        for stream in await asyncio.gather(*tasks):
            await stream.aclose()


@asynccontextmanager
async def limited(cores: int, *, gone: int = 0) -> AsyncIterator[World]:
    """``cores`` that are there, with room for ``ROOM`` questions each, and some that are gone."""
    slow = [SlowCore() for _ in range(cores)]
    rules = LimitRules(first=float(ROOM))
    async with asyncio.timeout(60):
        servers = [serve(core.script) for core in slow]
        for core, server in zip(slow, servers, strict=True):
            core.url = (await server.__aenter__()).url
        urls = [core.url for core in slow] + [f"http://127.0.0.{n + 2}:1" for n in range(gone)]
        balancer = Balancer(Random(1), [Address(url) for url in urls])
        limits = CoreLimits(balancer, rules)
        transport = CoreTransport(limit=50)
        try:
            async with aclosing(transport):
                core = CoreHttp(
                    transport,
                    balancer,
                    "s3cret",
                    timeouts=CoreTimeouts(connect_s=5.0, call_s=30.0, check_s=30.0),
                    body_limit_bytes=1024,
                    calls=partial(LimitedCalls, limits),
                )
                yield World(slow, core, balancer, limits)
                assert limits.places[1:] == (0, 0)
                assert transport.slots.in_use == 0
        finally:
            for server in servers:
                await server.__aexit__(None, None, None)


async def test_a_question_too_many_is_overload_and_a_document_call_is_not() -> None:
    """The core hears nothing of it; the next second it may be asked again."""
    async with limited(1) as world:
        tasks = await world.ask(ROOM)
        for _ in range(3):
            with pytest.raises(Overloaded) as caught:
                await world.core.open_query(WHO, {})
            assert caught.value.retry_after_s == 1
        await world.core.list_documents(WHO, limit=1, cursor=None)
        await world.core.check()
        assert world.cores[0].asked == ROOM
        assert list(samples.core_limits(world.limits)) == [
            (core_metrics.CORE_PLACES, ("limit",), ROOM),
            (core_metrics.CORE_PLACES, ("questions",), ROOM),
            (core_metrics.CORE_PLACES, ("documents",), 0),
            (core_metrics.CORE_OVERLOADED, ("question",), 3),
            (core_metrics.CORE_OVERLOADED, ("document",), 0),
        ]
        await world.answer(tasks)


async def test_a_place_is_held_until_the_head_not_to_the_streams_end() -> None:
    """However many answers are being written, those that are waited for are what counts."""
    async with limited(1) as world:
        world.cores[0].go_on.set()
        streams = [await world.core.open_query(WHO, {}) for _ in range(5 * ROOM)]
        assert world.under_way == 0
        assert world.balancer.streams(world.balancer.addresses[0]) == 5 * ROOM
        for stream in streams:
            await stream.aclose()


async def test_an_address_with_room_is_found_among_full_ones() -> None:
    """Whatever the balancer draws; only when none is left it is overload."""
    async with limited(5) as world:
        tasks = await world.ask(5 * ROOM)
        assert {core.asked for core in world.cores} == {ROOM}
        with pytest.raises(Overloaded):
            await world.core.open_query(WHO, {})
        await world.answer(tasks)


async def test_an_ejected_address_is_no_place_for_what_the_others_refuse() -> None:
    """A core that is gone has nobody under way, and is no help."""
    async with limited(1, gone=1) as world:
        tasks = await world.ask(1)
        lease = world.balancer.choose(0.0, [world.balancer.addresses[0]])
        assert lease is not None
        now = asyncio.get_running_loop().time()
        lease.end(Outcome.UNREACHABLE, now)
        assert len(world.balancer.ejected(now)) == 1
        tasks += await world.ask(ROOM - 1)
        with pytest.raises(Overloaded):
            await world.core.open_query(WHO, {})
        await world.answer(tasks)


async def test_who_leaves_gives_the_place_back() -> None:
    async with limited(1) as world:
        for task in await world.ask(ROOM):
            task.cancel()
            await asyncio.wait([task])
        assert world.under_way == 0
        await world.answer(await world.ask(ROOM))


async def test_a_core_that_cannot_be_reached_keeps_no_places() -> None:
    async with limited(0, gone=1) as world:
        for _ in range(3 * ROOM):
            with pytest.raises(CoreUnavailable):
                await world.core.open_query(WHO, {})


async def test_limits_of_addresses_that_are_gone_are_forgotten() -> None:
    """Names' addresses change all day; those that are asked still keep theirs."""
    async with limited(1) as world:
        tasks = await world.ask(1)
        now = asyncio.get_running_loop().time()
        for n in range(2, 50):
            address = Address(f"http://127.0.0.{n}:1")
            world.balancer.update([address], now)
            with pytest.raises(CoreUnavailable):
                await world.core.open_query(WHO, {})
        limit, questions, _ = world.limits.places
        assert (limit, questions) == (2 * ROOM, 1)
        world.balancer.update([Address(world.cores[0].url)], now)
        await world.answer(tasks)
