"""Requests to a core and their answers, over connections of our own; with httpx's API on top.

What flows which way: a whole request goes out in one write on a pooled connection (``ask``) and
comes back as a ``Body``: status and headers, and the raw bytes as they arrive: pulled chunk by
chunk, read whole, or pushed into a ``Sink`` (``attach``), as the relay does. The body owns its
slot and its connection and gives both back exactly once: at its end, at an error, at ``close`` or
when it is forgotten.

``ask`` is what the gateway's own traffic takes. Building httpx's requests, responses and headers
costs five times what the call itself does, and a kilobyte for each open stream; ``CoreTransport``
is an ``httpx.AsyncBaseTransport`` all the same, for whoever has no such traffic, and for tests.

It keeps no cookies, follows no redirects, asks no environment for proxies, decompresses nothing
and repeats nothing: whether a call may be made twice is its caller's to know.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable

import httpx

from gateway.http_client.connection import Connection
from gateway.http_client.exchange import Exchange
from gateway.http_client.pool import Origin, Pool
from gateway.http_client.sink import Sink
from gateway.http_client.slots import Slot, Slots

MAX_IDLE = 256


class CoreTransport(httpx.AsyncBaseTransport):
    """A pool of connections of one event loop; make it where that loop runs.

    Args:
        limit: requests under way at once; more of them wait (``timeout.pool`` seconds each).
        keepalive_s: how long an idle connection is kept for the next request. Less than the
            server's own patience, so that it is seldom the server who closes first.
        tls: asked at each ``https`` connection for the certificates to check (and to show); the
            system's when left out.
        read_buffer_bytes: what is read ahead of a pulling consumer: reading stops at twice as much.
    """

    def __init__(
        self,
        *,
        limit: int = 1000,
        keepalive_s: float = 4.0,
        tls: Callable[[], ssl.SSLContext] | None = None,
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

    async def ask(
        self,
        origin: Origin,
        message: bytes,
        *,
        connect_s: float | None = None,
        pool_s: float | None = None,
        read_s: float | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> Body:
        """Sends ``message``, a whole request; the answer's head is in, its body is not.

        Args:
            connect_s, pool_s: how long to wait for a new connection, and before that for a slot.
            read_s: how long each silence of the answer may be. ``None`` of these three: for ever.
            on_sent: called once the connection stands and the request went out.

        Raises:
            httpx.PoolTimeout, ConnectError, ConnectTimeout, ReadError, ReadTimeout,
            RemoteProtocolError: with httpx's own meanings. After a ``Connect…`` or a
            ``PoolTimeout`` nothing was sent.
        """
        slot = self.slots.take() or await self._wait_for_slot(pool_s)
        try:
            connection = self._pool.take(origin) or await self._connect(origin, connect_s)
            exchange = Exchange(slot, self._read_buffer_bytes)
        except BaseException:
            slot.release()
            raise
        try:
            connection.send(exchange, message)
            if on_sent is not None:
                on_sent()
            await exchange.headed(read_s)
        except TimeoutError as exc:
            exchange.close()
            raise httpx.ReadTimeout("no head in time") from exc
        except BaseException:
            exchange.close()
            raise
        return Body(exchange, read_s)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """``ask`` for an ``httpx.AsyncClient``, as that of the policy server."""
        if request.url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol("http or https")
        timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        body = await self.ask(
            Origin.of(request.url),
            await _message(request),
            connect_s=timeouts.get("connect"),
            pool_s=timeouts.get("pool"),
            read_s=timeouts.get("read"),
        )
        return httpx.Response(
            status_code=body.status,
            headers=body.headers,
            stream=body,
            extensions={"reason_phrase": body.reason, "http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        self._pool.close()

    async def _wait_for_slot(self, timeout_s: float | None) -> Slot:
        try:
            return await self.slots.acquire(timeout_s)
        except TimeoutError as exc:
            raise httpx.PoolTimeout("no slot came free in time") from exc

    async def _connect(self, origin: Origin, timeout_s: float | None) -> Connection:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._pool.connect(origin)
        except TimeoutError as exc:
            raise httpx.ConnectTimeout("no connection in time") from exc
        except OSError as exc:
            raise httpx.ConnectError(type(exc).__name__) from exc


async def _message(request: httpx.Request) -> bytes:
    """The whole request: bodies to the core are small JSON, sent in one write with their head."""
    assert isinstance(request.stream, httpx.AsyncByteStream)
    body = b"".join([part async for part in request.stream])
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    if body and "content-length" not in request.headers:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Body(httpx.AsyncByteStream):
    """An answer: its head, and its body pulled, read whole or pushed. Forgetting it closes it."""

    __slots__ = ("_exchange", "_timeout_s")

    def __init__(self, exchange: Exchange, timeout_s: float | None) -> None:
        self._exchange = exchange
        self._timeout_s = timeout_s

    @property
    def status(self) -> int:
        return self._exchange.status

    @property
    def reason(self) -> bytes:
        return self._exchange.reason

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """As they came, in their order; empty once a sink is attached."""
        return self._exchange.headers

    def header(self, name: bytes) -> str | None:
        """A header's value by its name in lower case; several are joined as RFC 9110, 5.3 says."""
        values = [value for key, value in self._exchange.headers if key.lower() == name]
        return b", ".join(values).decode("latin-1").strip() if values else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises ``ReadError``, ``ReadTimeout`` or ``RemoteProtocolError`` (cut short)."""
        try:
            while chunk := await self._read():
                yield chunk
        finally:
            self._exchange.close()

    async def whole(self, limit_bytes: int) -> bytes | None:
        """All of the body; ``None`` where it is longer than ``limit_bytes``. Raises as iterating.

        To be closed by the caller where it did not come to its end.
        """
        found = await self._read()
        while chunk := await self._read():
            found += chunk
            if len(found) > limit_bytes:
                return None
        return found if len(found) <= limit_bytes else None

    async def _read(self) -> bytes:
        try:
            return await self._exchange.read(self._timeout_s)
        except TimeoutError as exc:
            raise httpx.ReadTimeout("the peer fell silent") from exc

    def attach(self, sink: Sink) -> None:
        """Pushes the rest of the body into ``sink``; nothing is pulled any more."""
        self._exchange.attach(sink)

    def pause(self) -> None:
        self._exchange.pause()

    def resume(self) -> None:
        self._exchange.resume()

    def close(self) -> None:
        """Nobody wants the rest; safe to call at any time."""
        self._exchange.close()

    async def aclose(self) -> None:
        self._exchange.close()

    def __del__(self) -> None:
        # The connection holds the exchange and the loop the connection, so only this object can
        # be forgotten; then nobody is left to take the rest.
        self._exchange.forgotten()
