"""Tokens that must be refused, and one that must be accepted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from .conftest import ENVIRONMENT

SECRET = ENVIRONMENT["GATEWAY_JWT_SECRET"].encode()
NOW = 1_800_000_000
GOOD: dict[str, Any] = {
    "sub": "alice",
    "tenant": "acme",
    "roles": ["editor"],
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 3600,
    "iss": "knowledge-base-gateway",
    "aud": "knowledge-base",
    "jti": "forged-1",
}


def forge(
    header: dict[str, Any] | None = None,
    *,
    without: str | None = None,
    digest: str = "sha256",
    secret: bytes = SECRET,
    **claims: Any,
) -> str:
    """``GOOD`` with changes, signed with the gateway's own secret unless another is given."""
    payload = {**GOOD, **claims}
    if without is not None:
        del payload[without]
    signed = f"{_part(header or {'alg': 'HS256', 'typ': 'JWT'})}.{_part(payload)}"
    signature = hmac.new(secret, signed.encode(), getattr(hashlib, digest)).digest()
    return f"{signed}.{_encoded(signature)}"


def _part(value: dict[str, Any]) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
