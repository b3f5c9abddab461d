"""How a Redis is reached: one connection to the server that takes writes, found by its sentinels.

Only imported when ``GATEWAY_REDIS_URL`` is set; the package comes with the extra ``[redis]``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.errors import SharedStateUnavailable

# What a new connection may take, against the timeout of a call: its host's name, TLS, a password.
CONNECT_TIMEOUTS = 4


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """Where it is, and how it is asked.

    Attributes:
        addresses: hosts and ports: of the server, or of the sentinels where ``master`` names one.
        prefix: what every key begins with.
        timeout_s: how long a call may take.
        tls: gives the newest context; ``None`` speaks in the clear.
    """

    addresses: tuple[tuple[str, int], ...]
    prefix: str
    timeout_s: float
    master: str | None = None
    database: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    tls: Callable[[], ssl.SSLContext] | None = None


class _TlsConnection(Connection):
    """With a context that is made already; redis-py would make one of its own from files."""

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self._context = context

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {**super()._connection_arguments(), "ssl": self._context}


async def connected(access: RedisAccess) -> Connection:
    """A connection to the server that takes writes, with its user and database chosen.

    Raises:
        SharedStateUnavailable: nobody there, or not for us.
    """
    connection: Connection | None = None
    try:
        async with asyncio.timeout(access.timeout_s * CONNECT_TIMEOUTS):
            host, port = await _server(access)
            connection = _connection(access, host, port)
            await connection.connect()  # type: ignore[no-untyped-call]
            return connection
    except BaseException as problem:
        if connection is not None:
            await connection.disconnect(nowait=True)
        if isinstance(problem, RedisError | OSError | TimeoutError):
            raise SharedStateUnavailable() from problem
        raise


def _connection(access: RedisAccess, host: str, port: int) -> Connection:
    options: dict[str, Any] = _options(access)
    options |= {"host": host, "port": port, "db": access.database}
    options |= {"username": access.username, "password": access.password}
    if access.tls is None:
        return Connection(**options)
    return _TlsConnection(context=access.tls(), **options)


def _options(access: RedisAccess) -> dict[str, Any]:
    """No timeouts but that of connecting: ``RedisCalls`` watches over all calls with one timer.

    RESP2 needs no greeting, and a server that is not to know our version is not told.
    """
    connect_s = access.timeout_s * CONNECT_TIMEOUTS
    return {
        "socket_timeout": None,
        "socket_connect_timeout": connect_s,
        "protocol": 2,
        "driver_info": None,
    }


async def _server(access: RedisAccess) -> tuple[str, int]:
    if access.master is None:
        return access.addresses[0]
    options = _sentinel_options(access)
    sentinel = Sentinel(access.addresses, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
    try:
        host, port = await sentinel.discover_master(access.master)
        return host, int(port)
    finally:
        await sentinel.aclose()


def _sentinel_options(access: RedisAccess) -> dict[str, Any]:
    options = _options(access)
    # One that does not answer must leave time for the next: asked once, and not again and again.
    options |= {"socket_timeout": access.timeout_s, "socket_connect_timeout": access.timeout_s}
    options["retry"] = Retry(NoBackoff(), 0)
    options["password"] = access.sentinel_password
    return options
