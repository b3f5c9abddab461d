"""The client's address and trace: taken from trusted proxies and in valid form only."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, cast

import pytest
from sanic import Request
from sanic.compat import Header

from gateway.edge.wire.peer import client_ip, traceparent

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@dataclass
class _Connection:
    client_ip: str


@dataclass
class _Request:
    conn_info: _Connection
    headers: Header = field(default_factory=Header)


def asked(peer: str, *headers: tuple[str, str]) -> Request:
    found: Any = _Request(_Connection(peer), Header(headers))
    return cast(Request, found)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, <script>, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [" , ,"], "10.0.0.1"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
    ],
)
def test_the_nearest_address_that_is_no_trusted_proxy(
    peer: str, forwarded: list[str], expected: str
) -> None:
    """Read from the right: what is left of an untrusted hop is not trusted either."""
    headers = [("x-forwarded-for", value) for value in forwarded]
    assert client_ip(asked(peer, *headers), TRUSTED) == expected


def test_without_trusted_proxies_nobodys_word_counts() -> None:
    """The default: the address is the connection's."""
    assert client_ip(asked("10.0.0.1", ("x-forwarded-for", "1.2.3.4")), ()) == "10.0.0.1"


GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([GOOD], GOOD),
        ([], None),
        ([GOOD, GOOD], None),
        ([GOOD + "\n"], None),
        ([GOOD.upper()], None),
        ([GOOD + "-extra"], None),
        (["ff" + GOOD[2:]], None),
        (["00-" + "0" * 32 + GOOD[35:]], None),
        ([GOOD[:36] + "0" * 16 + "-01"], None),
    ],
)
def test_a_trace_context_is_taken_over_when_well_formed(
    values: list[str], expected: str | None
) -> None:
    """W3C Trace Context, 3.2.2: all zeros name no trace."""
    assert traceparent(asked("::1", *[("traceparent", value) for value in values])) == expected
