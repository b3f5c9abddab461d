"""A core on a real socket that says exactly what a test tells it to, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
META = b'event: meta\ndata: {"query_id":"q-1","model":"stub"}\n\n'
TOKEN = b'event: token\ndata: {"text":"hello"}\n\n'
DONE = b'event: done\ndata: {"finish_reason":"stop"}\n\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"


class StubCore:
    """Answers ``/v1/query`` with ``script``; remembers the heads it was sent."""

    def __init__(self) -> None:
        self.script: Script = self.answer_well
        self.heads: list[str] = []
        self.closed = asyncio.Event()
        self.url = ""

    async def answer_well(
        self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(STREAM_HEAD + chunk(META) + chunk(TOKEN) + chunk(DONE) + END)

    def sends(self, *parts: bytes) -> None:
        """Each following query is answered with these bytes and a close."""

        async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"".join(parts))

        self.script = script

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                await reader.readexactly(_content_length(head))
                if head.startswith("GET /healthz"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                    continue
                await self.script(reader, writer)
                await writer.drain()
                return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.closed.set()
            with contextlib.suppress(ConnectionError):
                writer.close()


def _content_length(head: str) -> int:
    for line in head.split("\r\n"):
        name, _, text = line.partition(":")
        if name.lower() == "content-length":
            return int(text)
    return 0


@contextlib.asynccontextmanager
async def stub_core() -> AsyncIterator[StubCore]:
    core = StubCore()
    server = await asyncio.start_server(core._serve, "127.0.0.1", 0)
    core.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield core
    finally:
        server.close()
