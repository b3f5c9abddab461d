"""httpx's API towards the core, over aiohttp's client.

What flows which way: an ``httpx.Request`` comes in with its timeouts in ``extensions``, goes out
through an aiohttp session, and comes back as an ``httpx.Response`` whose body is the raw bytes as
they arrive. ``CoreTransport`` holds the session and the slots; ``_Body`` owns one response's slot
and connection and gives both back exactly once: at the body's end, at an error or at ``aclose``.

It keeps no cookies, follows no redirects, asks no environment for proxies, decompresses nothing
and repeats nothing: whether a call may be made twice is its caller's to know.
"""

from __future__ import annotations

import asyncio
import ssl
import types
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from gateway.relay.client import ON_SENT
from gateway.relay.slots import Slot, Slots

_NO_AUTOMATIC_HEADERS = frozenset({"Accept", "Accept-Encoding", "User-Agent", "Content-Type"})


class CoreTransport(httpx.AsyncBaseTransport):
    """A pool of connections of one event loop; make it where that loop runs.

    Args:
        limit: requests under way at once; more of them wait (``timeout.pool`` seconds each).
        keepalive_s: how long an idle connection is kept for the next request. Less than the
            server's own patience, so that it is seldom the server who closes first.
        tls: certificates to check (and to show) on ``https``; the system's when left out.
        read_buffer_bytes: what is read ahead of the consumer: reading stops at twice as much.
    """

    def __init__(
        self,
        *,
        limit: int = 1000,
        keepalive_s: float = 4.0,
        tls: ssl.SSLContext | None = None,
        read_buffer_bytes: int = 64 * 1024,
        dns_cache_s: int = 10,
    ) -> None:
        self.slots = Slots(limit)
        self._read_buffer_bytes = read_buffer_bytes
        self._connector = aiohttp.TCPConnector(
            limit=0,  # counted by ``slots``
            keepalive_timeout=keepalive_s,
            ssl=tls if tls is not None else True,
            ttl_dns_cache=dns_cache_s,
        )
        self._session = self._make_session()

    def _make_session(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_tell_sent)
        session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=_NO_AUTOMATIC_HEADERS,
            trace_configs=[trace],
            read_bufsize=self._read_buffer_bytes,
        )
        # aiohttp sends an idempotent request again when the first connection broke, on any
        # connection and without a word. Here the caller decides, and can choose another address.
        session._retry_connection = False
        return session

    @property
    def idle_connections(self) -> int:
        return sum(len(idle) for idle in self._connector._conns.values())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends the request; the response's head is in, its body is not.

        Raises:
            httpx.PoolTimeout, ConnectError, ConnectTimeout, ReadError, ReadTimeout, WriteError,
            RemoteProtocolError: with httpx's own meanings. After a ``Connect…`` or a
            ``PoolTimeout`` nothing was sent.
        """
        timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        body = await _whole_body(request)
        slot = await self._acquire(request, timeouts.get("pool"))
        try:
            response = await self._send(request, body, timeouts)
        except BaseException:
            slot.release()
            raise
        return httpx.Response(
            status_code=response.status,
            headers=response.raw_headers,
            stream=_Body(response, slot, request),
            extensions={"reason_phrase": (response.reason or "").encode("latin-1", "replace")},
        )

    async def aclose(self) -> None:
        await self._session.close()

    async def _acquire(self, request: httpx.Request, timeout_s: float | None) -> Slot:
        try:
            return await self.slots.acquire(timeout_s)
        except TimeoutError as exc:
            raise httpx.PoolTimeout("no slot came free in time", request=request) from exc

    async def _send(
        self, request: httpx.Request, body: bytes, timeouts: dict[str, float | None]
    ) -> aiohttp.ClientResponse:
        context = _Sending(request.extensions.get(ON_SENT))
        try:
            return await self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                data=body or None,
                headers=[
                    (name.decode("ascii"), value.decode("ascii"))
                    for name, value in request.headers.raw
                ],
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, connect=timeouts.get("connect"), sock_read=timeouts.get("read")
                ),
                trace_request_ctx=context,
            )
        except (aiohttp.ClientError, OSError) as exc:
            _raise_for_head(exc, context, request)


class _Sending:
    """Notes that a request's head went out, and tells who asked to know."""

    __slots__ = ("on_sent", "sent")

    def __init__(self, on_sent: Callable[[], None] | None) -> None:
        self.on_sent = on_sent
        self.sent = False


async def _tell_sent(
    session: aiohttp.ClientSession, context: types.SimpleNamespace, params: Any
) -> None:
    sending: _Sending = context.trace_request_ctx
    sending.sent = True
    if sending.on_sent is not None:
        sending.on_sent()


async def _whole_body(request: httpx.Request) -> bytes:
    """Requests to the core are small JSON: sent in one piece, so nothing is left half sent."""
    assert isinstance(request.stream, httpx.AsyncByteStream)
    return b"".join([part async for part in request.stream])


def _raise_for_head(
    exc: aiohttp.ClientError | OSError, sending: _Sending, request: httpx.Request
) -> NoReturn:
    """aiohttp's failures before the response's head, in httpx's words."""
    kind: type[httpx.TransportError]
    match exc:
        case aiohttp.ConnectionTimeoutError():
            kind = httpx.ConnectTimeout
        case aiohttp.SocketTimeoutError():
            kind = httpx.ReadTimeout
        case aiohttp.ClientConnectorError() | aiohttp.ClientSSLError():
            kind = httpx.ConnectError
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            kind = httpx.UnsupportedProtocol
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            kind = httpx.RemoteProtocolError
        case _:
            # Refused, reset, hung up. Where the head had not gone out, nothing was sent.
            kind = httpx.ReadError if sending.sent else httpx.ConnectError
    raise kind(type(exc).__name__, request=request) from exc


class _Body(httpx.AsyncByteStream):
    """A response's body: raw bytes as they come. Owns the slot and the connection."""

    def __init__(
        self, response: aiohttp.ClientResponse, slot: Slot, request: httpx.Request
    ) -> None:
        self._response = response
        self._slot = slot
        self._request = request
        connection = response.connection
        # Kept because aiohttp forgets it at the body's end, and it alone knows of a reset then.
        self._protocol = connection.protocol if connection is not None else None
        self._closed = self._protocol.closed if self._protocol is not None else None
        if self._closed is not None:
            self._closed.add_done_callback(self._on_closed)
            self._closed.remove_done_callback(_heard)
            self._closed.add_done_callback(_heard)
        elif self._protocol is not None:
            self._on_closed(None)

    def _on_closed(self, _: object) -> None:
        """The connection is gone. A body that has not heard of it would be waited for for ever:
        after framing gone wrong in its middle, aiohttp closes and tells the body nothing."""
        content = self._response.content
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the framing went wrong"))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises ``ReadError``, ``ReadTimeout`` or ``RemoteProtocolError`` (cut short)."""
        try:
            while chunk := await self._read():
                yield chunk
        finally:
            self._close()

    async def _read(self) -> bytes:
        content = self._response.content
        try:
            chunk = await content.readany()
        except (aiohttp.ClientError, HttpProcessingError, OSError) as exc:
            # aiohttp raises before it hands out what came ahead of the failure. Those bytes are
            # the peer's word too: an answer's end may be among them. The next read raises again.
            if content._buffer:
                return content._read_nowait(-1)
            self._raise_for_body(exc)
        if not chunk and self._was_reset():
            # A body with no length ends with the connection: a reset is no such end.
            raise httpx.ReadError("reset", request=self._request)
        return chunk

    def _raise_for_body(self, exc: Exception) -> NoReturn:
        """aiohttp's failures in a body, in httpx's words."""
        if isinstance(exc, aiohttp.SocketTimeoutError):
            raise httpx.ReadTimeout("the peer fell silent", request=self._request) from exc
        malformed = isinstance(exc, aiohttp.ClientPayloadError | HttpProcessingError)
        if malformed and not self._was_reset():
            raise httpx.RemoteProtocolError("cut short", request=self._request) from exc
        raise httpx.ReadError(type(exc).__name__, request=self._request) from exc

    def _was_reset(self) -> bool:
        return self._protocol is not None and isinstance(self._protocol.exception(), OSError)

    async def aclose(self) -> None:
        self._close()

    def _close(self) -> None:
        """Synchronous, so that no cancellation can come between. Closes unless all was read."""
        if self._closed is not None:
            self._closed.remove_done_callback(self._on_closed)
        self._response.close()
        self._slot.release()


def _heard(closed: asyncio.Future[None]) -> None:
    """A connection reset while idle is no news for anybody: without this, asyncio logs it."""
    if not closed.cancelled():
        closed.exception()
