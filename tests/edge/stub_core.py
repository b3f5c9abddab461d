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
        self.bodies: list[bytes] = []
        self.asked = asyncio.Event()  # a query's script has begun
        self.closed = asyncio.Event()  # a query's connection is over
        self.url = ""
        self.healthy = True

    async def answer_well(
        self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(STREAM_HEAD + chunk(META) + chunk(TOKEN) + chunk(DONE) + END)

    def sends(self, *parts: bytes) -> None:
        """Each following query is answered with these bytes and a close."""

        async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"".join(parts))

        self.script = script

    def holds(self, *parts: bytes, then: bytes = b"") -> asyncio.Event:
        """Sends these bytes and no more until the event is set; the other side may leave before.

        ``then`` is what each answer ends with.
        """
        go_on = asyncio.Event()

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"".join(parts))
            await writer.drain()
            gone = asyncio.ensure_future(reader.read())
            waiting = asyncio.ensure_future(go_on.wait())
            await asyncio.wait({gone, waiting}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            waiting.cancel()
            writer.write(then)

        self.asked.clear()
        self.closed.clear()
        self.script = script
        return go_on

    def headers_of_query(self) -> dict[str, str]:
        return self.headers_of("POST /v1/query ")

    def headers_of(self, request_line: str) -> dict[str, str]:
        """The head of the last request that begins so, names in lower case."""
        head = next(head for head in reversed(self.heads) if head.startswith(request_line))
        lines = head.strip().split("\r\n")[1:]
        pairs = [line.split(": ", 1) for line in lines]
        assert len({name.lower() for name, _ in pairs}) == len(pairs)
        return {name.lower(): value for name, value in pairs}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(_content_length(head)))
                if head.startswith("GET /healthz"):
                    status = b"200 OK" if self.healthy else b"500 Ill"
                    writer.write(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % status)
                    continue
                self.asked.set()
                await self.script(reader, writer)
                await writer.drain()
                return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The test is over; asyncio would log a cancelled handler as an error.
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
