"""A core that keeps its connections: which one a query came on, and who left it, can be asked."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

from .raw import TIMEOUT_S
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, _content_length, chunk

After = Literal["keep", "close", "reset"]


async def settled(reached: Callable[[], bool]) -> None:
    """Lets the loop run until this is so; what is waited for tells nobody."""
    async with asyncio.timeout(TIMEOUT_S):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


def numbered(number: int) -> bytes:
    """An event of four thousand bytes, whose text begins with its number."""
    return b'event: token\ndata: {"text":"%06d%b"}\n\n' % (number, b"x" * 4000)


class Visit:
    """One query on one of the core's connections, ``connection`` being its number."""

    def __init__(
        self, connection: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connection = connection
        self.go = asyncio.Event()
        self._reader = reader
        self._writer = writer

    @property
    def left(self) -> bool:
        """Whether the gateway has closed this connection, with a FIN or with a RST."""
        return self._reader.at_eof() or self._reader.exception() is not None

    async def send(self, data: bytes, size: int) -> None:
        """In writes of ``size`` bytes, each given a chance to be read alone."""
        for start in range(0, len(data), size):
            if self._writer.is_closing():
                raise ConnectionResetError("the gateway left")
            self._writer.write(data[start : start + size])
            await self._writer.drain()
            await asyncio.sleep(0)

    async def until_left(self) -> None:
        await settled(lambda: self.left)

    def reset(self) -> None:
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class KeepingCore(StubCore):
    """Every query becomes a ``Visit``, played by ``play``, whose answer says what follows."""

    def __init__(self) -> None:
        super().__init__()
        self.play: Callable[[Visit], Awaitable[After]] = self.plays_well
        self.visits: list[Visit] = []
        self.connections = 0
        self.open = 0
        self.tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def plays_well(self, visit: Visit) -> After:
        await visit.send(STREAM_HEAD + chunk(DONE) + END, 1 << 20)
        return "keep"

    def counts(self, events: int) -> list[int]:
        """Sends so many numbered events from now on; the list has each that went out."""
        sent: list[int] = []

        async def play(visit: Visit) -> After:
            await visit.send(STREAM_HEAD + chunk(META), 1 << 20)
            for number in range(events):
                await visit.send(chunk(numbered(number)), 1 << 20)
                sent.append(number)
            await visit.send(chunk(DONE) + END, 1 << 20)
            return "keep"

        self.play = play
        return sent

    async def visit(self, number: int) -> Visit:
        """The query with this number, once it has come."""
        await settled(lambda: len(self.visits) > number)
        return self.visits[number]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        connection = self.connections
        task = asyncio.current_task()
        assert task is not None
        self.tasks[task] = writer
        try:
            while await self._one(connection, reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The gateway left, or the test is over.
        finally:
            self.open -= 1
            self.closed.set()
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            del self.tasks[task]

    async def _one(
        self, connection: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        body = await reader.readexactly(_content_length(head))
        if not head.startswith("POST /v1/query"):
            # Health checks leave no idle connection for a query to come on.
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
            return False
        self.heads.append(head)
        self.bodies.append(body)
        visit = Visit(connection, reader, writer)
        self.visits.append(visit)
        after = await self.play(visit)
        if after == "reset":
            visit.reset()
        return after == "keep"


@contextlib.asynccontextmanager
async def keeping_core() -> AsyncIterator[KeepingCore]:
    core = KeepingCore()
    server = await asyncio.start_server(core._serve, "127.0.0.1", 0, backlog=2048)
    core.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield core
    finally:
        server.close()
        for task, writer in tuple(core.tasks.items()):
            writer.transport.abort()
            task.cancel()
        await settled(lambda: not core.tasks)
