"""One origin before several replicas, as a load balancer makes it: TLS ends here, and each request
goes to the next replica in turn."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

Address = tuple[str, int]

_CONNECTION = re.compile(rb"(?im)^connection:[^\r\n]*\r\n")


@dataclass
class OneOrigin:
    """Attributes: ``served`` has each request's first line, its replica and its whole head."""

    listener: socket.socket
    served: list[tuple[str, int, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        host, port = self.listener.getsockname()
        return f"https://{host}:{port}"

    def replicas_of(self, start: str) -> list[int]:
        """Who served the requests whose first line begins so."""
        return [replica for line, replica, _ in self.served if line.startswith(start)]

    def heads_of(self, start: str) -> list[str]:
        return [head for line, _, head in self.served if line.startswith(start)]

    @contextlib.asynccontextmanager
    async def before(self, replicas: Sequence[Address], tls: ssl.SSLContext) -> AsyncIterator[None]:
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    await self._pass_on(reader, writer, replicas)
            finally:
                tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(connected, sock=self.listener, ssl=tls)
        try:
            yield
        finally:
            server.close()
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        replicas: Sequence[Address],
    ) -> None:
        """One request a connection, so that the next one meets the next replica."""
        head = await reader.readuntil(b"\r\n\r\n")
        if b"upgrade: websocket" not in head.lower():
            head = _CONNECTION.sub(b"", head)[:-2] + b"Connection: close\r\n\r\n"
        replica = len(self.served) % len(replicas)
        line = head.partition(b"\r\n")[0].decode("latin-1")
        self.served.append((line, replica, head.decode("latin-1")))
        inner_reader, inner_writer = await asyncio.open_connection(*replicas[replica])
        inner_writer.write(head)
        asking = asyncio.create_task(_pump(reader, inner_writer))
        try:
            await _pump(inner_reader, writer)
        finally:
            asking.cancel()
            inner_writer.close()
            await asyncio.gather(asking, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


@contextlib.asynccontextmanager
async def pages_at(html: str, tls: ssl.SSLContext | None) -> AsyncIterator[str]:
    """Another origin, all of whose pages are this one."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            body = html.encode()
            head = (
                "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n"
            )
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{'http' if tls is None else 'https'}://{host}:{port}"
    finally:
        server.close()
