"""What a request's head says of where it came from: the client's address, the caller's trace."""

from __future__ import annotations

from collections.abc import Sequence

from sanic import Request

from gateway.domain.forwarded import Network, client_address, plain_address
from gateway.domain.headers import is_traceparent


def client_ip(request: Request, trusted: Sequence[Network]) -> str:
    """The client's address; proxies in ``trusted`` are believed about it, and nobody else."""
    peer = plain_address(request.conn_info.client_ip) if request.conn_info else ""
    if not trusted:
        return peer
    headers = request.headers
    lines = headers.getall("x-forwarded-for", []), headers.getall("forwarded", [])
    return client_address(peer, *lines, trusted)


def traceparent(request: Request) -> str | None:
    """The caller's W3C trace context when it is well formed; anything else is dropped."""
    values = request.headers.getall("traceparent", [])
    if len(values) == 1 and is_traceparent(values[0]):
        return str(values[0])
    return None
