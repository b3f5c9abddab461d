"""Sanic's reading of requests, replaced: heads and chunked bodies are read by ``domain/wire.py``.

Answering, routing, handlers and middleware stay Sanic's. A body stays unread until the endpoint
asks for it, which is after the head has decided about the request: what a caller sends who is
refused is neither waited for nor kept, but read and dropped behind the answer, up to a limit.

``GuardedConnection`` is what this needs of the connection it runs on, which is ``GuardedProtocol``
in ``protocol.py``; ``sanic_shape.py`` lists what both rely on.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from typing import Any, Protocol

from sanic import Request, Sanic
from sanic.exceptions import BadRequest, PayloadTooLarge
from sanic.headers import format_http1_response
from sanic.helpers import has_message_body
from sanic.http import Http
from sanic.http.constants import Stage
from sanic.http.http1 import HTTP_CONTINUE

from gateway.domain.wire import ChunkedBody, Head, end_of_head, read_head, without_target
from gateway.edge.wire.request import is_preflight
from gateway.errors import MalformedRequest, UriTooLong


class AllAnswered(CancelledError):
    """The client closed its side of the connection, and all it had asked for is answered."""


class GuardedConnection(Protocol):
    """What ``GuardedHttp`` uses of the connection it runs on.

    ``half_closed``: the client will send no more. ``body_limit_bytes`` is the largest body that any
    handler takes. The rest from ``app`` on is Sanic's.
    """

    half_closed: bool
    app: Sanic[Any, Any]
    transport: Any
    conn_info: Any
    request_class: Any

    request_max_size: int

    @property
    def body_limit_bytes(self) -> int: ...

    def begin_stage(self) -> None: ...

    def request_begins(self, request: Request) -> None: ...

    def request_over(self) -> None: ...

    async def linger(self) -> None: ...

    def close(self) -> None: ...


class GuardedHttp(Http):
    """Sanic's reading of requests with the heads and the chunked bodies read by our rules.

    Attributes:
        gave_up_body: the present request's body is read no more, though the client still sends it.
        when_over: is called once the present request is over, in whatever way.
    """

    __slots__ = ("_chunks", "_receives_body", "gave_up_body", "when_over")
    # Sanic declares its own connection class here, which lacks the members of the guard.
    protocol: GuardedConnection  # type: ignore[assignment]
    # Sanic declares narrower types than it puts in.
    request: Any
    request_body: Any
    request_bytes: Any
    response_func: Any

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        self.when_over: Callable[[], None] | None = None

    def init_for_request(self) -> None:
        """Sanic calls this before it waits for a request: the one before is over."""
        super().init_for_request()
        self._end_request()
        self._receives_body = self.gave_up_body = False
        self.protocol.request_over()

    async def http1(self) -> None:
        try:
            await super().http1()
        except AllAnswered:
            pass
        finally:
            self._end_request()
            if self.request is not None:
                # Sanic leaves this circle behind when the client left: it would keep all of the
                # connection until the garbage collector comes.
                self.request.stream = None
        if not self.upgrade_websocket:
            await self.protocol.linger()

    def _end_request(self) -> None:
        over, self.when_over = self.when_over, None
        if over is not None:
            over()

    async def http1_request_header(self) -> None:
        """Replaces Sanic's, without its signals ``http.lifecycle.read_head`` and ``.request``.

        Nor is the request a context variable (``Request.get_current``), which nobody reads and
        each open stream would keep a context for.
        """
        self.protocol.begin_stage()
        head_bytes = await self._head()
        too_long: UriTooLong | None = None
        try:
            head = read_head(head_bytes)
        except UriTooLong as exc:
            # The headers still name the page that sends it: the page's preflight is answered, so
            # that the page can read the refusal of the request itself.
            too_long, head = exc, read_head(without_target(head_bytes))
        request = self._make_request(head, head_bytes)
        self.keep_alive = head.keep_alive
        self.head_only = head.method == "HEAD"
        self.url = head.target
        self._expect_body(head)
        if head.version == "1.0":
            self.response_func = self._close_delimited_head
        del self.recv_buffer[: len(head_bytes) + 4]
        self.request, request.stream = request, self
        self.protocol.request_begins(request)
        if too_long is not None and not is_preflight(request):
            self.keep_alive = False
            raise too_long

    async def _head(self) -> bytes:
        """Waits for a whole head; bytes that can never become one are refused at once."""
        buffer = self.recv_buffer
        looked_at = 0
        skipped = False
        while True:
            # RFC 9112, 2.2: one empty line before a request is ignored.
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
        request: Request = protocol.request_class(
            url_bytes=head.target.encode("ascii"),
            headers=head.fields,
            head=head_bytes,
            version=head.version,
            method=head.method,
            transport=protocol.transport,
            app=protocol.app,
        )
        request.conn_info = protocol.conn_info
        return request

    def _expect_body(self, head: Head) -> None:
        self.request_bytes_left = self.request_bytes = head.length or 0
        self.expecting_continue = head.expects_continue and bool(head.length or head.chunked)
        if head.chunked:
            self.request_body = "chunked"
            self._chunks = ChunkedBody()
        elif head.length:
            self.request_body = True

    @property
    def waits_for_body(self) -> bool:
        """Whether it is the client's turn: its body is read, or what is left of a refused one."""
        return bool(self.request_body) and (self._receives_body or self.stage is not Stage.HANDLER)

    def give_up_body(self) -> None:
        """Reads no more of it: it is late, or cannot be read any further."""
        self.request_body, self.gave_up_body = None, True

    def body_at_hand(self, limit_bytes: int) -> bytes | None:
        """The body if all of it is here; ``None`` if it comes in chunks, or is still to come."""
        if not self.request_body:
            return b""
        size = self.request_bytes
        if self.request_body == "chunked" or size > min(limit_bytes, len(self.recv_buffer)):
            return None
        body = bytes(self.recv_buffer[:size])
        del self.recv_buffer[:size]
        self.request_body, self.request_bytes_left = None, 0
        self.expecting_continue = False
        return body

    async def receive_body(self, limit_bytes: int, *, keep: bool = True) -> bytes:
        """The whole body, waited for; empty where it is not to be kept.

        Raises:
            PayloadTooLarge: it has more than ``limit_bytes``, or says so.
            BadRequest: it is malformed, or the client closed its side before its end.
        """
        if self.request_bytes > limit_bytes:
            self.keep_alive = False
            raise PayloadTooLarge("Request body exceeds the size limit")
        self.protocol.begin_stage()
        self._receives_body, self.request_max_size = True, limit_bytes
        try:
            return b"".join([piece async for piece in self if keep])
        finally:
            # Of a body that is refused more is read, and dropped (``body_limit.py``).
            self._receives_body, self.request_max_size = False, self.protocol.request_max_size

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
            self.keep_alive = False
            self.give_up_body()
            # Sanic's own class: where it reads on over an unwanted body, it catches no other.
            raise BadRequest from exc
        self.request_bytes = self._chunks.announced_bytes
        return piece

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:
        """The final status where a client still waits for 100, which it then does not get.

        RFC 9110, 10.1.1: it may send the body all the same or leave it out, so that nobody knows
        what comes next on this connection: it ends. It ends as well where more is announced than
        anybody takes: the next request stands behind all that.
        """
        if self.expecting_continue:
            self.expecting_continue, self.request_body = False, None
            self.keep_alive = False
        elif self.request_body:
            # From here on the rest of the body is waited for, to drop it.
            self.protocol.begin_stage()
            if self.request_bytes > self.protocol.body_limit_bytes:
                self.keep_alive = False
        await super().http1_response_header(data, end_stream)

    async def error_response(self, exception: Exception) -> None:
        """Answers a failure: without a body to a HEAD, also to one that cannot be read."""
        if self.upgrade_websocket:
            return  # HTTP is over on this connection
        if self.request is None:
            self.head_only = self.recv_buffer.startswith(b"HEAD ")
        await super().error_response(exception)

    def create_empty_request(self) -> None:
        """The request Sanic makes up for a refusal, with the connection, for the log's address."""
        super().create_empty_request()
        self.request.conn_info = self.protocol.conn_info

    async def _close_delimited_head(self, data: bytes, end_stream: bool) -> None:
        """The head of an answer to HTTP/1.0, which has no chunks: the body ends with a close."""
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


def when_over(request: Request, call: Callable[[], None]) -> None:
    """Has ``call`` called once ``request`` is over: answered, refused, or left by its client."""
    if isinstance(request.stream, GuardedHttp):
        request.stream.when_over = call
