"""Which connections of one address are counted together, and what becomes of the count."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.edge.wire.connections import Connections, Limits

LIMITS = Limits(
    connections=4, per_address=2, body_bytes=1, head_s=1.0, body_s=1.0, idle_s=1.0, stall_s=1.0
)
TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.2.3", True),
        ("fd00::7", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("11.0.0.1", False),
        ("2001:db8::7", False),
        ("", False),
    ],
)
def test_many_clients_come_from_a_trusted_proxy_and_from_this_machine(
    address: str, expected: bool
) -> None:
    """Their connections are not capped as those of one client."""
    assert Connections(LIMITS, TRUSTED).is_proxy(address) is expected


def test_without_trusted_proxies_only_this_machine_is_exempt() -> None:
    """An address of a private network is a client's as well as any other."""
    connections = Connections(LIMITS)
    assert not connections.is_proxy("10.1.2.3")
    assert connections.is_proxy("127.0.0.1")


def test_an_address_has_as_many_places_as_the_cap_says() -> None:
    """A place that was given back can be taken again, and another address has its own."""
    connections = Connections(LIMITS)
    taken = [connections.take_place("192.0.2.1") for _ in range(3)]
    assert taken == [True, True, False]
    assert connections.take_place("192.0.2.2")
    connections.give_place("192.0.2.1")
    assert connections.take_place("192.0.2.1")
    assert not connections.take_place("192.0.2.1")
