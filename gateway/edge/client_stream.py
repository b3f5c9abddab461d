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
import struct
import termios
from collections.abc import Callable
from typing import cast

from sanic import Request
from sanic.http import Http
from sanic.http.constants import Stage

# What may stand in the transport before the core is told to wait: as much as asyncio's own mark.
HIGH_WATER_BYTES = 64 * 1024
# How often the kernel is asked what a client has taken, in seconds.
STALL_LOOK_S = 2.0


def can_write_below(request: Request) -> bool:
    """Whether the response that was begun is chunked, under way, on a transport we know."""
    stream = request.stream
    return (
        isinstance(stream, Http)
        and stream.stage is Stage.RESPONSE
        and not stream.head_only
        and getattr(stream.response_func, "__func__", None) is Http.http1_response_chunked
        and hasattr(request.transport, "get_write_buffer_size")
        and isinstance(getattr(stream.protocol, "_can_write", None), asyncio.Event)
    )


def _sender(transport: asyncio.Transport) -> Callable[[bytes], bool]:
    """Sends one chunk on ``transport``; false when it holds more than it should.

    While nothing waits in the transport, a chunk is given to the kernel at once: that is what the
    transport would do at the end of the loop's round, without its queue and its bookkeeping (1 µs
    of a relayed event's few). What the kernel does not take, and every failure, is the transport's
    to deal with. Not under TLS, where the transport's bytes are not the socket's.
    """
    queued, queue = transport.get_write_buffer_size, transport.write
    if transport.get_extra_info("sslcontext") is not None:
        return lambda data: (queue(data), queued() <= HIGH_WATER_BYTES)[1]
    descriptor = transport.get_extra_info("socket").fileno()
    to_kernel = os.write

    def send(data: bytes) -> bool:
        if not queued() and not transport.is_closing():
            try:
                sent = to_kernel(descriptor, data)
            except OSError:  # full (EAGAIN) or broken: the transport finds out which
                sent = 0
            if sent == len(data):
                return True
            data = data[sent:]
        queue(data)
        return queued() <= HIGH_WATER_BYTES

    return send


class ClientStream:
    """Implements ``flows.splice.Client`` for a request whose ``can_write_below`` is true."""

    def __init__(self, request: Request, *, stall_s: float) -> None:
        assert isinstance(request.stream, Http)
        # uvloop's transports have asyncio's methods and not its base class.
        self._transport = cast(asyncio.Transport, request.transport)
        self.send_framed = _sender(self._transport)
        self._can_write: asyncio.Event = request.stream.protocol._can_write
        self._stall_s = stall_s
        self._waiting: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        self._progress_at = 0.0
        self._unsent_bytes = 0

    def on_room(self, call: Callable[[], None]) -> None:
        self._waiting = asyncio.get_running_loop().create_task(self._wait(call), name="client-room")

    async def _wait(self, call: Callable[[], None]) -> None:
        await self._can_write.wait()
        call()

    def stalled(self, now: float) -> bool:
        """Progress is what is still unsent or unacknowledged getting less, or being nothing."""
        if now < self._looked_at + STALL_LOOK_S:
            return False
        self._looked_at = now
        unsent = self._transport.get_write_buffer_size() + self._in_kernel()
        if unsent == 0 or unsent < self._unsent_bytes or not self._progress_at:
            self._progress_at = now
        self._unsent_bytes = unsent
        return now - self._progress_at > self._stall_s

    def _in_kernel(self) -> int:
        """Bytes the kernel holds for the client: unsent or unacknowledged (tcp(7), SIOCOUTQ)."""
        socket = self._transport.get_extra_info("socket")
        try:
            told = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        except (OSError, ValueError):
            return 0
        return int(struct.unpack("i", told)[0])

    def close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()


def cut(request: Request) -> None:
    """Resets the client's connection: it can be told nothing."""
    if request.transport is not None:
        cast(asyncio.Transport, request.transport).abort()
