"""The wire, guarded below Sanic: its connection and its reading of requests, replaced.

Bare Sanic takes heads and bodies that RFC 9112 calls invalid, gives a slow client for ever, and
takes a half-closed connection for a client that left. ``GuardedHttp`` reads heads and chunked
bodies by ``domain/wire.py`` instead, ``GuardedProtocol`` keeps the caps and the deadlines of
``connections.py``. Answering, routing, handlers and middleware stay Sanic's.

This is the one file on a request's way in that knows Sanic's inside. ``check_shape`` looks at
start-up whether Sanic still has the shape it was written for; a server that was started without
``GuardedProtocol`` answers nothing but 500 (``install``).
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from typing import Any

import sanic
from sanic import Request, Sanic
from sanic.compat import Header
from sanic.exceptions import BadRequest, PayloadTooLarge, RequestTimeout, ServiceUnavailable
from sanic.headers import format_http1_response
from sanic.helpers import has_message_body
from sanic.http import Http
from sanic.http.constants import Stage
from sanic.http.http1 import HTTP_CONTINUE
from sanic.response import BaseHTTPResponse
from sanic.server.protocols.http_protocol import HttpProtocol

from gateway.domain.wire import ChunkedBody, Head, end_of_head, read_head
from gateway.edge.body_limit import LINGER_BYTES
from gateway.edge.connections import LINGER_S, Connections, Limits, TurnedAway
from gateway.edge.peer import Network, client_ip, plain_address
from gateway.errors import InternalError, MalformedRequest, Overloaded

EVENT_STREAM = "text/event-stream"


class GuardedHttp(Http):  # type: ignore[misc]
    """Sanic's reading of requests with the heads and the chunked bodies read by our rules."""

    __slots__ = ("_chunks", "refused")

    def __init__(self, protocol: GuardedProtocol) -> None:
        super().__init__(protocol)
        # Set once a request was refused at the wire: nothing behind it is read as a request.
        self.refused = False

    def init_for_request(self) -> None:
        """Sanic calls this before it waits for a request; the one before is over."""
        super().init_for_request()
        self.protocol.request_over()

    async def http1(self) -> None:
        await super().http1()
        if self.refused:
            await self.protocol.linger()

    async def http1_request_header(self) -> None:
        """Replaces Sanic's, whose signals ``http.lifecycle.read_head`` and ``.request`` go out."""
        self.protocol.begin_stage()
        head_bytes = await self._head()
        head = read_head(head_bytes)
        request = self._make_request(head, head_bytes)
        self.keep_alive = head.keep_alive
        self.head_only = head.method == "HEAD"
        self.url = head.target
        self._expect_body(head)
        if head.version == "1.0":
            self.response_func = self._close_delimited_head
        del self.recv_buffer[: len(head_bytes) + 4]
        self.request, request.stream = request, self
        self.protocol.state["requests_count"] += 1
        self.protocol.request_begins(request)

    async def _head(self) -> bytes:
        """Waits for a whole head; what can never become one is refused at once."""
        buffer = self.recv_buffer
        looked_at = 0
        skipped = False
        while True:
            # RFC 9112, 2.2: one empty line before a request is forgiven.
            if not skipped and buffer[:2] == b"\r\n":
                del buffer[:2]
                skipped, looked_at = True, 0
            end = end_of_head(buffer, looked_at)
            if end is not None:
                return bytes(buffer[:end])
            looked_at = len(buffer)
            await self._receive_more()

    def _make_request(self, head: Head, head_bytes: bytes) -> Request:
        protocol = self.protocol
        request = protocol.request_class(
            url_bytes=head.target.encode("ascii"),
            headers=Header(head.fields),
            head=head_bytes,
            version=head.version,
            method=head.method,
            transport=protocol.transport,
            app=protocol.app,
        )
        protocol.request_class._current.set(request)
        request.conn_info = protocol.conn_info
        return request

    def _expect_body(self, head: Head) -> None:
        self.request_bytes_left = self.request_bytes = head.length or 0
        self.expecting_continue = head.expects_continue and bool(head.length or head.chunked)
        if head.chunked:
            self.request_body = "chunked"
            self._chunks = ChunkedBody()
        elif head.length is not None:
            self.request_body = True

    async def read(self) -> bytes | None:
        """The next bytes of the body; ``None`` at its end."""
        if self.request_body != "chunked":
            data: bytes | None = await super().read()
            return data
        if self.expecting_continue:
            self.expecting_continue = False
            await self._send(HTTP_CONTINUE)
        while True:
            piece = self._take_chunks()
            if self.request_bytes > self.request_max_size:
                self.keep_alive = False
                raise PayloadTooLarge("Request body exceeds the size limit")
            if piece:
                return piece
            if self._chunks.ended:
                self.request_body = None
                return None
            await self._receive_more()

    def _take_chunks(self) -> bytes:
        try:
            piece = self._chunks.take(self.recv_buffer)
        except MalformedRequest as exc:
            self.refused, self.keep_alive, self.request_body = True, False, None
            # Sanic's own class: over a body that nobody wanted it is prepared for no other.
            raise BadRequest from exc
        self.request_bytes = self._chunks.announced_bytes
        return piece

    async def error_response(self, exception: Exception) -> None:
        if self.stage is Stage.REQUEST:
            self.refused = True
        await super().error_response(exception)

    def create_empty_request(self) -> None:
        """The request Sanic makes up for a refusal; this one knows who was refused."""
        super().create_empty_request()
        self.request.conn_info = self.protocol.conn_info

    def respond(self, response: BaseHTTPResponse) -> BaseHTTPResponse:
        """An event stream begins for nobody when the client has closed its side."""
        if self.protocol.half_closed and _is_event_stream(response):
            self.protocol.close()
        answer: BaseHTTPResponse = super().respond(response)
        return answer

    async def _close_delimited_head(self, data: bytes, end_stream: bool) -> None:
        """The head of an answer to HTTP/1.0, which knows no chunks: the body ends with a close."""
        response = self.response
        whole = end_stream or (not data and getattr(response, "body", None))
        if whole or "content-length" in response.headers or not has_message_body(response.status):
            await self.http1_response_header(data, end_stream)
            return
        self.keep_alive = False
        response.headers["connection"] = "close"
        self.response_func = self._close_delimited_body
        head = format_http1_response(response.status, response.processed_headers)
        await self._send(head if self.head_only else head + data)
        self.stage = Stage.RESPONSE

    async def _close_delimited_body(self, data: bytes, end_stream: bool) -> None:
        if data and not self.head_only:
            await self._send(data)
        if end_stream:
            self.response_func = None
            self.stage = Stage.IDLE


class GuardedProtocol(HttpProtocol):
    """Sanic's connection under the worker's caps and deadlines."""

    HTTP_CLASS = GuardedHttp
    __slots__ = (
        "_address",
        "_connections",
        "_discarded_bytes",
        "_fresh",
        "_place",
        "_since_s",
        "half_closed",
        "lingering",
    )

    def __init__(self, *, app: Sanic[Any, Any], **kwargs: Any) -> None:
        super().__init__(app=app, **kwargs)
        self._connections: Connections = app.ctx.connections
        self._since_s = self._connections.now_s
        self._address = ""
        # Whose place this connection takes: its peer's, or behind a proxy the present client's.
        self._place: str | None = None
        self._fresh = True
        self._discarded_bytes = 0
        self.half_closed = False
        self.lingering = False

    # --- stages, as GuardedHttp goes through them ----------------------------------------------

    def begin_stage(self) -> None:
        self._since_s = self._connections.now_s

    def request_begins(self, request: Request) -> None:
        """The head is read. Behind a proxy the client is known only now, and may be one too many.

        Raises:
            Overloaded: its address has as many requests under way as one may.
        """
        self._fresh = False
        self.begin_stage()
        if self._place is None and self._connections.trusted:
            address = client_ip(request, self._connections.trusted)
            if address != self._address:
                if not self._connections.take_place(address):
                    raise Overloaded
                self._place = address

    def request_over(self) -> None:
        self.begin_stage()
        if self._place is not None and self._place != self._address:
            self._give_place()

    def _give_place(self) -> None:
        if self._place is not None:
            self._connections.give_place(self._place)
            self._place = None

    # --- the worker's tick ---------------------------------------------------------------------

    def check_timeouts(self) -> None:
        """Sanic's timer for each connection is not started; ``check`` does its work."""

    def check(self, now_s: float) -> None:
        """Ends the connection when the stage it is in has taken too long."""
        http = self.http
        if http is None or self.transport is None:
            return
        waited_s = now_s - self._since_s
        limits = self._connections.limits
        if self.lingering:
            if waited_s > LINGER_S:
                self.close()
        elif http.request_body:
            if waited_s > limits.body_s:
                self._end_late_body(http)
        elif http.stage is Stage.IDLE:
            if waited_s > (limits.head_s if self._fresh else limits.idle_s):
                self.close()
        elif http.stage is Stage.REQUEST:
            if waited_s > limits.head_s:
                self._cancel(http, RequestTimeout("The head took too long"))
        elif now_s - self._time > self.response_timeout:
            self._cancel(http, ServiceUnavailable("Response Timeout"))

    def _end_late_body(self, http: Http) -> None:
        """A 408 where the answer is still to come; a close where it went out before the body."""
        http.request_body = None
        if http.stage is Stage.HANDLER:
            http.refused = True
            self._cancel(http, RequestTimeout("The body took too long"))
        else:
            self.close()

    def _cancel(self, http: Http, reason: Exception) -> None:
        http.exception = reason
        if self._task is not None:
            self._task.cancel()

    # --- the transport's calls -----------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        connections = self._connections
        peer = transport.get_extra_info("peername")
        self._address = plain_address(peer[0]) if isinstance(peer, tuple) else ""
        if connections.full() or not self._take_place():
            transport.set_protocol(TurnedAway(connections, transport))
            return
        connections.add(self)
        super().connection_made(transport)

    def _take_place(self) -> bool:
        if not self._address or self._connections.is_proxy(self._address):
            return True
        if not self._connections.take_place(self._address):
            return False
        self._place = self._address
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._give_place()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.lingering:
            super().data_received(data)
            return
        self._discarded_bytes += len(data)
        if self._discarded_bytes > LINGER_BYTES:
            self.close()

    def eof_received(self) -> bool:
        """The client has said all it will; on an event stream that means it is leaving.

        Returns:
            Whether the connection stays open for the answer.
        """
        http = self.http
        if http is None or self.lingering or self.transport.is_closing():
            return False
        if http.stage is Stage.IDLE and not self.recv_buffer and not http.request_body:
            return False
        if http.stage is Stage.RESPONSE and _is_event_stream(http.response):
            return False
        self.half_closed = True
        self._data_received.set()
        return True

    async def receive_more(self) -> None:
        """Waits for bytes, unless there will be none any more."""
        if self.half_closed:
            if self.http.stage is Stage.REQUEST and not self.recv_buffer:
                self.http.stage = Stage.IDLE
            if self.http.stage is Stage.IDLE:
                raise CancelledError
            raise BadRequest("The request is not whole")
        await super().receive_more()

    async def linger(self) -> None:
        """After a refusal: no more is said, and what still comes is thrown away for a moment.

        Closing at once, with bytes unread, would make TCP reset the connection, and the reset may
        overtake the refusal on its way to the client.
        """
        transport = self.transport
        if self.half_closed or transport is None or transport.is_closing():
            return
        if not transport.can_write_eof():
            return
        self.lingering = True
        self.begin_stage()
        self.recv_buffer.clear()
        transport.write_eof()
        transport.resume_reading()
        await asyncio.Event().wait()


def _is_event_stream(response: BaseHTTPResponse | None) -> bool:
    return response is not None and (response.content_type or "").startswith(EVENT_STREAM)


def install(app: Sanic[Any, Any], limits: Limits, trusted: tuple[Network, ...]) -> Connections:
    """Gives ``app`` its book of connections; ``GuardedProtocol`` looks for it there.

    Raises:
        RuntimeError: Sanic is not of the shape this file was written for.
    """
    check_shape()
    connections = Connections(limits, trusted)
    app.ctx.connections = connections

    @app.before_server_start
    async def start(_app: Sanic[Any, Any]) -> None:
        connections.start()

    @app.after_server_stop
    async def stop(_app: Sanic[Any, Any]) -> None:
        connections.stop()

    return connections


def refuse_unguarded(request: Request) -> None:
    """For a server that was started without ``protocol=GuardedProtocol``."""
    if not isinstance(request.stream, GuardedHttp):
        raise InternalError from RuntimeError("the server runs without the guard")


# What Sanic's methods must refer to for ours to fit in between.
_SHAPE: dict[Any, set[str]] = {
    Http.http1: {
        *("init_for_request", "recv_buffer", "_receive_more", "http1_request_header"),
        *("stage", "response_func", "error_response", "request_body", "keep_alive", "conn_info"),
    },
    Http.http1_request_header: {
        *("recv_buffer", "_receive_more", "keep_alive", "head_only", "url", "request_class"),
        *("request_bytes_left", "request_bytes", "expecting_continue", "request_body", "_current"),
    },
    Http.read: {"request_body", "request_bytes", "request_max_size", "expecting_continue", "_send"},
    Http.http1_response_header: {"response_func", "stage", "processed_headers", "_send"},
    Http.error_response: {"stage", "keep_alive", "create_empty_request"},
    HttpProtocol.connection_task: {"_setup_connection", "_http", "http1", "_task", "close"},
    HttpProtocol.connection_made: {"connections", "transport", "_task", "recv_buffer", "conn_info"},
    HttpProtocol.data_received: {"recv_buffer", "_data_received", "_time", "pause_reading"},
    HttpProtocol.receive_more: {"_data_received", "resume_reading"},
    HttpProtocol.check_timeouts: {"_http", "_task", "exception", "stage", "response_timeout"},
}


def check_shape() -> None:
    """Raises ``RuntimeError`` when Sanic's methods no longer use what this file relies on."""
    missing = [
        f"{method.__qualname__}: {name}"
        for method, names in _SHAPE.items()
        for name in sorted(names - set(method.__code__.co_names))
    ]
    if missing:
        raise RuntimeError(
            f"Sanic {sanic.__version__} is not of the shape gateway/edge/guard.py was written for"
            f" (25.12); it lacks {', '.join(missing)}. Install the version the gateway asks for."
        )
