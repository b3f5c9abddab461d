"""The client's end of an event stream, written to below Sanic's ``send``.

Sanic's own ``send`` awaits, formats and accounts for 4–6 µs a chunk. Once the head and a first
chunk went out through it, a stream's chunks are written straight to the transport in the same
framing, and Sanic's ``eof`` writes the last one: its middleware, its keep-alive and its pipelined
next request never notice. This is the one file of the streaming path that knows Sanic's inside;
``can_write_below`` says whether this response is of the shape it knows, and where it is not the
caller uses ``send``.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import sys
import termios
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import MappingProxyType
from typing import Any, cast

from sanic import Request
from sanic.compat import Header
from sanic.http import Http
from sanic.http.constants import Stage
from sanic.response import BaseHTTPResponse

from gateway.edge.wire.light_event import LightEvent
from gateway.edge.wire.tls_transport import TlsTransport
from gateway.edge.wire.water_marks import HIGH_WATER_BYTES
from gateway.flows.relay import ClientStalled

# How often the kernel is asked what a client has taken, in seconds.
STALL_LOOK_S = 2.0
# ``tcpi_bytes_acked`` of Linux's ``struct tcp_info`` (tcp(7), since 4.1).
_TCP_INFO_BYTES = 192
_BYTES_ACKED = struct.Struct("=Q")
_BYTES_ACKED_AT = 120
_to_kernel = os.write
# ``SO_LINGER`` for no time: what is not sent yet is dropped, and the other side gets a RST.
_RESETS = struct.pack("ii", 1, 0)


def can_write_below(request: Request) -> bool:
    """Whether the response that was begun is chunked, under way, on a transport we know."""
    stream = request.stream
    return (
        isinstance(stream, Http)
        and stream.stage is Stage.RESPONSE
        and not stream.head_only
        and getattr(stream.response_func, "__func__", None) is Http.http1_response_chunked
        and hasattr(request.transport, "get_write_buffer_size")
        and isinstance(getattr(stream.protocol, "_can_write", None), LightEvent)
    )


def has_room(request: Request) -> bool:
    """Whether what is sent to the client now need not wait for what it was sent before."""
    can_write: LightEvent = cast(Any, request.protocol)._can_write
    return can_write.is_set()


def sender(transport: asyncio.Transport) -> Callable[[bytes], bool]:
    """Sends bytes on ``transport``; false when it holds more than it should.

    While nothing waits in the transport, a chunk is given to the kernel at once: that is what the
    transport would do at the end of the loop's round, without its queue and its bookkeeping (1 µs
    of a relayed event's few). What the kernel does not take, and every failure, is the transport's
    to deal with. Our own TLS does the same with what it encrypted; through a loop's TLS there is no
    such way, as the transport's bytes are not the socket's.
    """
    if isinstance(transport, TlsTransport):
        return transport.send
    if transport.get_extra_info("sslcontext") is not None:
        return lambda data: transport.is_closing() or _queue(transport, data)
    descriptor = transport.get_extra_info("socket").fileno()
    # Nobody else writes to it while the stream runs: what waits in it was left there here, but for
    # what Sanic sent before.
    waits = True

    # Each name from outside takes 40 bytes of every open stream, and a bound method 64 more.
    def send(data: bytes) -> bool:
        nonlocal waits
        if transport.is_closing():
            return True  # The client left; its handler is about to be cancelled.
        if not (waits and transport.get_write_buffer_size()):
            waits = False
            try:
                sent = _to_kernel(descriptor, data)
            except OSError:  # full (EAGAIN) or broken: the transport finds out which
                sent = 0
            if sent == len(data):
                return True
            data = data[sent:]
        waits = True
        return _queue(transport, data)

    return send


def _queue(transport: asyncio.Transport, data: bytes) -> bool:
    transport.write(data)
    return transport.get_write_buffer_size() <= HIGH_WATER_BYTES


class Progress:
    """Whether a client takes anything of what it was sent, by what its kernel has acknowledged."""

    __slots__ = ("_looked_at", "_progress_at", "_stall_s", "_taken", "can_write", "transport")

    def __init__(self, protocol: Any, stall_s: float) -> None:
        # uvloop's transports have asyncio's methods and not its base class.
        self.transport = cast(asyncio.Transport, protocol.transport)
        self.can_write: LightEvent = protocol._can_write
        self._stall_s = stall_s
        self._looked_at = 0.0
        self._progress_at = 0.0
        self._taken = 0

    @property
    def is_behind(self) -> bool:
        """Whether something waits that was not handed to the client's side yet."""
        return bool(self.transport.get_write_buffer_size())

    def stalled(self, now: float) -> bool:
        """True when something waits for it and it took nothing for too long, or has left.

        A client that closed its side is not gone for the transport while bytes wait for it.
        """
        return self.transport.is_closing() or self.stands_still(now)

    def stands_still(self, now: float) -> bool:
        """Whether something waits for it and it took nothing for too long."""
        if now < self._looked_at + min(STALL_LOOK_S, self._stall_s):
            return False
        self._looked_at = now
        unsent = self.transport.get_write_buffer_size() + self._in_kernel()
        if not unsent:
            self._progress_at = now
            return False
        taken = self._acknowledged(unsent)
        if taken > self._taken or not self._progress_at:
            self._progress_at = now
        self._taken = taken
        return now - self._progress_at > self._stall_s

    async def room(self, look: Callable[[], Awaitable[None]] | None = None) -> None:
        """Returns when Sanic's ``send`` will not wait; meanwhile ``look`` is called now and then.

        Raises:
            ClientStalled: it would wait for good.
        """
        if self.can_write.is_set():
            return
        loop = asyncio.get_running_loop()
        self._looked_at = self._progress_at = 0.0
        while not self.can_write.is_set():
            if self.stalled(loop.time()):
                raise ClientStalled
            if look is not None:
                await look()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(STALL_LOOK_S, self._stall_s)):
                    await self.can_write.wait()

    def _acknowledged(self, unsent: int) -> int:
        """Bytes the client's side has acknowledged; where nobody knows, what waits, negated.

        What waits grows while a core sends faster than a slow client takes: it alone would make
        that client look as if it took nothing.
        """
        if sys.platform != "linux":
            return -unsent
        try:
            info = self._socket().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
            return int(_BYTES_ACKED.unpack_from(info, _BYTES_ACKED_AT)[0])
        except (OSError, ValueError, struct.error):
            return -unsent

    def _in_kernel(self) -> int:
        """Bytes the kernel holds for the client: unsent or unacknowledged (tcp(7), SIOCOUTQ)."""
        try:
            queued = fcntl.ioctl(self._socket().fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        except (OSError, ValueError):
            return 0
        return int(struct.unpack("i", queued)[0])

    def _socket(self) -> socket.socket:
        return cast(socket.socket, self.transport.get_extra_info("socket"))


class WrittenBelow:
    """What all clients of the relay have in common that write to a transport by themselves."""

    __slots__ = ("_on_room", "_progress")

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._on_room: Callable[[], None] | None = None

    def stalled(self, now: float) -> bool:
        return self._progress.stalled(now)

    def on_room(self, call: Callable[[], None]) -> None:
        self._on_room = call
        if self._progress.can_write.is_set():
            # The transport holds much, and not so much that it says so: it will be asked again.
            asyncio.get_running_loop().call_soon(self._has_room)
        else:
            self._progress.can_write.then(self._has_room)

    def _has_room(self) -> None:
        call, self._on_room = self._on_room, None
        if call is not None:
            call()

    def close(self) -> None:
        self._on_room = None
        self._progress.can_write.forget(self._has_room)


class ClientStream(WrittenBelow):
    """Implements ``flows.relay.Client`` for a request whose ``can_write_below`` is true.

    A frame is an HTTP chunk: the core's chunks of plain events go on as they came.
    """

    __slots__ = ("send_framed",)
    send_usual = None

    def __init__(self, progress: Progress) -> None:
        super().__init__(progress)
        self.send_framed = sender(progress.transport)

    def send(self, data: bytes) -> bool:
        return self.send_framed(b"%x\r\n%b\r\n" % (len(data), data))


class _NoHeaders(Header):
    """No header, and none can be put in: all streams share it."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("the head of a stream that has begun is gone")

    __setitem__ = add = extend = update = setdefault = _refuse


_NO_HEADERS = _NoHeaders()
_NO_ARGUMENTS: Any = MappingProxyType({})


def forget_head(request: Request, response: BaseHTTPResponse | None = None) -> None:
    """Lets go of what a stream that has begun needs no more: three kilobytes of strings.

    The request keeps its method, its route, its path and its scope, for the log.
    """
    request.headers = _NO_HEADERS
    if response is not None:
        response.headers = _NO_HEADERS
    request.head = request.body = b""
    request.parsed_args = request.parsed_not_grouped_args = _NO_ARGUMENTS


async def head_alone(request: Request, response: BaseHTTPResponse) -> None:
    """Answers a HEAD with the head that the stream would have: of no length that is known.

    Sanic would give one that ends the length of nothing, and cannot end one that is under way.
    """
    await response.send(b" ")  # not sent: it says that something would follow
    stream: Any = request.stream
    stream.response_func, stream.stage = None, Stage.IDLE


def cut(request: Request) -> None:
    """Resets the client's connection: nothing can be sent to it any more.

    A mere close sends on what the kernel still holds, and then a FIN: the end of a whole body to
    HTTP/1.0, and megabytes kept for a client that takes nothing.
    """
    transport = cast(asyncio.Transport | None, request.transport)
    if transport is not None:
        reset(transport)


def reset(transport: asyncio.Transport) -> None:
    """Drops what waits and resets the connection; see ``cut``."""
    sock = transport.get_extra_info("socket")
    with suppress(OSError, AttributeError):  # it is gone already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)
    transport.abort()
