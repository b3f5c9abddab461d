"""A peer that does exactly what a test says, byte by byte, on a real socket."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx

from gateway.http_client.pool import Origin
from gateway.http_client.transport import Body, CoreTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


async def until(reached: Callable[[], bool]) -> None:
    """Lets the loop run until this is so, for at most half a minute."""
    async with asyncio.timeout(30):
        while not reached():  # noqa: ASYNC110  (what is waited for tells nobody)
            await asyncio.sleep(0)


class Peer:
    """One accepted connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """The next request's head and body; empty when the other side closed."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = re.search(rb"(?i)content-length: (\d+)", head)
        return head + await self.reader.readexactly(int(length[1]) if length else 0)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Closes with a RST instead of a FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def left(self) -> None:
        """Returns when the other side closed its end."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass


class Server:
    """Counts connections and requests; ``requests`` holds each one's bytes."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.open = 0
        self.requests: list[bytes] = []
        self.changed = asyncio.Condition()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Waits for a state of this server, for at most half a minute."""
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(reached)

    async def note(self) -> None:
        async with self.changed:
            self.changed.notify_all()


Script = Callable[[Peer, Server], Awaitable[None]]


@asynccontextmanager
async def serve(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Runs ``script`` for every connection; the connection is closed when it returns."""
    state = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        state.connections += 1
        state.open += 1
        await state.note()
        try:
            await script(Peer(reader, writer), state)
        except ConnectionError:
            pass
        finally:
            state.open -= 1
            writer.transport.abort() if writer.transport.is_closing() else writer.close()
            await state.note()
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    host, port = server.sockets[0].getsockname()
    state.url = f"{'http' if tls is None else 'https'}://{host}:{port}"
    try:
        yield state
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answering(*answers: bytes) -> Script:
    """Each connection answers request after request with the same bytes, then waits for more."""

    async def script(peer: Peer, server: Server) -> None:
        while request := await peer.request():
            server.requests.append(request)
            await server.note()
            for answer in answers:
                await peer.send(answer)

    return script


def once(answer: bytes, *, reset: bool = False) -> Script:
    """One request, these bytes, and the connection is closed: with a RST if ``reset``."""

    async def script(peer: Peer, server: Server) -> None:
        server.requests.append(await peer.request())
        await server.note()
        await peer.send(answer)
        if reset:
            peer.reset()

    return script


async def ask(
    transport: CoreTransport,
    url: str,
    connect_to: tuple[str, int] | None = None,
    on_sent: Callable[[], None] | None = None,
) -> Body:
    """``GET url`` as calls to a core are sent, at the address ``connect_to`` where one is given."""
    place = httpx.URL(url)
    message = b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (place.raw_path, place.netloc)
    origin = Origin.of(place, connect_to)
    return await transport.ask(origin, message, connect_s=5, pool_s=5, read_s=5, on_sent=on_sent)
