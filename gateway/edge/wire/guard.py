"""Puts the wire guard in place, and refuses to serve without it.

``sanic_shape.py`` checks at start-up that Sanic still is what the guard was written for; a server
that was started without ``GuardedProtocol`` answers nothing but 500 (``refuse_unguarded``).
"""

from __future__ import annotations

from typing import Any

from sanic import Request, Sanic

from gateway.domain.forwarded import Network
from gateway.edge.wire.connections import Connections, Limits
from gateway.edge.wire.http1 import GuardedHttp
from gateway.edge.wire.sanic_shape import check_shape
from gateway.errors import InternalError


def install(
    app: Sanic[Any, Any], limits: Limits, trusted: tuple[Network, ...], *, hsts_s: int = 0
) -> Connections:
    """The connections of the worker that will serve ``app``, for ``GuardedProtocol``'s factory.

    Raises:
        RuntimeError: Sanic is not of the shape the guard was written for.
    """
    check_shape()
    connections = Connections(limits, trusted, hsts_s=hsts_s)

    @app.before_server_start
    async def start(_app: Sanic[Any, Any]) -> None:
        connections.start()

    @app.after_server_stop
    async def stop(_app: Sanic[Any, Any]) -> None:
        connections.stop()

    return connections


def refuse_unguarded(request: Request) -> None:
    """Raises ``InternalError`` where the server was started without ``GuardedProtocol``."""
    if not isinstance(request.stream, GuardedHttp):
        raise InternalError from RuntimeError("the server runs without the guard")
