"""Who is at the other end: the client's address, believed from proxies we were told to trust."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from sanic import Request

from gateway.domain.headers import is_traceparent

Network = IPv4Network | IPv6Network


def client_ip(request: Request, trusted: Sequence[Network]) -> str:
    """The nearest address that is no trusted proxy, read from the right of ``X-Forwarded-For``.

    What stands left of it was written by somebody we don't know, so it is never believed.
    """
    peer = request.conn_info.client_ip if request.conn_info else ""
    if not trusted or not _is_trusted(peer, trusted):
        return peer
    hops = ",".join(request.headers.getall("x-forwarded-for", [])).split(",")
    for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
        if not _is_address(hop):
            return peer
        if not _is_trusted(hop, trusted):
            return hop
        peer = hop
    return peer


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_trusted(text: str, trusted: Sequence[Network]) -> bool:
    return _is_address(text) and any(ip_address(text) in network for network in trusted)


def traceparent(request: Request) -> str | None:
    """The caller's W3C trace context when it is well formed; anything else is dropped."""
    values = request.headers.getall("traceparent", [])
    if len(values) == 1 and is_traceparent(values[0]):
        return str(values[0])
    return None
