"""Connections kept for the next request, one stack an address, each taken and given in O(1).

The one used last is taken first: the others grow old, and what is older than ``keepalive_s`` is
closed by one timer. How many may be in use is counted elsewhere (``slots.py``).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import NamedTuple

import httpx

from gateway.relay.connection import Connection


class Origin(NamedTuple):
    """Where a core is, and the name it must prove on ``https``.

    The name is part of it: a connection made for one name must not carry another's requests.
    """

    scheme: str
    host: str
    port: int
    name: str

    @classmethod
    def of(cls, url: httpx.URL, address: tuple[str, int] | None = None) -> Origin:
        """``address`` is the host and port to connect to where that is not the URL's."""
        if address is not None:
            return cls(url.scheme, *address, url.host)
        default = 443 if url.scheme == "https" else 80
        return cls(url.scheme, url.host, url.port or default, url.host)


class Pool:
    """Idle connections of one event loop."""

    def __init__(
        self, *, keepalive_s: float, max_idle: int, tls: Callable[[], ssl.SSLContext] | None
    ) -> None:
        self._keepalive_s = keepalive_s
        self._max_idle = max_idle
        self._tls = tls
        # Insertion order is age; a dict because one that is lost must be found without a search.
        self._idle: dict[Origin, dict[Connection, None]] = {}
        self._origins: dict[Connection, Origin] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def idle_count(self) -> int:
        return sum(len(stack) for stack in self._idle.values())

    @property
    def open_count(self) -> int:
        """All connections, idle or in use."""
        return len(self._origins)

    def take(self, origin: Origin) -> Connection | None:
        """The connection that was used last, if one still stands."""
        stack = self._idle.get(origin)
        now = asyncio.get_running_loop().time()
        while stack:
            connection, _ = stack.popitem()
            if connection.is_usable and connection.idle_until_s > now:
                return connection
            connection.abort()
        return None

    async def connect(self, origin: Origin) -> Connection:
        """A new one. Raises ``OSError`` (``ssl.SSLError`` too)."""
        loop = asyncio.get_running_loop()
        tls = None
        if origin.scheme == "https":
            tls = self._tls() if self._tls is not None else ssl.create_default_context()
        _, connection = await loop.create_connection(
            lambda: Connection(self._free, self._lost),
            origin.host,
            origin.port,
            ssl=tls,
            server_hostname=None if tls is None else origin.name,
        )
        self._origins[connection] = origin
        return connection

    def close(self) -> None:
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._origins):
            connection.abort()

    def _free(self, connection: Connection) -> None:
        origin = self._origins.get(connection)
        if origin is None or self._closed or self.idle_count >= self._max_idle:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_until_s = loop.time() + self._keepalive_s
        self._idle.setdefault(origin, {})[connection] = None
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._keepalive_s, self._sweep)

    def _lost(self, connection: Connection) -> None:
        origin = self._origins.pop(connection, None)
        if origin is not None and (stack := self._idle.get(origin)) is not None:
            stack.pop(connection, None)
            if not stack:
                del self._idle[origin]

    def _sweep(self) -> None:
        """Closes what has been idle too long: the oldest stand first."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for stack in tuple(self._idle.values()):
            for connection in tuple(stack):
                if connection.idle_until_s > now:
                    break
                del stack[connection]
                connection.abort()
        self._sweeper = None
        if self.idle_count:
            self._sweeper = loop.call_later(self._keepalive_s, self._sweep)
