"""Whose request it is behind proxies: ``X-Forwarded-For``, or ``Forwarded`` (RFC 7239).

Every proxy adds the address it was called from at the right. So both are read from there, and what
a client put to the left of it can neither be taken for a proxy's word nor hide it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

# A port is a number, or a name that hides one (RFC 7239, section 6.3). An IPv6 address in front of
# it stands in brackets; without them its last group could be a port.
_PORT = r"(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?"
_NODE = re.compile(rf"(?:\[(?P<v6>[^\[\]]*)\]|(?P<v4>[0-9.]+)){_PORT}\Z")
# One parameter of an element (RFC 7239, section 4). What proxies send needs no escapes; a text that
# has some is not read, because they could make a closing quote of one that is none.
_PARAMETER = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(\"[^\"\\]*\"|[^\s\";,\\]*)[ \t]*(?:;|\Z)"
)


def client_address(
    peer: str,
    x_forwarded_for: Sequence[str],
    forwarded: Sequence[str],
    trusted: Sequence[Network],
) -> str:
    """The nearest address that is no trusted proxy; ``peer`` is whose connection it is.

    Both headers are given line by line. ``X-Forwarded-For`` counts where both have come: proxies
    that write ``Forwarded`` add to the other as well, and many that write the other pass
    ``Forwarded`` on as a client wrote it. What is left of an untrusted address was written by an
    unknown party and is never used. A hop that cannot be read ends the search at the last proxy.
    """
    if not trusted or not is_trusted(peer, trusted):
        return peer
    for address in _addresses(x_forwarded_for, forwarded):
        if not address:
            return peer
        if not is_trusted(address, trusted):
            return address
        peer = address
    return peer


def _addresses(x_forwarded_for: Sequence[str], forwarded: Sequence[str]) -> Iterator[str]:
    """From the nearest hop to the farthest; empty for one that cannot be read."""
    if any(line.strip(" \t,") for line in x_forwarded_for):
        yield from (node_address(hop) for hop in _from_the_right(x_forwarded_for))
    else:
        yield from (_forwarded_for(element) for element in _from_the_right(forwarded))


def _from_the_right(lines: Sequence[str]) -> Iterator[str]:
    """The elements of a list, the last one first; empty ones do not count (RFC 9110, 5.6.1).

    A comma between quotes parts nothing. A quote without its partner takes all to its left in, and
    so it makes unreadable what its writer could see, and nothing that was added later.
    """
    for line in reversed(lines):
        parts: list[str] = []
        quotes = 0
        for part in reversed(line.split(",")):
            parts.append(part)
            quotes += part.count('"')
            if quotes % 2 == 0:
                element = ",".join(reversed(parts)).strip(" \t")
                parts.clear()
                if element:
                    yield element
        if parts:
            yield ",".join(reversed(parts))


def _forwarded_for(element: str) -> str:
    """The address in an element's one ``for``; empty where there is none."""
    found: list[str] = []
    end = 0
    while end < len(element):
        match = _PARAMETER.match(element, end)
        if match is None:
            return ""
        if match[1].lower() == "for":
            found.append(match[2])
        end = match.end()
    return node_address(found[0]) if len(found) == 1 else ""


def node_address(text: str) -> str:
    """The address of a hop as proxies spell it, in its normal form; empty for what is none.

    ``1.2.3.4``, ``1.2.3.4:5678``, ``2001:db8::7``, ``[2001:db8::7]``, ``[2001:db8::7]:80``, and
    each of them in quotes. ``unknown`` and hidden names such as ``_proxy3`` are no addresses.
    """
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip(" \t")
    match = _NODE.match(text)
    if match is None:
        return plain_address(text)
    if match["v6"] is not None and ":" not in match["v6"]:
        return ""
    return plain_address(match["v6"] or match["v4"] or "")


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
