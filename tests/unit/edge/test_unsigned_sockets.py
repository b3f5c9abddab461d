"""Sockets of which nobody knows yet who is behind them have few places, and one client not all."""

from __future__ import annotations

import pytest

from gateway.edge.ws.door import UNSIGNED_LIMIT, UNSIGNED_PER_ADDRESS, Unsigned
from gateway.errors import Overloaded


def test_one_ipv6_customer_has_the_places_of_one_address() -> None:
    """Whoever has a /64 has as many addresses as he likes."""
    unsigned = Unsigned()
    for number in range(UNSIGNED_PER_ADDRESS):
        unsigned.take(f"2001:db8::{number:x}")
    with pytest.raises(Overloaded):
        unsigned.take("2001:db8::ffff")
    unsigned.take("2001:db8:0:1::1")
    unsigned.take("192.0.2.1")


def test_a_place_is_given_back_once() -> None:
    unsigned = Unsigned()
    give_back = unsigned.take("192.0.2.1")
    unsigned.take("192.0.2.1")
    give_back()
    give_back()
    assert len(unsigned) == 1


def test_nobody_gets_in_when_all_places_are_taken() -> None:
    unsigned = Unsigned()
    for number in range(UNSIGNED_LIMIT):
        unsigned.take(f"10.0.{number // 250}.{number % 250}")
    with pytest.raises(Overloaded):
        unsigned.take("192.0.2.1")
