"""A bad network on either side of the gateway: no stream ends in a lie.

Toxiproxy stands between client and gateway, or between gateway and core. Whatever it does, a client
sees a plain HTTP error, or a stream with exactly one ``done`` or ``error`` as its last event, or a
transfer that is visibly broken: never a clean end without one of them, and never half an event
before an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import pytest
import uvloop

from devstack.components import find_program, free_port
from gateway.domain.sse import CONNECTED, SseParser
from tests.edge.conftest import Gateway, running_gateway
from tests.edge.keeping_core import After, KeepingCore, Visit, keeping_core, settled
from tests.edge.raw import read_chunk, read_head, request
from tests.edge.stub_core import DONE, END, META, STREAM_HEAD, TOKEN, chunk

Side = Literal["client", "core"]
EVENTS = 300
WHOLE = META + TOKEN * EVENTS + DONE
# What a test waits at most for a stream to end, in seconds.
PATIENCE_S = 30.0

# toxic → its attributes, and whether every stream must come whole all the same
TOXICS: dict[str, tuple[str, dict[str, int], bool]] = {
    "latency": ("latency", {"latency": 50, "jitter": 40}, True),
    "slicer": ("slicer", {"average_size": 7, "size_variation": 5, "delay": 20}, True),
    "bandwidth": ("bandwidth", {"rate": 20}, True),
    "reset at once": ("reset_peer", {"timeout": 0}, False),
    "reset in mid-stream": ("reset_peer", {"timeout": 60}, False),
    "nothing comes": ("timeout", {"timeout": 0}, False),
    "nothing comes, then a close": ("timeout", {"timeout": 100}, False),
    "cut after the head": ("limit_data", {"bytes": 400}, False),
    "cut in an event": ("limit_data", {"bytes": 3001}, False),
    "cut near the end": ("limit_data", {"bytes": 11_000}, False),
}
SETTINGS = {
    "STREAM_FIRST_EVENT": "2s",
    "STREAM_IDLE": "2s",
    "STREAM_EARLY_HEAD": "100ms",
    "STREAM_CLIENT_STALL": "2s",
}


@dataclass
class Proxy:
    """One toxiproxy in front of one address."""

    api: httpx.AsyncClient
    address: tuple[str, int]

    async def poison(self, kind: str, attributes: dict[str, int]) -> None:
        toxic = {"name": "t", "type": kind, "stream": "downstream", "attributes": attributes}
        (await self.api.post("/proxies/p/toxics", json=toxic)).raise_for_status()

    async def enable(self, enabled: bool) -> None:
        (await self.api.post("/proxies/p", json={"enabled": enabled})).raise_for_status()


@contextlib.asynccontextmanager
async def toxiproxy(upstream: str) -> AsyncIterator[Proxy]:
    program = find_program("toxiproxy-server")
    if program is None:
        hint = "toxiproxy-server is missing: python -m devstack.fetch builds it"
        pytest.fail(hint) if os.environ.get("GATEWAY_REQUIRE_REAL") == "1" else pytest.skip(hint)
    port, listen = free_port(), free_port()
    quiet = asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(
        str(program), "-host", "127.0.0.1", "-port", str(port), stdout=quiet, stderr=quiet
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as api:
            await answers(api)
            told = {"name": "p", "listen": f"127.0.0.1:{listen}", "upstream": upstream}
            (await api.post("/proxies", json=told)).raise_for_status()
            yield Proxy(api, ("127.0.0.1", listen))
    finally:
        child.terminate()
        await child.wait()


async def answers(api: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(httpx.TransportError):
                await api.get("/version")
                return
            await asyncio.sleep(0.02)


@dataclass
class World:
    gateway: Gateway
    core: KeepingCore
    proxy: Proxy
    client_address: tuple[str, int]
    begun: int = 0  # streams whose first event a client has seen


@contextlib.asynccontextmanager
async def poisoned(side: Side) -> AsyncIterator[World]:
    """A gateway with toxiproxy on one side of it, harmless so far."""
    async with keeping_core() as core:
        core.play = telling
        if side == "core":
            async with toxiproxy(core.url.removeprefix("http://")) as proxy:
                core.url = f"http://127.0.0.1:{proxy.address[1]}"
                async with running_gateway(core, **SETTINGS) as gateway:
                    yield World(gateway, core, proxy, gateway.address)
        else:
            async with (
                running_gateway(core, **SETTINGS) as gateway,
                toxiproxy(f"127.0.0.1:{gateway.address[1]}") as proxy,
            ):
                yield World(gateway, core, proxy, proxy.address)


async def telling(visit: Visit) -> After:
    await visit.send(STREAM_HEAD + chunk(META), 1 << 20)
    for _ in range(EVENTS):
        await visit.send(chunk(TOKEN), 1 << 20)
        await asyncio.sleep(0)
    await visit.send(chunk(DONE) + END, 1 << 20)
    return "keep"


@dataclass
class Seen:
    """``status`` is 0 where not even a head came; ``clean``: the body ended as HTTP says."""

    status: int
    body: bytes
    clean: bool


async def ask(world: World, patience_s: float = PATIENCE_S) -> Seen:
    status, body = 0, b""
    writer: Any = None
    try:
        async with asyncio.timeout(patience_s):
            typed = {"Content-Type": "application/json", **await world.gateway.bearer()}
            reader, writer = await asyncio.open_connection(*world.client_address)
            writer.write(request("POST", "/api/v1/query", typed, b'{"query": "hi"}'))
            status, head = await read_head(reader)
            headers = dict(head)
            if headers.get("transfer-encoding") != "chunked":
                body = await reader.readexactly(int(headers["content-length"]))
                return Seen(status, body, clean=True)
            while piece := await read_chunk(reader):
                world.begun += META in piece
                body += piece
            return Seen(status, body, clean=True)
    except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
        return Seen(status, body, clean=False)
    finally:
        if writer is not None:
            writer.transport.abort()


def judge(seen: Seen) -> None:
    """The rule itself, for whatever happened."""
    if seen.status not in (0, 200):
        if seen.clean:
            assert json.loads(seen.body)["error"]["code"]
        return
    ends = [one.type for one in SseParser().feed(seen.body) if one.type in ("done", "error")]
    if not seen.clean:
        # All may have come but the last chunk; nothing may have come behind an ending.
        assert len(ends) <= 1
        return
    assert len(ends) == 1, seen.body[-300:]
    assert seen.body.endswith(b"\n\n")
    if ends == ["done"]:
        assert seen.body == CONNECTED + WHOLE
    else:
        assert (CONNECTED + WHOLE).startswith(seen.body[: seen.body.rindex(b"event: error\n")])


def run(work: Any) -> None:
    """On uvloop, which ``gateway serve`` runs on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


@pytest.mark.parametrize("side", ["client", "core"])
@pytest.mark.parametrize("toxic", TOXICS.values(), ids=TOXICS.keys())
def test_no_toxic_makes_a_stream_end_in_a_lie(
    toxic: tuple[str, dict[str, int], bool], side: Side
) -> None:
    """Exactly one of ``done`` and ``error``, or a broken transfer; and the core is left alone."""
    kind, attributes, survives = toxic

    async def work() -> None:
        async with poisoned(side) as world:
            await world.proxy.poison(kind, attributes)
            # Where nothing ever comes to the client, it is the client who gives up.
            patience_s = 6.0 if attributes == {"timeout": 0} else PATIENCE_S
            all_seen = await asyncio.gather(*(ask(world, patience_s) for _ in range(4)))
            for seen in all_seen:
                judge(seen)
                assert not survives or seen.body == CONNECTED + WHOLE
            await assert_nothing_is_left(world)

    run(work())


@pytest.mark.parametrize("side", ["client", "core"])
def test_a_network_that_goes_down_in_mid_stream_breaks_or_tells(side: Side) -> None:
    """All connections cut at once, and refused afterwards; when it is back, so are the answers."""

    async def work() -> None:
        async with poisoned(side) as world:
            # At two kilobytes a second no stream has ended before the last one has begun.
            await world.proxy.poison("bandwidth", {"rate": 2})
            asking = [asyncio.ensure_future(ask(world)) for _ in range(4)]
            await settled(lambda: world.begun == 4)
            await world.proxy.enable(False)
            for seen in await asyncio.gather(*asking):
                judge(seen)
                assert not (seen.clean and seen.body.endswith(DONE))
            judge(await ask(world))
            await assert_nothing_is_left(world)
            await world.proxy.enable(True)
            await serves_again(world)

    run(work())


async def serves_again(world: World) -> None:
    """An address that failed is left out for a moment before it is asked again."""
    async with asyncio.timeout(PATIENCE_S):
        while (await ask(world)).body != CONNECTED + WHOLE:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def assert_nothing_is_left(world: World) -> None:
    """No client's connection has a request under way, and no stream is still open."""
    await settled(lambda: not [one for one in world.gateway.server.connections if one.http])
