"""httpx's API towards the core, over connections of our own.

What flows which way: an ``httpx.Request`` comes in with its timeouts in ``extensions``, goes out in
one write on a pooled connection, and comes back as an ``httpx.Response`` whose body is the raw
bytes as they arrive: pulled chunk by chunk, as httpx does, or pushed into a ``Sink``
(``Body.attach``), as the splice does. The body owns its slot and its connection and gives both back
exactly once: at its end, at an error, at ``aclose`` or when it is forgotten.

It keeps no cookies, follows no redirects, asks no environment for proxies, decompresses nothing
and repeats nothing: whether a call may be made twice is its caller's to know.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import httpx

from gateway.relay.client import ADDRESS, BODY, ON_SENT
from gateway.relay.connection import Connection
from gateway.relay.exchange import Exchange, Sink
from gateway.relay.pool import Origin, Pool
from gateway.relay.slots import Slot, Slots

MAX_IDLE = 256


class CoreTransport(httpx.AsyncBaseTransport):
    """A pool of connections of one event loop; make it where that loop runs.

    Args:
        limit: requests under way at once; more of them wait (``timeout.pool`` seconds each).
        keepalive_s: how long an idle connection is kept for the next request. Less than the
            server's own patience, so that it is seldom the server who closes first.
        tls: certificates to check (and to show) on ``https``; the system's when left out.
        read_buffer_bytes: what is read ahead of a pulling consumer: reading stops at twice as much.
    """

    def __init__(
        self,
        *,
        limit: int = 1000,
        keepalive_s: float = 4.0,
        tls: ssl.SSLContext | None = None,
        read_buffer_bytes: int = 64 * 1024,
    ) -> None:
        self.slots = Slots(limit)
        self._pool = Pool(keepalive_s=keepalive_s, max_idle=min(limit, MAX_IDLE), tls=tls)
        self._read_buffer_bytes = read_buffer_bytes

    @property
    def idle_connections(self) -> int:
        return self._pool.idle_count

    @property
    def open_connections(self) -> int:
        return self._pool.open_count

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends the request; the response's head is in, its body is not.

        Raises:
            httpx.PoolTimeout, ConnectError, ConnectTimeout, ReadError, ReadTimeout,
            RemoteProtocolError: with httpx's own meanings. After a ``Connect…`` or a
            ``PoolTimeout`` nothing was sent.
        """
        timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        message = await _message(request)
        slot = await self._acquire(request, timeouts.get("pool"))
        try:
            connection = await self._connection(request, timeouts.get("connect"))
            exchange = Exchange(request, slot, self._read_buffer_bytes)
        except BaseException:
            slot.release()
            raise
        body = Body(exchange, timeouts.get("read"))
        try:
            await _send(connection, exchange, message, timeouts.get("read"))
        except BaseException:
            exchange.close()
            raise
        return httpx.Response(
            status_code=exchange.status,
            headers=exchange.headers,
            stream=body,
            extensions={"reason_phrase": exchange.reason, "http_version": b"HTTP/1.1", BODY: body},
        )

    async def aclose(self) -> None:
        self._pool.close()

    async def _acquire(self, request: httpx.Request, timeout_s: float | None) -> Slot:
        try:
            return await self.slots.acquire(timeout_s)
        except TimeoutError as exc:
            raise httpx.PoolTimeout("no slot came free in time", request=request) from exc

    async def _connection(self, request: httpx.Request, timeout_s: float | None) -> Connection:
        if request.url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol("http or https", request=request)
        origin = Origin.of(request.url, request.extensions.get(ADDRESS))
        kept = self._pool.take(origin)
        if kept is not None:
            return kept
        try:
            async with asyncio.timeout(timeout_s):
                return await self._pool.connect(origin)
        except TimeoutError as exc:
            raise httpx.ConnectTimeout("no connection in time", request=request) from exc
        except OSError as exc:
            raise httpx.ConnectError(type(exc).__name__, request=request) from exc


async def _message(request: httpx.Request) -> bytes:
    """The whole request: bodies to the core are small JSON, sent in one write with their head."""
    assert isinstance(request.stream, httpx.AsyncByteStream)
    body = b"".join([part async for part in request.stream])
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    if body and "content-length" not in request.headers:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def _send(
    connection: Connection, exchange: Exchange, message: bytes, timeout_s: float | None
) -> None:
    connection.send(exchange, message)
    on_sent = exchange.request.extensions.get(ON_SENT)
    if on_sent is not None:
        on_sent()
    try:
        async with asyncio.timeout(timeout_s):
            await exchange.head
    except TimeoutError as exc:
        raise httpx.ReadTimeout("no head in time", request=exchange.request) from exc


class Body(httpx.AsyncByteStream):
    """A response's body, pulled or pushed. Forgetting it closes it."""

    def __init__(self, exchange: Exchange, timeout_s: float | None) -> None:
        self._exchange = exchange
        self._timeout_s = timeout_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises ``ReadError``, ``ReadTimeout`` or ``RemoteProtocolError`` (cut short)."""
        try:
            while chunk := await self._exchange.read(self._timeout_s):
                yield chunk
        except TimeoutError as exc:
            request = self._exchange.request
            raise httpx.ReadTimeout("the peer fell silent", request=request) from exc
        finally:
            self._exchange.close()

    def attach(self, sink: Sink) -> None:
        """Pushes the rest of the body into ``sink``; nothing is pulled any more."""
        self._exchange.attach(sink)

    def pause(self) -> None:
        self._exchange.pause()

    def resume(self) -> None:
        self._exchange.resume()

    async def aclose(self) -> None:
        self._exchange.close()

    def __del__(self) -> None:
        # The connection holds the exchange and the loop the connection, so only this object can
        # be forgotten; then nobody is left to take the rest.
        self._exchange.forgotten()
