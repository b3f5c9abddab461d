"""HTTP/2 by hand, for clients of gRPC that no library would be: frames as bytes (RFC 9113)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from .raw import TIMEOUT_S, Where

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW = 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def hello(window_bytes: int = 65_535) -> bytes:
    """The preface, and how much of each answer the client takes."""
    return PREFACE + frame(SETTINGS, 0, 0, INITIAL_WINDOW.to_bytes(2) + window_bytes.to_bytes(4))


def call(stream: int, path: str, message: bytes, metadata: Mapping[bytes, bytes]) -> bytes:
    """A whole call of one message."""
    return head(stream, path, metadata) + frame(
        DATA, END_STREAM, stream, b"\0" + len(message).to_bytes(4) + message
    )


def head(stream: int, path: str, metadata: Mapping[bytes, bytes]) -> bytes:
    """A call that is to send its message."""
    fields = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path.encode(errors="surrogateescape"),
        b":authority": b"gateway",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
        **metadata,
    }
    block = b"".join(_literal(name, text) for name, text in fields.items())
    return frame(HEADERS, END_HEADERS, stream, block)


def _literal(name: bytes, text: bytes) -> bytes:
    """A field that is in no table (RFC 7541, 6.2.2)."""
    return b"\0" + _string(name) + _string(text)


def _string(text: bytes) -> bytes:
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    size, digits = size - 127, bytearray((127,))
    while size >= 0x80:
        digits.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes((*digits, size)) + text


@dataclass
class Http2:
    """A connection; pings and settings are answered while it is read."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read(self, kind: int) -> tuple[int, bytes]:
        """Stream and payload of the next frame of this kind.

        Raises:
            EOFError: the connection is over.
        """
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                found, flags, stream, payload = await self._frame()
                if found in (PING, SETTINGS) and not flags & ACK:
                    self.writer.write(frame(found, ACK, 0, payload if found == PING else b""))
                if found == kind:
                    return stream, payload

    async def until_over(self) -> None:
        """Until the other side has ended the connection."""
        with contextlib.suppress(EOFError):
            while True:
                await self.read(-1)

    async def _frame(self) -> tuple[int, int, int, bytes]:
        try:
            begin = await self.reader.readexactly(9)
            payload = await self.reader.readexactly(int.from_bytes(begin[:3]))
        except (asyncio.IncompleteReadError, ConnectionError) as over:
            raise EOFError from over
        return begin[3], begin[4], int.from_bytes(begin[5:]), payload


@contextlib.asynccontextmanager
async def connected(where: Where, begin: bytes = b"") -> AsyncIterator[Http2]:
    """A connection to the gRPC listener, on which ``begin`` was sent."""
    reader, writer = await asyncio.open_connection(where.address[0], where.grpc_port)
    writer.write(begin)
    try:
        yield Http2(reader, writer)
    finally:
        writer.transport.abort()
