"""The client's address, taken from ``X-Forwarded-For`` where trusted proxies wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from sanic import Request

from gateway.domain.headers import is_traceparent

Network = IPv4Network | IPv6Network


def client_ip(request: Request, trusted: Sequence[Network]) -> str:
    """The nearest address that is no trusted proxy, read from the right of ``X-Forwarded-For``.

    What is left of that address was written by an unknown party and is never used.
    """
    peer = plain_address(request.conn_info.client_ip) if request.conn_info else ""
    if not trusted or not is_trusted(peer, trusted):
        return peer
    hops = ",".join(request.headers.getall("x-forwarded-for", [])).split(",")
    for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
        address = plain_address(hop)
        if not address:
            return peer
        if not is_trusted(address, trusted):
            return address
        peer = address
    return peer


@lru_cache(maxsize=4096)
def plain_address(text: str) -> str:
    """An address in its normal form; empty for a text that is none.

    An IPv4 address that came over an IPv6 socket is an IPv4 address, or no IPv4 network would hold
    it. A zone (``fe80::1%eth0``) has a meaning on its own machine only, and is free text.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    """Whether ``address``, in its normal form, belongs to one of our proxies."""
    return bool(address) and any(ip_address(address) in network for network in trusted)


def traceparent(request: Request) -> str | None:
    """The caller's W3C trace context when it is well formed; anything else is dropped."""
    values = request.headers.getall("traceparent", [])
    if len(values) == 1 and is_traceparent(values[0]):
        return str(values[0])
    return None
