"""Who may see and reset limits: whoever has the gateway's secret, for a minute, for one request."""

from __future__ import annotations

import pytest

from gateway.domain.operator_requests import VALID_S, is_signed, sign

SECRET, OTHER = b"s" * 32, b"o" * 32
REQUEST = ("DELETE", "/limits?subject=acme%2Fada")
NOW = 1_800_000_000.0
SIGNED = sign(SECRET, *REQUEST, NOW)


def test_a_request_that_was_signed_is_believed() -> None:
    assert is_signed([SECRET], *REQUEST, SIGNED, NOW)
    assert is_signed([OTHER, SECRET], *REQUEST, SIGNED, NOW + VALID_S)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Operator",
        "Operator .",
        f"Bearer {SIGNED.partition(' ')[2]}",
        SIGNED[:-1],
        f"{SIGNED}0",
        SIGNED.replace("1800000000", "1800000001"),
        "Operator 1800000000.",
        "Operator ²800000000.aa",
        f"Operator {'9' * 5000}.aa",
        "Operator 1800000000.\xff\u0100",
    ],
)
def test_anything_else_is_not(authorization: str) -> None:
    assert not is_signed([SECRET], *REQUEST, authorization, NOW)


def test_a_signature_is_for_one_request_one_secret_and_a_minute() -> None:
    assert not is_signed([OTHER], *REQUEST, SIGNED, NOW)
    assert not is_signed([SECRET], "GET", REQUEST[1], SIGNED, NOW)
    assert not is_signed([SECRET], "DELETE", "/limits?subject=acme%2Fbob", SIGNED, NOW)
    assert not is_signed([SECRET], *REQUEST, SIGNED, NOW + VALID_S + 1)
    assert not is_signed([SECRET], *REQUEST, SIGNED, NOW - VALID_S - 1)
