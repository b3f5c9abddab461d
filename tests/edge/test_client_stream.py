"""The client's end of a stream, below Sanic: what it does when the client is just gone."""

from __future__ import annotations

import asyncio
from typing import cast

from gateway.edge.wire.client_stream import sender

BOTH_LOOPS = True


async def test_a_chunk_for_a_client_that_is_gone_is_dropped_in_silence() -> None:
    """Between the client's loss and its handler's cancellation the core may still speak.

    uvloop's transports raise when they are written to after their end; raised into the read
    callback of the core's connection, that would be logged as a fault of ours.
    """
    gone = asyncio.Event()

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.send = sender(cast(asyncio.Transport, transport))
            self.transport = transport

        def connection_lost(self, exc: Exception | None) -> None:
            gone.set()

    made: list[Server] = []

    def make() -> Server:
        made.append(Server())
        return made[-1]

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    async with asyncio.timeout(20):
        while not made or not hasattr(made[0], "send"):  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert made[0].send(b"5\r\nhello\r\n")
        writer.transport.abort()
        await gone.wait()
        for _ in range(10):  # uvloop closes the handle after it told of the loss
            await asyncio.sleep(0)
    assert made[0].send(b"5\r\nhello\r\n")
    server.close()
