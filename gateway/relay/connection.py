"""One connection to a core: a socket that carries one exchange at a time.

What flows which way: ``Connection`` is the socket's ``asyncio.Protocol`` and hands each read to the
present ``Exchange`` (``exchange.py``); a request goes out in one write. A connection may serve
again only when its exchange's parser says so and nothing followed the body's end; whatever is wrong
with it closes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import httpx

from gateway.relay.exchange import Exchange


class Connection(asyncio.Protocol):
    """A socket to a core. ``on_free`` takes it back when it can serve again, ``on_lost`` once."""

    __slots__ = (
        "_exchange",
        "_on_free",
        "_on_lost",
        "_reading",
        "_transport",
        "framed",
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
        # Set while the parser stands between two chunks and somebody takes whole ones as they are.
        self.framed: Callable[[bytes], bool] | None = None

    # --- what the event loop calls --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do what asyncio.Transport does without being one.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.framed is not None and self.framed(data):
            return
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
        self.framed = None
        clean = exchange.complete and exchange.keep_alive and not exchange.excess
        if clean and self.is_usable:
            self.resume_reading()
            self._on_free(self)
        else:
            self.abort()

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
