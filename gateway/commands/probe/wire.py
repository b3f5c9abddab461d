"""An HTTP/1.1 client that keeps what others hide: when each read came, and what was in it.

No client library will do: they join reads, undo codings and repeat requests. What is here reads one
answer on one connection, and closes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote, urlsplit

HEAD_LIMIT_BYTES = 64 * 1024


class Unreachable(Exception):
    """There is no answer; the message says why."""


class Place(NamedTuple):
    """Where the gateway is, as its clients know it; ``path`` is what its own paths follow."""

    host: str
    port: int
    tls: bool
    path: str

    @classmethod
    def of(cls, url: str) -> Place:
        """
        Raises:
            ValueError: it is not the address of an HTTP server.
        """
        parts = urlsplit(url if "://" in url else f"https://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"{url} is not the address of a gateway, such as https://kb.example.com"
            )
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("the address has more than a host, a port and a path")
        tls = parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
        # What a request line and a resolver can take: letters beyond ASCII have a spelling in it.
        host = parts.hostname.encode("idna").decode()
        return cls(host, port, tls, quote(parts.path, safe="/%:@!$&'()*+,;=~").rstrip("/"))

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class Piece(NamedTuple):
    """Content that one read brought, undone of its codings, and when, in the loop's seconds."""

    at_s: float
    content: bytes


@dataclass
class Answer:
    """One answer, its head read. ``ended`` tells how its content came to its end, once it has.

    Attributes:
        version: ``1.1``, as the nearest proxy says it.
        headers: names in lower case; values of one name are joined.
        asked_s, head_s: when the request went out and the head had come.
        ended: ``whole``, ``cut`` in the middle, or ``to the end of the connection``.
    """

    version: str
    status: int
    headers: Mapping[str, str]
    asked_s: float
    head_s: float
    tls_version: str | None
    ended: str | None = None
    _reader: asyncio.StreamReader = field(repr=False, kw_only=True)
    _writer: asyncio.StreamWriter = field(repr=False, kw_only=True)
    _rest: bytes = field(repr=False, kw_only=True)

    async def pieces(self) -> AsyncIterator[Piece]:
        """The content as it comes, read by read."""
        loop = asyncio.get_running_loop()
        chunks = _Chunks() if self._is_chunked else None
        coding = _Inflate() if self.headers.get("content-encoding") else None
        data, at_s = self._rest, self.head_s
        while True:
            if data:
                try:
                    content = chunks.take(data) if chunks else data
                except ValueError:
                    self.ended = "in a chunk that has no size"
                    return
                yield Piece(at_s, coding.take(content) if coding else content)
                if chunks is not None and chunks.over:
                    self.ended = "whole"
                    return
            try:
                data = await self._reader.read(1 << 16)
            except (ConnectionError, ssl.SSLError):
                self.ended = "cut"
                return
            at_s = loop.time()
            if not data:
                self.ended = "cut" if chunks else "to the end of the connection"
                return

    @property
    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("transfer-encoding", "")

    async def body(self, limit_bytes: int = 1 << 20) -> bytes:
        """All of it, of an answer that is short."""
        length = self.headers.get("content-length", "")
        needed = int(length) if length.isdigit() else None
        body = b""
        if needed == 0:
            return body
        async for piece in self.pieces():
            body += piece.content
            if len(body) > limit_bytes or (needed is not None and len(body) >= needed):
                break
        return body


@contextlib.asynccontextmanager
async def asking(
    place: Place,
    path: str,
    headers: Mapping[str, str],
    *,
    trust: ssl.SSLContext | None,
    timeout_s: float,
) -> AsyncIterator[Answer]:
    """A GET on a connection of its own, which is closed on the way out, whatever still comes.

    Raises:
        Unreachable: there was no head within ``timeout_s``, or nothing that is one.
    """
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await _connected(place, trust)
    except (OSError, ssl.SSLError, TimeoutError) as problem:
        raise Unreachable(f"{place.authority}: {_why(problem)}") from problem
    try:
        yield await _asked(place, path, headers, reader, writer, timeout_s)
    finally:
        # A client that leaves: nothing is read on, and the other side gets a FIN or a RST.
        writer.transport.abort()


async def _connected(
    place: Place, trust: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = trust if place.tls else None
    return await asyncio.open_connection(
        place.host, place.port, ssl=context, server_hostname=place.host if context else None
    )


async def _asked(
    place: Place,
    path: str,
    headers: Mapping[str, str],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    timeout_s: float,
) -> Answer:
    loop = asyncio.get_running_loop()
    lines = [f"GET {place.path}{path} HTTP/1.1", f"Host: {place.authority}"]
    lines += [f"{name}: {text}" for name, text in headers.items()]
    asked_s = loop.time()
    try:
        async with asyncio.timeout(timeout_s):
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
            head, rest = await _head(reader)
    except (OSError, ssl.SSLError, TimeoutError) as problem:
        raise Unreachable(f"{place.authority}: {_why(problem)}") from problem
    version, status, found = _read_head(head)
    tls = writer.get_extra_info("ssl_object")
    return Answer(
        version,
        status,
        found,
        asked_s,
        loop.time(),
        None if tls is None else tls.version(),
        _reader=reader,
        _writer=writer,
        _rest=rest,
    )


async def _head(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = await reader.read(1 << 16)
        if not piece:
            raise ConnectionResetError("closed without an answer")
        if len(data) > HEAD_LIMIT_BYTES:
            raise ConnectionResetError("the head of its answer does not end")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _read_head(head: bytes) -> tuple[str, int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not re.fullmatch("[0-9]{3}", words[1]):
        raise Unreachable("what came is not an HTTP answer")
    found: dict[str, str] = {}
    for line in lines:
        name, _, text = line.partition(":")
        name, text = name.strip().lower(), text.strip()
        found[name] = f"{found[name]}, {text}" if name in found else text
    return words[0].removeprefix("HTTP/"), int(words[1]), found


def _why(problem: BaseException) -> str:
    if isinstance(problem, TimeoutError):
        return "no answer in time"
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {problem.verify_message}"
    return str(problem) or type(problem).__name__


class _Chunks:
    """Undoes the chunked coding (RFC 9112, 7.1), in whatever pieces it comes."""

    def __init__(self) -> None:
        self._data = b""
        self._left = 0
        self.over = False

    def take(self, data: bytes) -> bytes:
        self._data += data
        found = []
        while not self.over:
            if self._left > 2:
                piece, self._data = self._data[: self._left - 2], self._data[self._left - 2 :]
                self._left -= len(piece)
                found.append(piece)
                if self._left > 2:
                    break
            elif self._left and len(self._data) >= self._left:
                self._data, self._left = self._data[self._left :], 0
            elif self._left or not self._next_size():
                break
        return b"".join(found)

    def _next_size(self) -> bool:
        line, found, rest = self._data.partition(b"\r\n")
        if not found:
            if len(line) > HEAD_LIMIT_BYTES:
                raise ValueError("the line of a chunk's size does not end")
            return False
        digits = line.partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", digits):
            raise ValueError("a chunk has no size")
        size = int(digits, 16)
        self._data, self.over = rest, size == 0
        self._left = size + 2  # with the line end behind it
        return True


class _Inflate:
    """Undoes gzip or deflate, as far as whoever packed it let it out."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def take(self, data: bytes) -> bytes:
        try:
            return self._inner.decompress(data)
        except zlib.error:
            return b""  # br, zstd: that it is there is said by the head
