"""Connections kept for the next request, one stack an address, each taken and given in O(1).

The one used last is taken first: the others grow old, and what is older than ``keepalive_s`` is
closed by one timer. How many may be in use is counted elsewhere (``slots.py``).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import httpx

from gateway.http_client.connection import Connection


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


class _Kind(NamedTuple):
    """What a kept connection may be taken for: certificates that changed are proven anew."""

    origin: Origin
    tls: ssl.SSLContext | None


class Pool:
    """Idle connections of one event loop."""

    def __init__(
        self, *, keepalive_s: float, max_idle: int, tls: Callable[[], ssl.SSLContext] | None
    ) -> None:
        self._keepalive_s = keepalive_s
        self._max_idle = max_idle
        self._tls = tls or cache(ssl.create_default_context)
        # Insertion order is age; a dict because one that is lost must be found without a search.
        self._idle: dict[_Kind, dict[Connection, None]] = {}
        self._kinds: dict[Connection, _Kind] = {}
        # One object each for all connections.
        self._on_free, self._on_lost = self._free, self._lost
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def idle_count(self) -> int:
        return sum(len(stack) for stack in self._idle.values())

    @property
    def open_count(self) -> int:
        """All connections, idle or in use."""
        return len(self._kinds)

    def take(self, origin: Origin) -> Connection | None:
        """The connection that was used last, if one still stands."""
        stack = self._idle.get(self._kind(origin))
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
        kind = self._kind(origin)
        _, connection = await loop.create_connection(
            lambda: Connection(self._on_free, self._on_lost),
            origin.host,
            origin.port,
            ssl=kind.tls,
            server_hostname=None if kind.tls is None else origin.name,
        )
        self._kinds[connection] = kind
        return connection

    def _kind(self, origin: Origin) -> _Kind:
        return _Kind(origin, self._tls() if origin.scheme == "https" else None)

    def close(self) -> None:
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._kinds):
            connection.abort()

    def _free(self, connection: Connection) -> None:
        kind = self._kinds.get(connection)
        if kind is None or self._closed or self.idle_count >= self._max_idle:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_until_s = loop.time() + self._keepalive_s
        self._idle.setdefault(kind, {})[connection] = None
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._keepalive_s, self._sweep)

    def _lost(self, connection: Connection) -> None:
        kind = self._kinds.pop(connection, None)
        if kind is not None and (stack := self._idle.get(kind)) is not None:
            stack.pop(connection, None)
            if not stack:
                del self._idle[kind]

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
