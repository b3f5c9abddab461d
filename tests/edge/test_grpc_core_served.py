"""``gateway serve`` with two workers before a core over gRPC, as clients of HTTP see it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

from tests.contract.played_core import Call, sse
from tests.contract.played_grpc import GRPC

from .served import Served, served, until
from .stub_core import StubCore

TOKEN = ("token", {"text": "Three minutes."})
DONE = ("done", {"finish_reason": "stop"})
WHOLE = b": connected\n\n" + sse(TOKEN) + sse(DONE)


class Core:
    """Answers at once, but holds a question that says so until it is let go."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.held = 0

    async def script(self, call: Call) -> None:
        if call.asked.call != "query":
            await call.reply({"passages": []})
            return
        await call.head()
        await call.send(TOKEN)
        if call.asked.body["query"] == "hold":
            self.held += 1
            try:
                await self.go_on.wait()
            finally:
                self.held -= 1
        await call.send(DONE)


async def answer(gateway: Served) -> bytes:
    stream = await gateway.asking()
    assert stream.status == 200
    told = await stream.rest()
    stream.writer.close()
    return told


async def test_workers_ask_a_core_over_grpc(tmp_path: Path) -> None:
    """Each worker makes its connections after the fork, and so does one that takes a killed one's
    place; a client that leaves is told to the core; the log has lines of JSON alone."""
    core = Core()
    stub = StubCore()
    async with GRPC.playing(core.script) as played:
        stub.url = played.url
        async with served(stub, tmp_path, 2) as gateway:
            for told in await asyncio.gather(*(answer(gateway) for _ in range(16))):
                assert told == WHOLE
            # A connection of each worker.
            assert played.wire.connections >= 2
            leaving = await gateway.asking(b'{"query": "hold"}')
            await until(lambda: core.held == 1)
            leaving.writer.close()
            await until(lambda: core.held == 0)
            os.kill(gateway.workers()[0], signal.SIGKILL)
            await gateway.said("worker ready", 3)
            for told in await asyncio.gather(*(answer(gateway) for _ in range(16))):
                assert told == WHOLE
        lines = gateway.log.read_text().splitlines()
    assert [line for line in lines if not line.startswith("{")] == []
    assert {json.loads(line).get("level") for line in lines} >= {"info"}


async def test_a_core_that_is_not_there_is_told_as_over_rest(tmp_path: Path) -> None:
    """An error in the one shape, and a line of the log; it comes back by itself."""
    core = Core()
    stub = StubCore()
    async with GRPC.playing(core.script) as played:
        target, played.wire.target = played.wire.target, 1
        stub.url = played.url
        async with served(stub, tmp_path, 1) as gateway:
            refused = await gateway.send(gateway.question())
            assert (refused.status, refused.json()["error"]["code"]) == (502, "CORE_UNAVAILABLE")
            played.wire.target = target
            assert await answer(gateway) == WHOLE
        lines = gateway.log.read_text().splitlines()
    assert [line for line in lines if not line.startswith("{")] == []
