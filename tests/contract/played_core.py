"""A core that a test plays, over REST or over gRPC: real servers, behind a wire that can be cut.

A ``Script`` says what the core does with one call, in words that both protocols know; ``REST`` and
``GRPC`` (``played_grpc``) are the two ways to say it. What only one of them can do is tested with
that one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from gateway.adapters.core_calls import CoreTimeouts
from gateway.adapters.core_http import CoreHttp
from gateway.domain.balancing import Address, Balancer
from gateway.http_client.slots import Slots
from gateway.http_client.transport import CoreTransport

# Name, data, and the id where there is one.
Event = tuple[str, Any] | tuple[str, Any, str]
PATIENT = CoreTimeouts(connect_s=30, pool_s=30, head_s=30, call_s=30, check_s=30)
BODY_LIMIT_BYTES = 4 * 1024 * 1024
PATHS = {
    ("POST", "/v1/query"): "query",
    ("POST", "/v1/search"): "search",
    ("GET", "/v1/revision"): "revision",
    ("GET", "/v1/documents"): "list",
    ("GET", "/healthz"): "health",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a core was asked: ``body`` as the JSON that it is, or stands for."""

    call: str
    metadata: Mapping[str, str]
    body: Mapping[str, Any]


class Call(ABC):
    """One call that a script answers; ``asked`` is what was asked."""

    def __init__(self, asked: Asked, played: Played) -> None:
        self.asked = asked
        self.played = played

    @abstractmethod
    async def head(self, revision: str = "r.1") -> None:
        """Begins a streamed answer."""

    @abstractmethod
    async def send(self, *events: Event) -> None:
        """These events, in one piece; none: a sign of life."""

    @abstractmethod
    async def reply(self, answer: Mapping[str, Any], revision: str | None = None) -> None:
        """A whole answer."""

    @abstractmethod
    async def refuse(
        self, status: int, code: str | None = None, retry_after_s: int | None = None
    ) -> None:
        """An error, with the status that HTTP has for it."""

    async def left(self) -> None:
        """Until the caller left: then whoever is still here is cancelled."""
        await asyncio.Event().wait()

    async def cut(self) -> None:
        """The connection breaks; nothing more is said."""
        self.played.wire.cut()
        await asyncio.Event().wait()


Script = Callable[[Call], Awaitable[None]]


@dataclass
class Wire:
    """TCP before a server. ``connections`` counts all of them, ``open`` those that are."""

    target: int
    port: int = 0
    connections: int = 0
    # Cleared, nothing passes any more, and no side is told: the machine has vanished.
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def open(self) -> int:
        return len(self._tasks)

    def cut(self) -> None:
        """Resets every connection."""
        for writer in self._ends:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _connected(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        ends = {back}
        try:
            # A server that is gone, or a test that is over: the connection ends, and that is all.
            with contextlib.suppress(OSError, asyncio.CancelledError):
                far, forth = await asyncio.open_connection("127.0.0.1", self.target)
                ends.add(forth)
                self._ends |= ends
                await asyncio.gather(self._copy(near, forth), self._copy(far, back))
        finally:
            self._ends -= ends
            self._tasks.discard(task)
            for writer in ends:
                writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while block := await reader.read(65536):
                await self.flows.wait()
                writer.write(block)
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def wire_to(target: int) -> AsyncIterator[Wire]:
    wire = Wire(target)
    wire.flows.set()
    server = await asyncio.start_server(wire._connected, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        tasks = tuple(wire._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Played:
    """A running core: what it was asked, how many calls it still answers, the wire before it."""

    scheme: str
    script: Script
    # The server itself, where a test has to do with it.
    server: Any = None
    wire: Wire = field(init=False)
    asked: list[Asked] = field(default_factory=list)
    under_way: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.wire.port}"

    @property
    def address(self) -> Address:
        """As a look-up would tell it."""
        return Address(f"{self.scheme}://core.test:1", ("127.0.0.1", self.wire.port))

    @property
    def calls(self) -> list[str]:
        return [one.call for one in self.asked]

    async def answer(self, call: Call) -> None:
        self.asked.append(call.asked)
        self.under_way += 1
        try:
            await self.script(call)
        finally:
            self.under_way -= 1


class Protocol(ABC):
    """One of the two protocols: how a core is played, and the client that is tested."""

    name: str
    scheme: str

    @abstractmethod
    def playing(self, script: Script) -> AbstractAsyncContextManager[Played]:
        """A core that answers every call with ``script``."""

    @abstractmethod
    def client(
        self, cores: Sequence[str] | Balancer, **options: Any
    ) -> AbstractAsyncContextManager[tuple[Any, Slots]]:
        """The adapter, and the slots of its calls: none is taken when the block is left."""


# --- REST ----------------------------------------------------------------------------------------


class RestCall(Call):
    def __init__(self, request: web.Request, asked: Asked, played: Played) -> None:
        super().__init__(asked, played)
        self._request = request
        self.response: web.StreamResponse | None = None

    async def head(self, revision: str = "r.1") -> None:
        headers = {"Content-Type": "text/event-stream", "X-KB-Corpus-Revision": revision}
        self.response = web.StreamResponse(headers=headers)
        await self.response.prepare(self._request)

    async def send(self, *events: Event) -> None:
        if self.response is None:
            await self.head()
        assert self.response is not None
        await self.response.write(b"".join(map(sse, events)) or b":\n\n")

    async def reply(self, answer: Mapping[str, Any], revision: str | None = None) -> None:
        headers = {} if revision is None else {"X-KB-Corpus-Revision": revision}
        if self.asked.call == "delete":
            self.response = web.Response(status=204, headers=headers)
        else:
            self.response = web.json_response(answer, headers=headers)

    async def refuse(
        self, status: int, code: str | None = None, retry_after_s: int | None = None
    ) -> None:
        body = b"" if code is None else json.dumps(error_shape(code)).encode()
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        self.response = web.Response(status=status, body=body, headers=headers)


class Rest(Protocol):
    name, scheme = "rest", "http"

    @asynccontextmanager
    async def playing(self, script: Script) -> AsyncIterator[Played]:
        played = Played(self.scheme, script)

        async def handler(request: web.Request) -> web.StreamResponse:
            call = RestCall(request, await _asked(request), played)
            await played.answer(call)
            if call.response is None:
                await call.head()
            assert call.response is not None
            return call.response

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listener).start()
        try:
            async with wire_to(listener.getsockname()[1]) as played.wire:
                yield played
        finally:
            await runner.cleanup()

    @asynccontextmanager
    async def client(
        self, cores: Sequence[str] | Balancer, **options: Any
    ) -> AsyncIterator[tuple[CoreHttp, Slots]]:
        transport = CoreTransport(limit=options.pop("limit", 10))
        options = {"timeouts": PATIENT, "body_limit_bytes": BODY_LIMIT_BYTES, **options}
        async with aclosing(transport):
            yield CoreHttp(transport, cores, "s3cret", **options), transport.slots
            assert transport.slots.in_use == 0


REST = Rest()


async def _asked(request: web.Request) -> Asked:
    metadata = {name.lower(): value for name, value in request.headers.items()}
    name = PATHS.get((request.method, request.path))
    if name == "list":
        limit = {"limit": int(request.query["limit"])}
        return Asked("list", metadata, {**request.query, **limit})
    if name is None:
        name = "get" if request.method == "GET" else "delete"
        return Asked(name, metadata, {"document_id": request.path.rpartition("/")[2]})
    return Asked(name, metadata, await request.json() if request.method == "POST" else {})


def error_shape(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "upstream secret", "details": {}}}


def in_json(data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def sse(event: Event) -> bytes:
    """The bytes of it that a client is to get, whatever the core speaks."""
    name, data, *ids = event
    lines = [b"id: %b\n" % one.encode() for one in ids]
    if name:
        lines.append(b"event: %b\n" % name.encode())
    lines += [b"data: %b\n" % line for line in in_json(data).splitlines()]
    return b"".join(lines) + b"\n"
