"""A stream's clocks as its two ends see them; their codes are in ``test_endings``.

Settings are tiny and what is waited for is an event: nothing here asserts how fast anything is.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.domain.sse import CONNECTED, PING

from .conftest import running_gateway
from .keeping_core import After, KeepingCore, Visit, keeping_core
from .raw import TIMEOUT_S
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, chunk

BOTH_LOOPS = True
COMMENT = b": thinking\n\n"


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


async def test_a_cores_comments_break_its_silence(core: KeepingCore) -> None:
    """A core that says it is alive may think for longer than the idle limit."""

    async def play(visit: Visit) -> After:
        await visit.send(STREAM_HEAD + chunk(META), 1 << 20)
        for _ in range(25):
            await asyncio.sleep(0.1)
            await visit.send(chunk(COMMENT), 1 << 20)
        await visit.send(chunk(DONE) + END, 1 << 20)
        return "keep"

    core.play = play
    async with running_gateway(core, STREAM_IDLE="2s") as gateway:
        streaming = await gateway.asking()
        assert await streaming.rest() == CONNECTED + META + COMMENT * 25 + DONE
        streaming.writer.close()


async def test_silence_towards_the_client_is_broken_by_pings_on_boundaries(
    core: KeepingCore,
) -> None:
    """A ping may come at any time, but never inside an event that is half there."""

    async def play(visit: Visit) -> After:
        await visit.send(STREAM_HEAD + chunk(META + TOKEN[:9]), 1 << 20)
        await visit.go.wait()
        await visit.send(chunk(TOKEN[9:] + DONE) + END, 1 << 20)
        return "keep"

    core.play = play
    async with running_gateway(core, STREAM_PING="50ms") as gateway:
        streaming = await gateway.asking()
        seen = await streaming.until(PING + PING)
        (await core.visit(0)).go.set()
        seen += await streaming.rest()
        assert seen.replace(PING, b"") == CONNECTED + META + TOKEN + DONE
        streaming.writer.close()


async def test_a_head_that_came_is_never_held_back(core: KeepingCore) -> None:
    """The early window is for cores that are slow with it, not for those that are not."""

    async def play(visit: Visit) -> After:
        await visit.send(STREAM_HEAD, 1 << 20)
        await visit.until_left()
        return "close"

    core.play = play
    async with running_gateway(core, STREAM_EARLY_HEAD="60s", STREAM_FIRST_EVENT="60s") as gateway:
        streaming = await gateway.asking()
        assert await streaming.until(CONNECTED) == CONNECTED
        streaming.writer.transport.abort()
        await (await core.visit(0)).until_left()


async def test_the_early_window_waits_for_the_connection(core: KeepingCore) -> None:
    """A core that cannot be reached is a plain status however short the window is."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        core.url = f"http://127.0.0.1:{full.getsockname()[1]}"
        async with running_gateway(core, STREAM_EARLY_HEAD="0s") as gateway:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await gateway.client.post(
                    "/api/v1/query", json={"query": "hi"}, headers=await gateway.bearer()
                )
            assert (answer.status_code, answer.json()["error"]["code"]) == (504, "CORE_TIMEOUT")
        for filler in fillers:
            filler.close()
