"""Which pages are the gateway's own: those that the object store is told to admit."""

from __future__ import annotations

import pytest

from gateway.settings.console_settings import own_origins
from tests.unit.valid_settings import load

THIS_MACHINE = ("http://127.0.0.1:8123", "http://localhost:8123")


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ({}, THIS_MACHINE),
        ({"PUBLIC_URL": "https://kb.example.com"}, ("https://kb.example.com",)),
        ({"PUBLIC_URL": "https://kb.example.com:443/"}, ("https://kb.example.com",)),
        ({"PUBLIC_URL": "http://localhost:8123"}, THIS_MACHINE),
        ({"PUBLIC_URL": "http://127.0.0.1"}, ("http://127.0.0.1", "http://localhost")),
    ],
)
def test_a_browser_may_be_given_either_name_of_this_machine(
    given: dict[str, str], origins: tuple[str, ...]
) -> None:
    """Who types the other one would sign in, and see every upload fail."""
    named = {f"GATEWAY_{name}": text for name, text in given.items()}
    assert own_origins(load(GATEWAY_SERVER_PORT="8123", **named)) == origins
