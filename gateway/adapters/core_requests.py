"""A call to the core as a request of HTTP/1.1, and the way it goes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple

import httpx

from gateway.adapters.core_calls import Call
from gateway.domain.balancing import Address
from gateway.http_client.pool import Origin
from gateway.http_client.transport import Body, CoreTransport

# Of names' addresses, which come and go: more are forgotten, and made anew where they are used.
MOST_PLACES = 1000


class _Place(NamedTuple):
    """What every request to one address begins with."""

    origin: Origin
    path: str
    fixed: str


class HttpWay:
    """Implements ``core_calls.Way`` over a transport that somebody else closes."""

    def __init__(self, transport: CoreTransport) -> None:
        self._transport = transport
        self._places: dict[Address, _Place] = {}

    def ask(
        self, address: Address, call: Call, *, connect_s: float, pool_s: float
    ) -> Awaitable[Body]:
        place = self._place(address)
        return self._transport.ask(
            place.origin,
            _message(place, call),
            connect_s=connect_s,
            pool_s=pool_s,
            # Silence in a body is the flow's to judge: it knows events from comments.
            read_s=None,
            on_sent=call.on_sent,
        )

    def _place(self, address: Address) -> _Place:
        place = self._places.get(address)
        if place is None:
            if len(self._places) >= MOST_PLACES:
                self._places.clear()
            place = self._places[address] = _place(address)
        return place


def _place(address: Address) -> _Place:
    url = httpx.URL(address.base_url)
    host = url.netloc.decode("ascii")
    return _Place(
        Origin.of(url, address.connect_to),
        url.raw_path.decode("ascii").rstrip("/"),
        # "identity" because relayed bytes are not ours to unpack.
        f"Host: {host}\r\nConnection: keep-alive\r\nAccept-Encoding: identity\r\n"
        "User-Agent: kb-gateway\r\n",
    )


def _message(place: _Place, call: Call) -> bytes:
    """The whole request. ``domain.headers`` has seen to it that no value can end its line."""
    lines = [f"{call.method} {place.path}{call.target} HTTP/1.1\r\n{place.fixed}"]
    lines += [f"{name}: {value}\r\n" for name, value in call.headers.items()]
    if call.content is None:
        return "".join((*lines, "\r\n")).encode("ascii")
    lines.append(f"Content-Length: {len(call.content)}\r\n\r\n")
    return "".join(lines).encode("ascii") + call.content
