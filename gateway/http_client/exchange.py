"""One request's answer: bytes in, a head and a body out.

``Connection`` hands each read to the present ``Exchange``'s httptools parser, whose callbacks
collect the head and the body's parts; when the read is used up, ``flush`` hands all its parts on in
one piece: to a ``Sink`` that was attached (push: no task wakes up for it) or to a small buffer that
a consumer pulls from.

Events in whole chunks do not even meet the parser: between two chunks its state is the same before
and after them, so the sink may take them, framing and all (``Sink.framed_taker``). Nor do those of
a body without chunks, but for its last read (``unchunked``).

Between two chunks there is nothing that a parser knows and the exchange does not. A stream that is
silent, as most are at any moment, therefore has none: it takes a kilobyte, with its callbacks. The
next read that must be parsed gets a new one, which is given the head of a chunked answer first.

What an answer may begin with is for ``answer_head`` to say, before the parser sees a byte of it;
what comes with no byte of the body in it has a limit, too.

The parser decides where a body ends. An exchange ends once: with its body's end, with a failure, or
by being closed; then, and only then, its slot comes back.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Protocol

import httptools
import httpx

from gateway.http_client.answer_head import (
    FRAMING_LIMIT_BYTES,
    HEAD_LIMIT_BYTES,
    BadHead,
    check_codings,
    end_of_head,
)
from gateway.http_client.sink import Sink
from gateway.http_client.slots import Slot
from gateway.http_client.unchunked import Unchunked

# For a list that gets no more: an empty one would take 56 bytes of each open stream.
_NONE_ANY_MORE: Any = ()
_CHUNKED_ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Carrier(Protocol):
    """The connection, as far as its exchange needs to know it."""

    def take_framed(self, sink: Sink, body: Unchunked | None) -> bool:
        """The next read begins between two chunks, or is of ``body``, which has none; false where
        ``sink`` takes no frames."""

    def take_parsed(self) -> None:
        """The next read goes to the exchange."""

    def exchange_ended(self, exchange: Exchange) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...


class Exchange:
    """One request's answer. Thousands of these are open at a time, so each holds little.

    Attributes:
        status: 0 until the head is in. ``headers``: as they came; gone once a sink is attached.
        complete: the body came to its end; ``error``: it will not.
        excess: something followed the end.
    """

    __slots__ = (
        "_between_chunks",
        "_buffer",
        "_buffered",
        "_delimited",
        "_end_reported",
        "_framing_bytes",
        "_head",
        "_heads_bytes",
        "_interim",
        "_limit",
        "_loop",
        "_parser",
        "_parts",
        "_paused",
        "_sink",
        "_slot",
        "_unchunked",
        "_waiter",
        "complete",
        "connection",
        "error",
        "excess",
        "headers",
        "keep_alive",
        "reason",
        "status",
    )

    def __init__(self, slot: Slot, read_buffer_bytes: int) -> None:
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self.connection: Carrier | None = None
        self._loop = asyncio.get_running_loop()
        self.status = 0
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self.excess = False
        self.keep_alive = False
        self.error: httpx.TransportError | None = None
        self._slot = slot
        self._head = b""  # what came of a head that is not whole
        self._heads_bytes = 0  # of the interim heads so far, and of the answer's own
        self._framing_bytes = 0  # since the last byte of the body
        self._interim = False
        self._delimited = False
        self._parts: list[bytes] = []
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._limit = read_buffer_bytes
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Sink | None = None
        self._end_reported = False
        self._between_chunks = False
        self._unchunked: Unchunked | None = None

    # --- what the parser calls ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            self.excess = True

    def on_status(self, reason: bytes) -> None:
        if not self.status:
            self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:
            self.headers.append((name, value))
        else:
            # A trailer's: nobody wants it.
            self._count_framing(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        if self.status or self._parser is None:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            # An interim head comes before the answer and is none (RFC 9110, 15.2).
            self._interim, self.reason, self.headers = True, b"", []
            return
        try:
            chunked = check_codings(self.headers, self._parser.get_http_version())
        except BadHead as exc:
            # Without a status there is no answer: nobody sees anything of it.
            self._fail_unless_complete(str(exc))
            return
        self.status = status
        self.keep_alive = self._parser.should_keep_alive()
        # A body with neither length nor chunks ends with its connection (RFC 9112, 6.3).
        lengths = [value for name, value in self.headers if name.lower() == b"content-length"]
        self._delimited = chunked or bool(lengths) or status in (204, 304)
        if not chunked:
            self._unchunked = Unchunked(lengths[0] if lengths else None)

    def on_chunk_header(self) -> None:
        self._between_chunks = False

    def on_chunk_complete(self) -> None:
        self._between_chunks = True

    def on_body(self, data: bytes) -> None:
        if not self.complete:
            self._parts.append(data)
            if self._unchunked is not None:
                self._unchunked.left_bytes -= len(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif self.status and not self.complete and self.error is None and self._parser is not None:
            self.complete = True
            # To be asked here: a moment later the parser is at the next message's start.
            self.keep_alive = self.keep_alive and self._parser.should_keep_alive()

    # --- what the connection calls --------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Parses one read and hands on what it held; sets ``error`` where it makes no sense."""
        if not self.status:
            data = self._read_heads(data)
        if data:
            before = self._framing_bytes
            self._parse(data)
            if self._parts:
                self._framing_bytes = 0
            else:
                # Lines that were whole are counted already; here one that never ends counts too.
                self._framing_bytes = before
                self._count_framing(len(data))
        self.flush()
        if self.connection is not None:
            # A read that ends in CR LF just after a chunk's end left nothing of the next one
            # behind: a size line's first bytes would end otherwise, a whole one is a header.
            between = self._between_chunks and data[-2:] == b"\r\n"
            if self._sink is not None and (between or self._unchunked is not None):
                if self.connection.take_framed(self._sink, self._unchunked):
                    self._parser = None
            else:
                self.connection.take_parsed()

    def _read_heads(self, data: bytes) -> bytes:
        """Parses the heads up to the answer's own; gives what follows that."""
        looked_at, pending = len(self._head), self._head + data
        try:
            while not self.status and self.error is None:
                allowed_bytes = HEAD_LIMIT_BYTES - self._heads_bytes
                end = end_of_head(pending, looked_at, allowed_bytes)
                if end is None:
                    self._head = pending
                    return b""
                self._heads_bytes += end
                self._parse(pending[:end])
                looked_at, pending = 0, pending[end:]
        except BadHead as exc:
            self._fail_unless_complete(str(exc))
        self._head = b""
        return pending if self.error is None else b""

    def _count_framing(self, size_bytes: int) -> None:
        """What is neither head nor body has a limit, too: the parser would collect it for ever."""
        self._framing_bytes += size_bytes
        if self._framing_bytes > FRAMING_LIMIT_BYTES:
            self._fail_unless_complete("trailer too large")

    def _parse(self, data: bytes) -> None:
        try:
            if self._parser is None:
                self._parser = httptools.HttpResponseParser(self)
                body = self._unchunked
                self._parser.feed_data(_CHUNKED_ANSWER if body is None else body.head)
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.excess = True
            self._fail_unless_complete("upgraded")
        except httptools.HttpParserError as exc:
            self.excess = True
            self._fail_unless_complete(type(exc).__name__)

    def _fail_unless_complete(self, why: str) -> None:
        if not self.complete and self.error is None:
            self.error = httpx.RemoteProtocolError(why)

    def fail(self, error: httpx.TransportError) -> None:
        """The connection broke. What came before it is handed out first."""
        if not self.complete and self.error is None:
            self.error = error
        self.flush()

    def eof(self) -> None:
        """The core closed its side: the end of a body that has no other, else a failure."""
        if not self.status:
            self.fail(httpx.ReadError("hung up"))
        elif not self._delimited and self.error is None:
            self.complete = True
        else:
            self._fail_unless_complete("cut short")
        self.flush()

    def flush(self) -> None:
        """Hands on what the last read brought, and then how it ended, each once."""
        if self._parts:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts.clear()
            if self._sink is not None:
                self._sink.received(data)
            else:
                self._keep(data)
        if self.complete or self.error is not None:
            self._end()
        elif self.status:
            self._wake()

    def _keep(self, data: bytes) -> None:
        self._buffer.append(data)
        self._buffered += len(data)
        if self._buffered > 2 * self._limit and not self.complete:
            self.pause()
        self._wake()

    def _end(self) -> None:
        connection, self.connection = self.connection, None
        self._parser = None  # it holds this exchange as this held it
        if connection is not None:
            connection.exchange_ended(self)
        self._slot.release()
        self._wake()
        if self._sink is not None and not self._end_reported:
            self._end_reported = True
            self._sink.ended(None if self.complete else self.error)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- what the consumer calls ----------------------------------------------------------------

    async def headed(self, timeout_s: float | None) -> None:
        """Returns when status and headers are in. Raises how it broke, or ``TimeoutError``."""
        while not self.status:
            if self.error is not None:
                raise self.error
            await self._wait(timeout_s)

    def attach(self, sink: Sink) -> None:
        """Pushes into ``sink`` from now on; what came already it gets at once.

        Reading ahead for a pulling consumer may have paused the socket. That pause ends first: one
        the sink asks for while it gets what came must stand.
        """
        self._sink = sink
        kept = self._buffer
        self.headers, self._buffer, self._buffered = _NONE_ANY_MORE, _NONE_ANY_MORE, 0
        self.resume()
        for data in kept:
            sink.received(data)
        if self.complete or self.error is not None:
            self._end()

    async def read(self, timeout_s: float | None) -> bytes:
        """What came, in the pieces it came in; ``b""`` at the end. Raises how it broke."""
        while not self._buffer:
            if self.error is not None:
                raise self.error
            if self.complete:
                return b""
            await self._wait(timeout_s)
        data = self._buffer.pop(0)
        self._buffered -= len(data)
        if self._paused and self._buffered <= self._limit:
            self.resume()
        return data

    async def _wait(self, timeout_s: float | None) -> None:
        """Until something has come, or the end has."""
        self._waiter = self._loop.create_future()
        try:
            if timeout_s is None:
                await self._waiter
            else:
                async with asyncio.timeout(timeout_s):
                    await self._waiter
        finally:
            self._waiter = None

    def pause(self) -> None:
        """Stops reading from the core: its socket fills up, not our memory."""
        if self.connection is not None and not self._paused:
            self._paused = True
            self.connection.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if self.connection is not None:
                self.connection.resume_reading()

    def forgotten(self) -> None:
        """Closes on the loop's own thread: the garbage collector runs on any."""
        if self.connection is not None:
            with suppress(RuntimeError):  # the loop is closed, and its sockets with it
                self._loop.call_soon_threadsafe(self.close)

    def close(self) -> None:
        """Nobody wants the rest. A body under way closes its connection: the core sees it leave."""
        self._sink = None
        self._buffer = _NONE_ANY_MORE
        if self.connection is not None:
            self._fail_unless_complete("closed")
            self.connection.abort()
            self._end()
        self._slot.release()
