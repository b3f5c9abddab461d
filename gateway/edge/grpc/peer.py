"""Where a call comes from, by what grpc says of its connection and by its metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import grpc

from gateway.domain.forwarded import Network, client_address, plain_address

Context = grpc.aio.ServicerContext[Any, Any]


def client_of(context: Context, trusted: Sequence[Network]) -> str:
    """The client's address for a call that no request stands for, as ``peer.client_ip`` has it."""
    metadata: Any = context.invocation_metadata() or ()
    lines: dict[str, list[str]] = {"x-forwarded-for": [], "forwarded": []}
    for name, text in metadata:
        if name in lines:
            lines[name].append(text)
    peer = plain_address(address_of(context.peer()))
    return client_address(peer, lines["x-forwarded-for"], lines["forwarded"], trusted)


def address_of(peer: str) -> str:
    """The address in what grpc calls a peer: ``ipv4:192.0.2.1:5``, ``ipv6:%5B2001:db8::1%5D:5``."""
    kind, _, rest = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return ""
    return rest.rpartition(":")[0].strip("[]")
