"""Sockets of the gateway under test, by the ``websockets`` client and by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from .conftest import Gateway
from .raw import TIMEOUT_S, Where, request

SILENT = logging.getLogger("tests.sockets")
SILENT.setLevel(logging.CRITICAL)
PATH = "/api/v1/query/ws"
V1 = "kbg.v1"


@dataclass
class Socket:
    """One client's end."""

    of: ClientConnection

    async def say(self, **message: Any) -> None:
        await self.of.send(json.dumps(message))

    async def ask(self, question_id: str = "1", query: str = "hi", **fields: Any) -> None:
        await self.say(type="ask", id=question_id, query=query, **fields)

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(TIMEOUT_S):
            message = json.loads(await self.of.recv())
        assert message.keys() == {"id", "event", "data"}, message
        return dict(message)

    async def answer(self, question_id: str = "1") -> list[dict[str, Any]]:
        """All that is told of one question, where no other is open."""
        told = [await self.next()]
        while told[-1]["event"] not in ("done", "error", "answer", "cancelled"):
            told.append(await self.next())
        assert {message["id"] for message in told} == {question_id}
        return told

    async def error(self, question_id: str = "1") -> dict[str, Any]:
        """The error that a question ends with."""
        last = (await self.answer(question_id))[-1]
        assert last["event"] == "error", last
        return dict(last["data"]["error"])

    async def closed(self) -> tuple[int, str]:
        """Waits for the gateway's close; what still comes before is dropped."""
        async with asyncio.timeout(TIMEOUT_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.of.recv()
        assert self.of.close_code is not None
        return self.of.close_code, self.of.close_reason or ""


@contextlib.asynccontextmanager
async def opened(
    gateway: Where,
    headers: dict[str, str] | None = None,
    subprotocols: list[str] | None = None,
    path: str = PATH,
    **options: Any,
) -> AsyncIterator[Socket]:
    """A socket with these headers in its upgrade; nobody is signed in without any."""
    scheme = "ws" if gateway.trust is None else "wss"
    url = f"{scheme}://{gateway.address[0]}:{gateway.address[1]}{path}"
    async with connect(
        url,
        additional_headers=headers,
        subprotocols=[V1] if subprotocols is None else subprotocols,  # type: ignore[list-item]
        ssl=gateway.trust,
        proxy=None,
        open_timeout=TIMEOUT_S,
        ping_interval=None,
        logger=SILENT,
        **options,
    ) as connection:
        yield Socket(connection)


@contextlib.asynccontextmanager
async def signed_in(
    gateway: Gateway, username: str = "alice", **options: Any
) -> AsyncIterator[Socket]:
    async with opened(gateway, await gateway.bearer(username), **options) as socket:
        yield socket


# --- by hand ------------------------------------------------------------------------------------

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455's own example
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": V1,
}


class Op(IntEnum):
    """What a frame is (RFC 6455, 11.8)."""

    CONTINUED = 0
    TEXT = 1
    BINARY = 2
    CLOSING = 8
    PING = 9
    PONG = 10


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, masked: bool = True) -> bytes:
    """One frame of a client; the mask is zero, so that its bytes can be read in a failure."""
    first, mask = (0x80 if fin else 0) | opcode, 0x80 if masked else 0
    if len(data) < 126:
        head = bytes((first, mask | len(data)))
    elif len(data) < 1 << 16:
        head = bytes((first, mask | 126)) + len(data).to_bytes(2, "big")
    else:
        head = bytes((first, mask | 127)) + len(data).to_bytes(8, "big")
    return head + (bytes(4) if masked else b"") + data


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(Op.CLOSING, code.to_bytes(2, "big") + reason.encode())


@dataclass
class RawSocket:
    """A socket whose client can say anything."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def say(self, **message: Any) -> None:
        self.send(frame(Op.TEXT, json.dumps(message).encode()))

    async def next(self) -> tuple[int, bytes]:
        """The next frame: its opcode and its data. A server's are whole and not masked."""
        async with asyncio.timeout(TIMEOUT_S):
            first, size = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80, first
            assert size < 0x80, "a server's frame is not masked"
            if size > 125:
                wide = await self.reader.readexactly(2 if size == 126 else 8)
                size = int.from_bytes(wide, "big")
            return first & 0x0F, await self.reader.readexactly(size)

    async def closed(self) -> tuple[int, str]:
        """The gateway's close frame, whatever came before it."""
        while True:
            opcode, data = await self.next()
            if opcode == Op.CLOSING:
                return int.from_bytes(data[:2], "big"), data[2:].decode()

    async def gone(self) -> bytes:
        """What is left on the connection until it ends, by a FIN or a RST."""
        left = b""
        async with asyncio.timeout(TIMEOUT_S):
            with contextlib.suppress(ConnectionError):
                while piece := await self.reader.read(1 << 16):
                    left += piece
        return left


@contextlib.asynccontextmanager
async def by_hand(gateway: Gateway, **headers: str) -> AsyncIterator[RawSocket]:
    """An upgraded connection of alice's."""
    reader, writer = await asyncio.open_connection(*gateway.address, ssl=gateway.trust)
    given = headers or await gateway.bearer()
    try:
        writer.write(request("GET", PATH, {**UPGRADE, **given}))
        async with asyncio.timeout(TIMEOUT_S):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield RawSocket(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
