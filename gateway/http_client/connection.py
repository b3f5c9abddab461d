"""One connection to a core: a socket that carries one exchange at a time.

What flows which way: ``Connection`` is the socket's ``asyncio.Protocol`` and hands each read to the
present ``Exchange`` (``exchange.py``), or between two chunks of a stream to what its sink gave for
those (``take_framed``): an attribute of the instance, so that the event loop calls it with nothing
in between. A request goes out in one write. A connection may serve again only when its exchange's
parser says so and nothing followed the body's end; whatever is wrong with it closes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httpx

from gateway.http_client.exchange import Exchange
from gateway.http_client.plain_chunks import CHUNKS
from gateway.http_client.sink import Sink
from gateway.http_client.unchunked import Unchunked


class Connection(asyncio.Protocol):
    """A socket to a core. ``on_free`` is called whenever it can serve again, ``on_lost`` once."""

    __slots__ = (
        "_exchange",
        "_on_free",
        "_on_lost",
        "_reading",
        "_take",
        "_transport",
        "data_received",
        "idle_until_s",
    )

    def __init__(
        self, on_free: Callable[[Connection], None], on_lost: Callable[[Connection], None]
    ) -> None:
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._on_free = on_free
        self._on_lost = on_lost
        self._reading = True
        self.idle_until_s = 0.0
        self._take: Callable[[bytes], None] | None = None
        # The event loop looks this up when it is given the protocol, and keeps it.
        self.data_received: Callable[[bytes], None] = self._parse  # type: ignore[assignment]

    # --- what the event loop calls --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio.Transport does without being one.
        self._transport = cast(asyncio.Transport, transport)

    def _parse(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # Bytes nobody asked for: they must not become the head of the next answer.
            self.abort()
        else:
            exchange.feed(data)

    def eof_received(self) -> bool:
        if self._exchange is not None:
            self._exchange.eof()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.data_received = _nothing  # what stood there holds this connection
        self._on_lost(self)
        if self._exchange is not None:
            kind = "reset" if exc is not None else "closed"
            self._exchange.fail(httpx.ReadError(kind))

    # --- what the pool and the exchange call ----------------------------------------------------

    @property
    def is_usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, exchange: Exchange, message: bytes) -> None:
        """Sends a request; ``exchange`` gets the answer."""
        self._exchange = exchange
        exchange.connection = self
        if self._transport is None:
            exchange.fail(httpx.ReadError("closed"))
            return
        self._transport.write(message)

    def exchange_ended(self, exchange: Exchange) -> None:
        """Back to the pool if it can serve again, else closed."""
        self._exchange = None
        self._take = None
        self.take_parsed()
        clean = exchange.complete and exchange.keep_alive and not exchange.excess
        if clean and self.is_usable:
            self.resume_reading()
            self._on_free(self)
        else:
            self.abort()

    def take_framed(self, sink: Sink, body: Unchunked | None) -> bool:
        """The next read begins between two chunks, or is of ``body``, which has none; false where
        ``sink`` takes no frames."""
        if self._take is None:
            framing = CHUNKS if body is None else body.framing
            self._take = sink.framed_taker(self._parse, framing)
            if body is not None and self._take != self._parse:
                self._take = body.taker(self._take, self._parse)
        self._give_to(self._take)
        return self._take != self._parse

    def take_parsed(self) -> None:
        """The next read goes to the exchange."""
        self._give_to(self._parse)

    def _give_to(self, taker: Callable[[bytes], None]) -> None:
        if self._transport is not None and self.data_received != taker:
            self.data_received = taker
            self._transport.set_protocol(self)

    def pause_reading(self) -> None:
        if self._transport is not None and self._reading:
            self._reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._reading:
            self._reading = True
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def abort(self) -> None:
        """Closes at once. A request is small and sent whole, so nothing of ours is cut."""
        if self._transport is not None:
            self._transport.abort()


def _nothing(_: bytes) -> None:
    """For a connection that is lost."""
