"""The close codes: what a client is told of a failure, whatever it is."""

from __future__ import annotations

import pytest

from gateway.domain.websocket import accept_key, close_for, read_upgrade
from gateway.errors import AmbiguousCredentials, by_code

OFFER = {
    "upgrade": ["WebSocket"],
    "connection": ["keep-alive, Upgrade"],
    "sec-websocket-key": ["dGhlIHNhbXBsZSBub25jZQ=="],
    "sec-websocket-version": ["13"],
}


def test_every_failure_has_a_close_that_can_be_sent() -> None:
    """RFC 6455, 5.5 and 7.4: a reason has at most 123 bytes, a code is one that may be sent."""
    for code, kind in by_code().items():
        close = close_for(kind())
        assert close.reason == code
        assert len(close.reason.encode()) <= 123
        assert close.code in (1001, 1008, 1011, 1013, 4401, 4403)


@pytest.mark.parametrize(
    ("code", "closes"),
    [
        ("UNAUTHENTICATED", 4401),
        ("TOKEN_EXPIRED", 4401),
        ("CREDENTIAL_REVOKED", 4401),
        ("AMBIGUOUS_CREDENTIALS", 4401),
        ("FORBIDDEN", 4403),
        ("DRAINING", 1001),
        ("STORAGE_UNAVAILABLE", 1013),
        ("OVERLOADED", 1013),
        ("RATE_LIMITED", 1013),
        ("VALIDATION_ERROR", 1008),
        ("INTERNAL", 1011),
    ],
)
def test_a_failure_closes_with_its_kind(code: str, closes: int) -> None:
    assert close_for(by_code()[code]()).code == closes


def test_the_key_is_answered_as_the_standard_shows() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_names_are_compared_without_case() -> None:
    upgrade = read_upgrade(lambda name: OFFER.get(name, []))
    assert (upgrade.subprotocol, upgrade.bearer) == (None, None)


def test_a_credential_beside_the_subprotocol_is_taken_and_never_shown() -> None:
    offer = {**OFFER, "sec-websocket-protocol": ["kbg.v1, kbg.bearer.abc.def"]}
    upgrade = read_upgrade(lambda name: offer.get(name, []))
    assert (upgrade.subprotocol, upgrade.bearer) == ("kbg.v1", "abc.def")
    assert "abc" not in repr(upgrade)


def test_two_credentials_beside_it_are_one_too_many() -> None:
    offer = {**OFFER, "sec-websocket-protocol": ["kbg.v1", "kbg.bearer.a, kbg.bearer.b"]}
    with pytest.raises(AmbiguousCredentials):
        read_upgrade(lambda name: offer.get(name, []))
